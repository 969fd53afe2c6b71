package gooseplustest

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

func sqliteTables(t testing.TB, db *sql.DB) []string {
	t.Helper()
	return texts(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY 1`)
}

func TestSQLiteIsMigratedOnceAndCopied(t *testing.T) {
	runs := 0
	counted := goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { runs++; return nil }}, nil)
	fsys := unique(folder("sql/base/1_users.sql", "sql/test/2_seed.sql", "sql/production/4_live.sql"))
	for range 3 {
		db := SQLite(t, files(fsys), gooseplus.WithGoMigrations(counted))
		if got := sqliteTables(t, db); fmt.Sprint(got) != "[seed users]" {
			t.Errorf("tables %v", got)
		}
		mustExec(t, db, "INSERT INTO users VALUES (1)")
		if got := texts(t, db, "PRAGMA foreign_keys"); fmt.Sprint(got) != "[1]" {
			t.Errorf("foreign keys %v", got)
		}
	}
	if runs != 1 {
		t.Errorf("the migrations ran %d times", runs)
	}
}

func TestSQLiteWithoutMigrationsIsEmpty(t *testing.T) {
	fsys := fstest.MapFS{"sql/base": {Mode: fs.ModeDir}} // without it, the tests would be of another place than they should
	if got := sqliteTables(t, SQLite(t, files(fsys))); len(got) != 0 {
		t.Errorf("tables %v", got)
	}
}

func TestSQLiteInWALMode(t *testing.T) {
	fsys := folder("sql/base/2_wal.sql")
	fsys["sql/base/1_mode.sql"] = migration("-- +goose StatementBegin\nPRAGMA journal_mode = WAL;\n-- +goose StatementEnd", "SELECT 1;")
	fsys["sql/base/1_mode.sql"].Data = append([]byte("-- +goose NO TRANSACTION\n"), fsys["sql/base/1_mode.sql"].Data...)
	if got := sqliteTables(t, SQLite(t, files(fsys))); fmt.Sprint(got) != "[wal]" {
		t.Errorf("tables %v", got)
	}
}

func TestSQLiteKeepsTheFileOfAFailedTestOnly(t *testing.T) {
	for _, failed := range []bool{false, true} {
		r := &recorder{TB: t, name: "TestSome/thing"}
		path := texts(t, SQLite(r, files(folder("sql/base/1_x.sql"))), `SELECT file FROM pragma_database_list WHERE name = 'main'`)[0]
		r.failed = failed
		r.end()
		if _, err := os.Stat(path); (err == nil) != failed {
			t.Errorf("failed %v: %v", failed, err)
		}
		if strings.Contains(r.text(), path) != failed {
			t.Errorf("failed %v: the log is %q", failed, r.text())
		}
		_ = os.RemoveAll(strings.TrimSuffix(path, "/test.db"))
	}
}

func TestSQLiteOfATestWithALongName(t *testing.T) {
	r := &recorder{TB: t, name: "TestSome/" + strings.Repeat("thing", 60)}
	r.do(func() { SQLite(r, files(folder("sql/base/1_x.sql"))) })
	r.end()
	if r.failed {
		t.Error(r.text())
	}
}

func TestSQLiteFilesAreKeptForSomeDays(t *testing.T) {
	root := t.TempDir()
	dir := root + "/gooseplustest-x-1"
	if err := os.MkdirAll(dir+"/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	sweepFiles(root, now.Add(keep-time.Hour))
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	sweepFiles(root, now.Add(keep+time.Hour))
	if _, err := os.Stat(dir); err == nil {
		t.Error("it is still there")
	}
}
