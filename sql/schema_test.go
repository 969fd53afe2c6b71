package schema_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
	schema "github.com/gooseplus/gooseplus/sql"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// databases are what the files have to be portable across.
var databases = []struct {
	name, dialect string
	open          func(*testing.T) *sql.DB
	tables        string // the names of all tables
}{
	{"SQLite", "sqlite3", openSQLite,
		`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`},
	{"PostgreSQL", "postgres",
		func(t *testing.T) *sql.DB { return dbtest.Postgres(t).NewDatabase(t).Open(t, "pgx") },
		`SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`},
	{"MariaDB", "mysql",
		func(t *testing.T) *sql.DB { return dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql") },
		`SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()`},
}

func openSQLite(t *testing.T) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+dbtest.SQLiteFile(t)+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func migrator(db *sql.DB, dialect, environment string, more ...gooseplus.Option) *gooseplus.Migrator {
	return gooseplus.New(db, append([]gooseplus.Option{
		gooseplus.WithDialect(dialect),
		gooseplus.WithFS(schema.FS),
		gooseplus.WithBasePath("."),
		gooseplus.WithEnvironments(environment),
	}, more...)...)
}

// failure is a last migration that fails, so that everything before it is undone. It has a Down
// because MariaDB wants one of every migration that fails there.
func failure(err error) gooseplus.Option {
	nothing := &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}
	return gooseplus.WithGoMigrations(goose.NewGoMigration(99991231235959,
		&goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return err }}, nothing))
}

// tables lists the tables except the state table, which remembers the environment.
func tables(t *testing.T, db *sql.DB, list string) []string {
	return slices.DeleteFunc(query(t, db, list), func(name string) bool { return strings.HasPrefix(name, goose.DefaultTablename+"_lock") })
}

// TestEveryFileGoesUpAndDownAndUp applies each environment, undoes all of it, and applies it again,
// which fails if a Down left something.
func TestEveryFileGoesUpAndDownAndUp(t *testing.T) {
	for _, d := range databases {
		for _, environment := range []string{"production", "test"} {
			t.Run(d.name+"/"+environment, func(t *testing.T) {
				db := d.open(t)
				ctx := t.Context()

				broken := errors.New("broken on purpose")
				err := migrator(db, d.dialect, environment, failure(broken)).Migrate(ctx)
				if !errors.Is(err, gooseplus.ErrRollForward) || !errors.Is(err, broken) {
					t.Fatalf("a run that fails at its end: %v, want ErrRollForward", err)
				}
				if got, want := tables(t, db, d.tables), []string{goose.DefaultTablename}; !slices.Equal(got, want) {
					t.Errorf("tables after the way back: %v, want %v", got, want)
				}

				if err := migrator(db, d.dialect, environment).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				want := []string{"customers", goose.DefaultTablename, "order_items", "orders", "settings"}
				if got := tables(t, db, d.tables); !slices.Equal(got, want) {
					t.Errorf("tables: %v, want %v", got, want)
				}
				if got, want := provider(t, db), map[string]string{"production": "live", "test": "sandbox"}[environment]; got != want {
					t.Errorf("payment_provider is %q, want %q", got, want)
				}
			})
		}
	}
}

func TestAnEnvironmentLiesBetweenBaseVersions(t *testing.T) {
	base := versions(t, "base")
	for _, environment := range []string{"production", "test"} {
		for _, v := range versions(t, environment) {
			if v < base[0] || v > base[len(base)-1] {
				t.Errorf("%s: version %d is not between %d and %d", environment, v, base[0], base[len(base)-1])
			}
		}
	}
}

func versions(t *testing.T, environment string) []int64 {
	t.Helper()
	files, err := fs.Glob(schema.FS, path.Join(environment, "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: files %v, error %v", environment, files, err)
	}
	var list []int64
	for _, f := range files {
		v, err := goose.NumericComponent(f)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	slices.Sort(list)
	return list
}

func provider(t *testing.T, db *sql.DB) string {
	t.Helper()
	return query(t, db, `SELECT value FROM settings WHERE name = 'payment_provider'`)[0]
}

// query returns the one column of the rows, sorted.
func query(t *testing.T, db *sql.DB, statement string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}
