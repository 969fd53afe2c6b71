package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

func tempFile(t *testing.T) string { return filepath.Join(t.TempDir(), "test.db") }

// openFile opens a database and checks, when the test is over, that no connection is in use.
func openFile(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := db.Stats().InUse; n > 0 {
			t.Errorf("%d connections are in use", n)
		}
		_ = db.Close()
	})
	return db
}

func openTemp(t *testing.T) *sql.DB {
	t.Helper()
	return openFile(t, tempFile(t))
}

func newVersions(t *testing.T, dialectName, name string) *Versions {
	t.Helper()
	d, err := dialect.Lookup(dialectName)
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewVersions(d, name)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func create(t *testing.T, table *Versions, db *sql.DB) {
	t.Helper()
	if err := table.Create(t.Context(), db); err != nil {
		t.Fatalf("Create: %v", err)
	}
}

func insert(t *testing.T, table *Versions, db *sql.DB, versions ...int64) {
	t.Helper()
	for _, v := range versions {
		r := table.Recorder()
		r.Step(false)
		if err := r.Insert(t.Context(), db, insertRequest(v)); err != nil {
			t.Fatal(err)
		}
	}
}

// wantApplied checks what Applied reads.
func wantApplied(t *testing.T, table *Versions, db *sql.DB, wantReady bool, want ...int64) {
	t.Helper()
	applied, ready, err := table.Applied(t.Context(), db)
	if err != nil {
		t.Fatalf("Applied: %v", err)
	}
	if ready != wantReady || !slices.Equal(applied, want) {
		t.Errorf("Applied: got %v, ready %t, want %v, ready %t", applied, ready, want, wantReady)
	}
}

// rows are the versions in the table, as they were inserted.
func rows(t *testing.T, db *sql.DB, table *Versions) (list []int64) {
	t.Helper()
	found, err := db.Query("SELECT version_id FROM " + table.Name() + " ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var v int64
		if err := found.Scan(&v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func wantRows(t *testing.T, db *sql.DB, table *Versions, want ...int64) {
	t.Helper()
	if got := rows(t, db, table); !slices.Equal(got, want) {
		t.Errorf("the table has %v, want %v", got, want)
	}
}

// Turso is SQLite to goose, and stands for the dialects whose names gooseplus doesn't quote and
// for which goose can't tell whether the table exists.
var dialects = []string{"sqlite", "turso"}

func TestApplied(t *testing.T) {
	t.Parallel()
	const columns = `(id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`
	for _, tc := range []struct {
		name  string
		setup []string
		ready bool
		want  []int64
	}{
		{"no table", nil, false, nil},
		{"a table without rows", []string{`CREATE TABLE v ` + columns}, false, nil},
		{"a new table", []string{`CREATE TABLE v ` + columns, `INSERT INTO v (version_id, is_applied) VALUES (0, 1)`}, true, nil},
		{"in the order of application", []string{`CREATE TABLE v ` + columns,
			`INSERT INTO v (version_id, is_applied) VALUES (0, 1), (3, 1), (1, 1), (20, 1), (10, 1)`}, true, []int64{3, 1, 20, 10}},
		{"without the zero version", []string{`CREATE TABLE v ` + columns,
			`INSERT INTO v (version_id, is_applied) VALUES (2, 1), (1, 1)`}, true, []int64{2, 1}},
		{"taken back, as goose recorded it before version 3", []string{`CREATE TABLE v ` + columns,
			`INSERT INTO v (version_id, is_applied) VALUES (0, 1), (1, 1), (2, 1), (2, 0)`}, true, []int64{1}},
		{"taken back and applied again", []string{`CREATE TABLE v ` + columns,
			`INSERT INTO v (version_id, is_applied) VALUES (0, 1), (1, 1), (2, 1), (1, 0), (1, 1)`}, true, []int64{2, 1}},
		{"never applied", []string{`CREATE TABLE v ` + columns,
			`INSERT INTO v (version_id, is_applied) VALUES (0, 1), (5, 0)`}, true, nil},
		{"twice", []string{`CREATE TABLE v ` + columns,
			`INSERT INTO v (version_id, is_applied) VALUES (0, 1), (1, 1), (2, 1), (1, 1)`}, true, []int64{2, 1}},
	} {
		for _, d := range dialects {
			t.Run(d+": "+tc.name, func(t *testing.T) {
				t.Parallel()
				db := openTemp(t)
				exec(t, db, tc.setup...)
				wantApplied(t, newVersions(t, d, "v"), db, tc.ready, tc.want...)
			})
		}
	}
}

func TestAppliedReportsAReadThatFails(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		for _, existing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, existing %t", d, existing), func(t *testing.T) {
				t.Parallel()
				db, table := openTemp(t), newVersions(t, d, "v")
				if existing {
					create(t, table, db)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, ready, err := table.Applied(ctx, db); !errors.Is(err, context.Canceled) || ready {
					t.Errorf("a context that ended: got ready %t, %v", ready, err)
				}
				_ = db.Close()
				if _, ready, err := table.Applied(t.Context(), db); err == nil || ready {
					t.Errorf("a closed database: got ready %t, %v", ready, err)
				}
				if err := table.Create(t.Context(), db); err == nil {
					t.Error("Create on a closed database: no error")
				}
			})
		}
	}
	t.Run("a table of another kind", func(t *testing.T) {
		t.Parallel()
		db, table := openTemp(t), newVersions(t, "sqlite", "v")
		exec(t, db, `CREATE TABLE v (name TEXT)`)
		if _, ready, err := table.Applied(t.Context(), db); err == nil || ready {
			t.Errorf("Applied: got ready %t, %v", ready, err)
		}
		if err := table.Create(t.Context(), db); err == nil || !strings.Contains(err.Error(), "no such column") {
			t.Errorf("Create: got %v, want the column that is missing", err)
		}
	})
	t.Run("a schema that is not there", func(t *testing.T) {
		t.Parallel()
		db, table := openTemp(t), newVersions(t, "sqlite", "nowhere.v")
		if _, ready, err := table.Applied(t.Context(), db); err == nil || ready {
			t.Errorf("Applied: got ready %t, %v", ready, err)
		}
		if err := table.Create(t.Context(), db); err == nil {
			t.Error("Create: no error")
		}
	})
	t.Run("not a database", func(t *testing.T) {
		t.Parallel()
		db := openFile(t, t.TempDir()) // a directory
		if _, ready, err := newVersions(t, "sqlite", "v").Applied(t.Context(), db); err == nil || ready {
			t.Errorf("got ready %t, %v", ready, err)
		}
	})
}

// racing is a database in which another process acts just before the table's existence is checked.
type racing struct {
	*sql.DB
	act func()
}

func (r racing) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.act()
	return r.DB.QueryRowContext(ctx, query, args...)
}

