package gooseplus_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	_ "github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

func TestMessages(t *testing.T) {
	t.Parallel()
	cause := &gooseplus.MigrationError{Version: 7, Source: "sql/base/7_x.sql", Direction: "up", Err: errors.New("no\n\tsuch table")}
	for _, s := range []struct {
		err  error
		want string
	}{
		{cause, "migration 7 (sql/base/7_x.sql) up: no such table"},
		{&gooseplus.MigrationError{Tenant: "acme", Namespace: "core", Version: 7, Direction: "down", Err: gooseplus.ErrIrreversible},
			`tenant "acme": namespace "core": migration 7 down: there is no Down to undo it`},
		{&gooseplus.RollbackError{Start: 3, Reached: 5, Cause: cause, Err: errors.New("x")},
			"migration failed, the database is not back at its starting point: at version 5, started from 3: x " +
				"(the run failed with: migration 7 (sql/base/7_x.sql) up: no such table)"},
		{&gooseplus.RollbackError{Start: 3, Reached: -1, Cause: cause, Err: errors.New("x")},
			"migration failed, the database is not back at its starting point: at a version that can't be read, started from 3: x " +
				"(the run failed with: migration 7 (sql/base/7_x.sql) up: no such table)"},
		{&gooseplus.RollbackError{Start: 3, Reached: 3, Cause: cause, Err: errors.New("x")},
			"migration failed, the database is not back at its starting point: the highest version is 3 as before, and not everything is undone: x " +
				"(the run failed with: migration 7 (sql/base/7_x.sql) up: no such table)"},
		{&gooseplus.MigrationError{Version: 1, Direction: "up"}, "migration 1 up: no reason given"},
		{&gooseplus.MigrationError{Version: 1, Direction: "up", Err: appended{sql.ErrTxDone, errors.New("x")}}, "migration 1 up: x"},
		{&gooseplus.MigrationError{Version: 1, Direction: "up", Err: appended{sql.ErrTxDone, sql.ErrTxDone}}, "migration 1 up: " + sql.ErrTxDone.Error()},
	} {
		if got := s.err.Error(); got != s.want {
			t.Errorf("\n%s\nwant\n%s", got, s.want)
		}
	}
}

// appended are errors as goose puts them together.
type appended []error

func (a appended) Error() string   { return "several" }
func (a appended) Errors() []error { return a }

func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{
		"refused":     "postgres://app:s3cr3t-word@127.0.0.1:1/app?sslmode=disable",
		"unparseable": "postgres://app:s3cr3t-word%zz@127.0.0.1:1/app",
	} {
		t.Run(name, func(t *testing.T) {
			db, err := sql.Open("postgres", dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			logger, logs := observedLogger()
			m := gooseplus.New(db, gooseplus.WithFS(folder("sql/base/1_a.sql")), gooseplus.WithLogger(logger))
			err = m.Migrate(context.Background())
			wantIs(t, err, gooseplus.ErrMigrationTable)
			_, versionErr := m.Version(context.Background())
			wantIs(t, versionErr, gooseplus.ErrMigrationTable)
			for _, text := range []string{err.Error(), versionErr.Error(), logText(logs.All())} {
				if strings.Contains(text, "s3cr3t") {
					t.Errorf("the password is in %q", text)
				}
			}
		})
	}
}

// TestServerThatComesBack: the way back waits for a server that restarts.
func TestServerThatComesBack(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	flaky := &flakyConnector{dsn: "file:" + t.TempDir() + "/flaky.db", driver: db.Driver()}
	through := sql.OpenDB(flaky)
	defer through.Close()
	through.SetMaxIdleConns(0) // each statement connects anew

	fail := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
		flaky.down.Store(3)
		return errors.New("the server went away")
	}}, nil)
	err := sqlite(through, folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(fail)).Migrate(context.Background())
	wantIs(t, err, gooseplus.ErrRollForward)
	if n := flaky.refused.Load(); n != 3 {
		t.Errorf("%d connections were refused: the test shows nothing", n)
	}
	applied(t, through)
}

