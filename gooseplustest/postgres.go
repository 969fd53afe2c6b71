package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Postgres returns a migrated database for this test alone. It has the environments base and test. It is a copy of a
// template, which is migrated once for all tests of all packages with the same migrations (see the package comment).
//
// dsn is a URL, or keywords with values, of any database of the server; "" means [Server]. The user must be allowed to create
// databases. The pool uses pgx if the test binary imports github.com/jackc/pgx/v5/stdlib, and lib/pq otherwise.
//
// When the test ends, the pool is closed and the database is dropped, even if connections to it are left. With [Run] that may
// happen a few tests later. If the test has failed, the database is kept for three days, and the log of the test has its DSN
// with a masked password.
//
// opts are the options of [gooseplus.New]; WithEnvironments("test") comes before them. The test fails at once if the options have a
// fault, if a migration fails, or if the server can't be reached.
func Postgres(t testing.TB, dsn string, opts ...gooseplus.Option) *sql.DB {
	t.Helper()
	if dsn == "" {
		dsn = Server(t)
	}
	set, err := newSet("postgres", opts)
	if err == nil && set.Dialect != goose.DialectPostgres {
		err = fmt.Errorf("the dialect is %s: want postgres", set.Dialect)
	}
	if err == nil {
		_, err = postgresDSN(dsn, "postgres") // before a driver quotes what it can't read
	}
	if err != nil {
		fail(t, err)
	}
	return pgServerAt(dsn).clone(t, set)
}

// fail ends the test with an error, without passwords.
func fail(t testing.TB, err error) {
	t.Helper()
	t.Fatal("gooseplustest: " + redact.Text(err.Error()))
}

// failed says whether a test has failed. A test that panics counts as failed only after its Cleanups.
func failed(t testing.TB) bool {
	if t.Failed() {
		return true
	}
	callers := make([]uintptr, 100)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	for {
		frame, more := frames.Next()
		if frame.Function == "runtime.gopanic" {
			return true
		}
		if !more {
			return false
		}
	}
}

// origins say where the databases of the tests that run now come from.
var origins sync.Map // *sql.DB to origin

// origin is where a database comes from.
type origin struct {
	// empty makes an empty one like it, with the schema that has to be there before the migrations.
	empty func(t testing.TB, schema string) *sql.DB
	mysql *mysqlServer // nil for PostgreSQL and SQLite
}

// clone returns a copy of the set's template.
func (s *pgServer) clone(t testing.TB, set *set) *sql.DB {
	t.Helper()
	template, copied, err := s.copyTemplate(t, set)
	if err != nil {
		fail(t, err)
	}
	db := s.lend(t, set.project, copied)
	s.prepare(set, template)
	return db
}

// lend gives a new database to a test.
func (s *pgServer) lend(t testing.TB, project string, c pgCopy) *sql.DB {
	t.Helper()
	var db *sql.DB
	t.Cleanup(func() { s.end(t, db, c) })
	db, err := s.open(c.name, c.conn)
	if err == nil && c.conn == nil {
		err = limited(contextOf(t), db.PingContext)
	}
	if err != nil {
		fail(t, fmt.Errorf("connect to database %s: %w", c.name, err))
	}
	origins.Store(db, origin{empty: func(t testing.TB, schema string) *sql.DB {
		t.Helper()
		name := cloneName(project, t.Name())
		if err := s.create(contextOf(t), name, "template0", nil); err != nil {
			fail(t, err)
		}
		db := s.lend(t, project, pgCopy{name: name})
		if err := createSchema(contextOf(t), db, schema); err != nil {
			fail(t, err)
		}
		return db
	}})
	return db
}

// copyTemplate copies the set's template for a test, whatever happens to it meanwhile, or takes the copy that has been made.
func (s *pgServer) copyTemplate(t testing.TB, set *set) (from *pgTemplate, copied pgCopy, err error) {
	const attempts = 5
	ctx, name := contextOf(t), cloneName(set.project, t.Name())
	for range attempts {
		if from, err = s.template(ctx, set); err != nil {
			return nil, pgCopy{}, err
		}
		if spare := from.takeSpare(); spare != nil && s.adopt(ctx, spare) {
			return from, spare.pgCopy, nil
		}
		template, settings := from.get()
		copied = pgCopy{name: name, template: template}
		if err = s.create(ctx, name, template, settings); sqlState(err) != "3D000" { // somebody has dropped it by hand
			break
		}
		from.forget(template)
	}
	return from, copied, err
}

func (t *pgTemplate) get() (name string, settings []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.name, t.settings
}

// create makes a database.
func (s *pgServer) create(ctx context.Context, name, template string, settings []string) error {
	return s.admin(ctx, func(ctx context.Context, c *pgConn) error {
		statement := "CREATE DATABASE " + pq.QuoteIdentifier(name) + " TEMPLATE " + pq.QuoteIdentifier(template) + s.copyStrategy()
		for {
			err := c.exec(ctx, statement)
			if sqlState(err) != "55006" { // object_in_use
				if err != nil {
					return fmt.Errorf("create database %s: %w", name, err)
				}
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("create database %s: %w", name, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
		for _, setting := range settings {
			if err := c.exec(ctx, "ALTER DATABASE "+pq.QuoteIdentifier(name)+" "+setting); err != nil {
				return errors.Join(fmt.Errorf("database %s: %w", name, err), limited(context.WithoutCancel(ctx), func(ctx context.Context) error {
					return c.drop(ctx, name, true)
				}))
			}
		}
		return nil
	})
}

// end drops the database of a test, or keeps it if the test has failed.
func (s *pgServer) end(t testing.TB, db *sql.DB, c pgCopy) {
	t.Helper()
	if db != nil {
		origins.Delete(db)
		if err := db.Close(); err != nil {
			t.Errorf("gooseplustest: close database %s: %v", c.name, redact.Text(err.Error()))
		}
	}
	ctx := contextOf(t)
	if failed(t) {
		s.keep(ctx, t, c.name)
		return
	}
	if s.putOff(ctx, c, t.Name()) {
		return
	}
	if err := s.drop(ctx, c.name); err != nil {
		t.Errorf("gooseplustest: %s", redact.Text(err.Error()))
	}
}

// keep leaves the database of a failed test for its author.
func (s *pgServer) keep(ctx context.Context, t testing.TB, name string) {
	t.Helper()
	if isPrivate(s.dsn) {
		t.Logf("gooseplustest: database %s is gone when this process ends, with the server that it started; to keep it, set %s to a server of yours", name, postgresEnv)
		return
	}
	until := time.Now().Add(keep)
	err := s.admin(ctx, func(ctx context.Context, c *pgConn) error {
		named := testName(name, t.Name())
		if ofAnyTest(name) && c.awaitNobody(ctx, name) && c.rename(ctx, name, named) == nil {
			name = named
		}
		return c.comment(ctx, name, note(kept, until))
	})
	dsn, dsnErr := postgresDSN(s.dsn, name)
	err = errors.Join(err, dsnErr)
	if err != nil {
		t.Errorf("gooseplustest: keep database %s: %s", name, redact.Text(err.Error()))
		return
	}
	t.Logf("gooseplustest: the test failed, and its database is kept until %s: %s",
		until.Format(time.DateTime), shown(dsn))
}