func TestAppliedWhileTheTableIsCreated(t *testing.T) {
	t.Parallel()
	db, table := openTemp(t), newVersions(t, "sqlite", "v")
	applied, ready, err := table.Applied(t.Context(), racing{db, func() {
		create(t, table, db)
		insert(t, table, db, 5)
	}})
	if err != nil || !ready || !slices.Equal(applied, []int64{5}) {
		t.Errorf("got %v, ready %t, %v", applied, ready, err)
	}
}

func TestAppliedWithinATransaction(t *testing.T) {
	t.Parallel()
	db, table := openTemp(t), newVersions(t, "sqlite", "v")
	create(t, table, db)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Recorder().Insert(t.Context(), tx, insertRequest(4)); err != nil {
		t.Fatal(err)
	}
	if applied, ready, err := table.Applied(t.Context(), tx); err != nil || !ready || !slices.Equal(applied, []int64{4}) {
		t.Errorf("inside: got %v, %t, %v", applied, ready, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	wantApplied(t, table, db, true)
}

func TestCreate(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			db, table := openTemp(t), newVersions(t, d, "v")
			create(t, table, db)
			wantRows(t, db, table, 0)
			wantApplied(t, table, db, true)
		})
		t.Run(d+" again", func(t *testing.T) {
			t.Parallel()
			db, table := openTemp(t), newVersions(t, d, "v")
			create(t, table, db)
			insert(t, table, db, 1, 2)
			create(t, table, db)
			wantRows(t, db, table, 0, 1, 2)
		})
		t.Run(d+" where a creation was cut off", func(t *testing.T) {
			t.Parallel()
			db, table := openTemp(t), newVersions(t, d, "v")
			exec(t, db, `CREATE TABLE v (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL)`)
			create(t, table, db)
			wantRows(t, db, table, 0)
		})
	}
	t.Run("under a context that ended", func(t *testing.T) {
		t.Parallel()
		db, table := openTemp(t), newVersions(t, "sqlite", "v")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := table.Create(ctx, db); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		wantApplied(t, table, db, false)
	})
	t.Run("with one connection", func(t *testing.T) {
		t.Parallel()
		db, table := openTemp(t), newVersions(t, "sqlite", "v")
		db.SetMaxOpenConns(1)
		create(t, table, db)
		create(t, table, db)
		wantRows(t, db, table, 0)
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		file := tempFile(t)
		exec(t, openFile(t, file), `CREATE TABLE other (i INTEGER)`)
		db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		table := newVersions(t, "sqlite", "v")
		wantApplied(t, table, db, false)
		if err := table.Create(t.Context(), db); err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("got %v, want the server's reason", err)
		}
	})
}

func TestCreateByManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			createByMany(t, d)
		})
	}
}

func createByMany(t *testing.T, dialectName string) {
	file := tempFile(t)
	exec(t, openFile(t, file), `CREATE TABLE other (i INTEGER)`)
	const creators = 8
	shared := openFile(t, file)
	start := make(chan struct{})
	errs := make([]error, 2*creators)
	var wg sync.WaitGroup
	for i := range 2 * creators {
		db := shared // half of them share a pool, the others are as good as other processes
		if i%2 == 0 {
			db = openFile(t, file)
		}
		table := newVersions(t, dialectName, "v")
		wg.Go(func() {
			<-start
			errs[i] = table.Create(t.Context(), db)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	table := newVersions(t, dialectName, "v")
	wantRows(t, shared, table, 0)
	wantApplied(t, table, shared, true)
}

func TestNamesThatNeedQuotes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ given, name string }{
		{"versions", `"versions"`},
		{"main.versions", `"main"."versions"`},
		{`"Acme Corp"`, `"Acme Corp"`},
		{`"a""b"`, `"a""b"`},
		{`"o'neill"`, `"o'neill"`},
		{`"100%s"`, `"100%s"`},
		{"select", `"select"`},
		{"other.versions", `"other"."versions"`},
		{`"Other One"."a.b"`, `"Other One"."a.b"`},
	} {
		t.Run(tc.given, func(t *testing.T) {
			t.Parallel()
			db := openTemp(t)
			db.SetMaxOpenConns(1) // an attached database belongs to one connection
			exec(t, db, `ATTACH DATABASE ':memory:' AS other`, `ATTACH DATABASE ':memory:' AS "Other One"`)
			table := newVersions(t, "sqlite", tc.given)
			if table.Name() != tc.name {
				t.Errorf("Name: got %s, want %s", table.Name(), tc.name)
			}
			wantApplied(t, table, db, false)
			create(t, table, db)
			wantApplied(t, table, db, true)
			create(t, table, db)
			insert(t, table, db, 3, 1)
			wantApplied(t, table, db, true, 3, 1)
			wantRows(t, db, table, 0, 3, 1)
			if err := table.Recorder().Delete(t.Context(), db, 3); err != nil {
				t.Fatal(err)
			}
			wantApplied(t, table, db, true, 1)
		})
	}
}

func TestSchemasAreApart(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	db.SetMaxOpenConns(1)
	exec(t, db, `ATTACH DATABASE ':memory:' AS other`)
	here, there := newVersions(t, "sqlite", "main.v"), newVersions(t, "sqlite", "other.v")
	create(t, here, db)
	insert(t, here, db, 1)
	wantApplied(t, there, db, false)
	create(t, there, db)
	wantApplied(t, there, db, true)
	wantApplied(t, here, db, true, 1)
}

func TestNewRefusesWhatIsNoName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a b", "a.b.c", `"a`, "v; DROP TABLE users"} {
		for _, d := range []string{"postgres", "mysql", "sqlite"} {
			d, err := dialect.Lookup(d)
			if err != nil {
				t.Fatal(err)
			}
			if table, err := NewVersions(d, name); err == nil {
				t.Errorf("%s takes %q as %s", d.Goose, name, table.Name())
			}
		}
	}
	turso, err := dialect.Lookup("turso")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewVersions(turso, ""); err == nil {
		t.Error("an empty name is taken")
	}
}

func TestGooseTellsTheSameStory(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	fsys := fstest.MapFS{}
	for _, name := range []string{"1_a", "2_b", "3_c"} {
		fsys[name+".sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE t" + name + " (i INTEGER);\n-- +goose Down\nDROP TABLE t" + name + ";")}
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, fsys, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []int64{3, 1} {
		if _, err := p.ApplyVersion(t.Context(), v, true); err != nil {
			t.Fatal(err)
		}
	}
	table := newVersions(t, "sqlite", goose.DefaultTablename)
	wantApplied(t, table, db, true, 3, 1)
	create(t, table, db)
	insert(t, table, db, 2)
	statuses, err := p.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statuses {
		if s.State != goose.StateApplied {
			t.Errorf("goose takes version %d for %s", s.Source.Version, s.State)
		}
	}
}