// TestServerThatStaysAway: the way back gives up when its time is over, and says that nothing is
// known.
func TestServerThatStaysAway(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	flaky := &flakyConnector{dsn: "file:" + t.TempDir() + "/flaky.db", driver: db.Driver()}
	through := sql.OpenDB(flaky)
	defer through.Close()
	through.SetMaxIdleConns(0)

	fail := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
		flaky.down.Store(1 << 30)
		return errors.New("the server went away")
	}}, nil)
	err := sqlite(through, folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(fail),
		gooseplus.WithRollbackTimeout(200*time.Millisecond)).Migrate(context.Background())
	wantIs(t, err, gooseplus.ErrRollBack)
	wantIs(t, err, gooseplus.ErrMigrationTable)
	var stuck *gooseplus.RollbackError
	if !errors.As(err, &stuck) || stuck.Reached != -1 || stuck.Start != 0 {
		t.Errorf("%+v", stuck)
	}
	flaky.down.Store(0)
	applied(t, through, 1)
}

// flakyConnector refuses as many connections as down says.
type flakyConnector struct {
	dsn           string
	driver        driver.Driver
	down, refused atomic.Int64
}

func (c *flakyConnector) Driver() driver.Driver { return c.driver }

func (c *flakyConnector) Connect(context.Context) (driver.Conn, error) {
	if c.down.Add(-1) >= 0 {
		c.refused.Add(1)
		return nil, errors.New("connection refused")
	}
	return c.driver.Open(c.dsn)
}

func TestAnotherRunner(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	other := folder("sql/base/1_a.sql", "sql/base/9_z.sql")
	meddle := goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
		return errors.Join(errors.New("boom"), gooseUp(ctx, db, other))
	}}, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }})
	err := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(meddle)).Migrate(context.Background())
	wantIs(t, err, gooseplus.ErrRollBack)
	if !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), "[9]") {
		t.Errorf("%v", err)
	}
	applied(t, db, 1, 9) // and what this one applied, since the other may have built on it
}

// TestFilesThatGooseCannotParse: the SQL of a file can hold data, so it is beside the message, not in it.
func TestFilesThatGooseCannotParse(t *testing.T) {
	t.Parallel()
	for _, s := range []struct{ situation, file, message, statement string }{
		{"no semicolon", "-- +goose Up\nINSERT INTO t VALUES ('s3cr3t \"word\"')\n",
			"sql:2) up: the last statement of the Up has no semicolon at its end",
			`INSERT INTO t VALUES ('s3cr3t "word"')`},
		{"no annotation", "INSERT INTO t VALUES ('s3cr3t');\n",
			"sql:1) up: there is SQL before the line -- +goose Up: move it below, or begin the file with that line",
			"INSERT INTO t VALUES ('s3cr3t');"},
		{"unknown annotation", "-- +goose Upp\nSELECT 1;\n",
			`sql) up: failed to parse annotation line "-- +goose Upp": "Upp" not supported: invalid annotation`, ""},
		{"substitution", "-- +goose Up\n-- +goose ENVSUB ON\nINSERT INTO t VALUES ('s3cr3t ${X?gone}');\n",
			"sql:3) up: variable substitution failed: $X: gone", "INSERT INTO t VALUES ('s3cr3t ${X?gone}');"},
		{"empty", "", "sql) up: the line -- +goose Up is missing", ""},
	} {
		t.Run(s.situation, func(t *testing.T) {
			db := openSQLite(t)
			fsys := folder("sql/base/1_a.sql")
			fsys["sql/base/0002_b.sql"] = &fstest.MapFile{Data: []byte(s.file)}
			err := sqlite(db, fsys).Migrate(context.Background())
			wantIs(t, err, gooseplus.ErrRollForward)
			var failed *gooseplus.MigrationError
			if !errors.As(err, &failed) || failed.Version != 2 {
				t.Fatalf("%+v", err)
			}
			if want := "migration 2 (sql/base/0002_b." + s.message; failed.Error() != want {
				t.Errorf("\n%s\nwant\n%s", failed.Error(), want)
			}
			if failed.Statement != s.statement {
				t.Errorf("Statement = %q, want %q", failed.Statement, s.statement)
			}
			untouched(t, db)
		})
	}
}
