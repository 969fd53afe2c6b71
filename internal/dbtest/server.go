package dbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"testing"
)

// A Server is a running database server. It may be used by several tests at once.
type Server struct {
	engine   *engine
	endpoint endpoint
	// outlives says that the server was there before the test process and stays.
	outlives bool
	// from says where the server came from, for logs: it carries no DSN.
	from string
	stop func() error
	kept *kept // nil: none
}

// String says which server this is and where it came from, without its DSN.
func (s Server) String() string { return s.engine.name + " (" + s.from + ")" }

// DSN opens the server with a user who may create databases. It holds the password.
func (s Server) DSN() string { return s.endpoint.admin }

// Outlives says that the server was there before the test process and stays.
func (s Server) Outlives() bool { return s.outlives }

// NewDatabase creates an empty database with a name that no other has. It is dropped when the test ends, together
// with whatever connections are left to it; a test that failed on a server that outlives the process keeps it, and
// logs its name.
func (s Server) NewDatabase(t testing.TB) Database {
	t.Helper()
	name := databaseName(t.Name())
	err := s.administer(func(ctx context.Context, db *sql.DB) error {
		return s.engine.create(ctx, db, name)
	})
	if err != nil {
		t.Fatalf("create database %s on %v: %v", name, s, err)
	}
	t.Cleanup(func() {
		if t.Failed() && s.outlives {
			t.Logf("kept database %s on %v", name, s)
			return
		}
		err := s.administer(func(ctx context.Context, db *sql.DB) error {
			return s.engine.drop(ctx, db, name)
		})
		if err != nil {
			t.Errorf("drop database %s on %v: %v", name, s, err)
		}
	})
	return Database{Name: name, DSN: s.endpoint.dsn(name), Password: s.endpoint.password}
}

// databaseName makes a name that says which test it belongs to, in at most 60 lower-case letters, digits and
// underscores: PostgreSQL cuts names at 63 bytes, MySQL refuses more than 64 characters.
func databaseName(test string) string {
	const limit = 45
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return fmt.Sprintf("gp_%s_%s", clean[:min(len(clean), limit)], randomText(11))
}

// randomText returns lower-case letters and digits, at most 26.
func randomText(n int) string { return strings.ToLower(rand.Text()[:n]) }

// A Database is an empty database on a [Server].
type Database struct {
	Name string
	// DSN opens the database with its own server's drivers: a URL for lib/pq and pgx, and for go-sql-driver/mysql
	// its format with parseTime=true. It holds the password.
	DSN string
	// Password is the one in DSN, for tests that look for it where it must not be. It is random on a server that
	// dbtest started, and may be empty on one that was given by DSN.
	Password string
}

// Open opens the database with a driver that the test has imported ("postgres", "pgx", "mysql") and checks that it
// answers. The pool is closed when the test ends, before the database is dropped.
func (d Database) Open(t testing.TB, driver string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, d.DSN)
	if err != nil {
		t.Fatalf("open database %s with driver %q: %v", d.Name, driver, err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database %s: %v", d.Name, err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		t.Fatalf("connect to database %s with driver %q: %v", d.Name, driver, err)
	}
	return db
}
