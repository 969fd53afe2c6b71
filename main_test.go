package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(dbtest.Tests{M: m}) }

// openSQLite makes an empty database of its own for a test.
func openSQLite(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%d connections are still in use", n)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// sqlite is a Migrator on a SQLite database.
func sqlite(db *sql.DB, fsys fstest.MapFS, opts ...gooseplus.Option) *gooseplus.Migrator {
	return gooseplus.New(db, append([]gooseplus.Option{
		gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fsys),
	}, opts...)...)
}

// folder makes a file system: each path gets a migration that creates a table and drops it again.
// The table is named after the file, without its version.
func folder(paths ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, path := range paths {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".sql"), "_")
		fsys[path] = migrationFile("CREATE TABLE "+name+" (id INTEGER);", "DROP TABLE "+name+";")
	}
	return fsys
}

func migrationFile(up, down string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")}
}

// applied asserts the rows of the version table, in the order they were written.
func applied(t testing.TB, db *sql.DB, want ...int64) {
	t.Helper()
	rows, err := db.Query(`SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []int64
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("applied versions %v, want %v", got, want)
	}
}

// untouched asserts that nothing was written to the database at all.
func untouched(t testing.TB, db *sql.DB) {
	t.Helper()
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_master`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 0 {
		t.Errorf("the database has %d tables and indexes, want none", n)
	}
}

// fault asserts that both Err and Migrate report a fault with all these texts, and that the
// database is not touched.
func fault(t *testing.T, m func(*sql.DB) *gooseplus.Migrator, texts ...string) error {
	t.Helper()
	db := openSQLite(t)
	offline := m(nil).Err()
	if offline == nil {
		t.Fatal("no fault was found")
	}
	online := m(db).Migrate(context.Background())
	if online == nil || online.Error() != offline.Error() {
		t.Errorf("Migrate says\n%v\nErr says\n%v", online, offline)
	}
	for _, text := range texts {
		if !strings.Contains(offline.Error(), text) {
			t.Errorf("the fault does not say %q:\n%v", text, offline)
		}
	}
	untouched(t, db)
	return offline
}

// gooseUp applies the files of sql/base with goose alone, which knows of no state table.
func gooseUp(ctx context.Context, db *sql.DB, fsys fstest.MapFS) error {
	base, err := fs.Sub(fsys, "sql/base")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, base, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func mustMigrate(t testing.TB, m *gooseplus.Migrator) {
	t.Helper()
	if err := m.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func wantIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v\n  is not %v", err, want)
	}
}
