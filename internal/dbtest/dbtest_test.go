package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	_ "github.com/jackc/pgx/v5/stdlib"
)

func TestMain(m *testing.M) { Main(m) }

// kinds are the servers by the name of the function that a test calls.
var kinds = map[string]struct {
	server  func(testing.TB) Server
	engine  *engine
	drivers []string
}{
	"Postgres": {Postgres, postgres, []string{"postgres", "pgx"}},
	"MySQL":    {MySQL, mariadb, []string{"mysql"}},
}

// recorder is a test whose end and verdict the test around it decides.
type recorder struct {
	testing.TB
	name     string
	failed   bool
	logs     []string
	cleanups []func()
}

func (r *recorder) Name() string                 { return r.name }
func (r *recorder) Failed() bool                 { return r.failed }
func (r *recorder) Cleanup(fn func())            { r.cleanups = append(r.cleanups, fn) }
func (r *recorder) Logf(format string, a ...any) { r.logs = append(r.logs, fmt.Sprintf(format, a...)) }
func (r *recorder) Helper()                      {}

func (r *recorder) end() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		fn := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		fn()
	}
}

// exists asks the server whether it has a database.
func exists(t *testing.T, s Server, database string) bool {
	t.Helper()
	query := map[*engine]string{
		postgres: "SELECT count(*) FROM pg_database WHERE datname = $1",
		mariadb:  "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?",
	}[s.engine]
	var n int
	err := s.administer(func(ctx context.Context, db *sql.DB) error {
		return db.QueryRowContext(ctx, query, database).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func TestServerIsSharedByTheProcess(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			if a, b := kind.server(t), kind.server(t); a.endpoint.admin != b.endpoint.admin {
				t.Errorf("two calls gave %v and %v", a, b)
			}
		})
	}
}

func TestNewDatabaseIsEmptyUniqueAndDropped(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			s := kind.server(t)
			r := &recorder{TB: t, name: t.Name()}
			a, b := s.NewDatabase(r), s.NewDatabase(r)
			if a.Name == b.Name {
				t.Fatalf("two databases are called %s", a.Name)
			}
			for _, driver := range kind.drivers {
				db := a.Open(r, driver)
				var n int
				query := "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('public', '" + a.Name + "')"
				if err := db.QueryRow(query).Scan(&n); err != nil || n != 0 {
					t.Errorf("%s: %d tables, error %v", driver, n, err)
				}
			}
			r.end()
			for _, d := range []Database{a, b} {
				if exists(t, s, d.Name) {
					t.Errorf("%s is still there", d.Name)
				}
			}
		})
	}
}

func TestNewDatabaseIsDroppedThoughAConnectionHoldsATransaction(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			s := kind.server(t)
			r := &recorder{TB: t, name: t.Name()}
			d := s.NewDatabase(r)
			// Opened by the outer test, hence closed only after the database is dropped.
			db := d.Open(t, kind.drivers[0])
			if _, err := db.Exec("CREATE TABLE held (id int)"); err != nil {
				t.Fatal(err)
			}
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback() // its error is that the server ended the connection
			if _, err := tx.Exec("INSERT INTO held VALUES (1)"); err != nil {
				t.Fatal(err)
			}
			r.end()
			if exists(t, s, d.Name) {
				t.Errorf("%s is still there", d.Name)
			}
		})
	}
}

func TestNewDatabaseOfAFailedTest(t *testing.T) {
	for name, kind := range kinds {
		for _, outlives := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, server outlives the process: %v", name, outlives), func(t *testing.T) {
				s := kind.server(t)
				s.outlives = outlives
				r := &recorder{TB: t, name: t.Name(), failed: true}
				d := s.NewDatabase(r)
				r.end()
				if kept := exists(t, s, d.Name); kept != outlives {
					t.Errorf("kept: %v, want %v", kept, outlives)
				}
				logged := strings.Contains(strings.Join(r.logs, "\n"), d.Name)
				if logged != outlives {
					t.Errorf("log %q, want the name in it: %v", r.logs, outlives)
				}
				err := s.administer(func(ctx context.Context, db *sql.DB) error {
					return s.engine.drop(ctx, db, d.Name)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestServersAcceptFiveHundredConnections(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			s := kind.server(t)
			if s.outlives {
				t.Skip("the settings of a given server are its owner's")
			}
			query := map[*engine]string{postgres: "SHOW max_connections", mariadb: "SELECT @@max_connections"}[kind.engine]
			var n int
			if err := s.NewDatabase(t).Open(t, kind.drivers[0]).QueryRow(query).Scan(&n); err != nil || n != 500 {
				t.Errorf("max_connections is %d, error %v", n, err)
			}
		})
	}
}

func TestServersWantThePassword(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			s := kind.server(t)
			d := s.NewDatabase(t)
			if s.outlives && d.Password == "" {
				t.Skip("the given server has no password")
			}
			for what, password := range map[string]string{"another": "wrong", "no": ""} {
				dsn := strings.Replace(d.DSN, ":"+d.Password+"@", ":"+password+"@", 1)
				db, err := s.engine.open(dsn, pingTimeout)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if err := db.Ping(); err == nil {
					t.Errorf("%s password was accepted", what)
				}
			}
		})
	}
}

func TestDatabaseNames(t *testing.T) {
	long := databaseName("TestX/" + strings.Repeat("Ünïcode, spaces and \"quotes\"; ", 10))
	if len(long) > 60 {
		t.Errorf("%s has %d bytes", long, len(long))
	}
	for _, r := range long {
		if r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			t.Errorf("%s has %q in it", long, r)
		}
	}
	if name := databaseName("TestX/sub"); !strings.HasPrefix(name, "gp_testx_sub_") {
		t.Errorf("%s does not say which test it belongs to", name)
	}
}

func TestSQLiteFileDoesNotExistYet(t *testing.T) {
	path := SQLiteFile(t)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of the file: %v", err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		t.Errorf("stat of its directory: %v", err)
	}
}
