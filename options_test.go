package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	"github.com/gooseplus/gooseplus"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql")
	with := func(opts ...gooseplus.Option) func(*sql.DB) *gooseplus.Migrator {
		return func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, fsys, opts...) }
	}

	t.Run("all are reported together", func(t *testing.T) {
		err := fault(t, with(
			gooseplus.WithDialect("oracle"),
			gooseplus.WithTimeout(-time.Second),
			gooseplus.WithMigrationTimeout(-time.Minute),
			gooseplus.WithRollbackTimeout(-1),
			gooseplus.WithRollback(gooseplus.Strategy(7)),
			gooseplus.WithEnvironments("bse"),
			gooseplus.SetEnvironments([]string{"bas"}),
			gooseplus.WithGooseOptions(goose.WithDisableVersioning(true)),
			gooseplus.WithGoMigrations(nil),
		),
			`WithDialect: dialect "oracle" is unknown`, "mariadb",
			"WithTimeout: -1s is negative",
			"WithMigrationTimeout: -1m0s is negative",
			"WithRollbackTimeout: -1ns is negative",
			"WithRollback: Strategy(7)",
			`did you mean "base"?`,
			"WithGooseOptions: option 1",
			"WithGoMigrations: migration 1: is nil",
		)
		wantIs(t, err, gooseplus.ErrMergeMigrations)
	})

	t.Run("a lock where there is none", func(t *testing.T) {
		fault(t, with(gooseplus.WithDialect("clickhouse"), gooseplus.WithGlobalLock(true)), "WithGlobalLock", "clickhouse")
	})

	t.Run("a version table whose state table has no name", func(t *testing.T) {
		fault(t, with(gooseplus.WithDialect("postgres"), gooseplus.WithVersionTable(fmt.Sprintf("t%061d", 0))),
			"WithVersionTable", "state table", "longer than 63 bytes")
	})

	t.Run("statement timeouts", func(t *testing.T) {
		timeouts := func(dialect string, s gooseplus.StatementTimeouts) func(*sql.DB) *gooseplus.Migrator {
			return with(gooseplus.WithDialect(dialect), gooseplus.WithStatementTimeouts(s))
		}
		fault(t, timeouts("postgres", gooseplus.StatementTimeouts{Lock: -time.Second, Statement: -1}),
			"WithStatementTimeouts: Lock: -1s is negative", "WithStatementTimeouts: Statement: -1ns is negative")
		fault(t, timeouts("sqlite", gooseplus.StatementTimeouts{Statement: time.Second}), "WithStatementTimeouts", "WithMigrationTimeout")
		fault(t, timeouts("clickhouse", gooseplus.StatementTimeouts{}), "WithStatementTimeouts", "clickhouse")
		if err := timeouts("sqlite", gooseplus.StatementTimeouts{Lock: time.Second, Retries: -1})(nil).Err(); err != nil {
			t.Error(err)
		}
	})

	t.Run("version table", func(t *testing.T) {
		for name, text := range map[string]string{
			"a.b.c":                  "more than a schema and a table",
			"versions; DROP TABLE x": "needs quotes",
			`"open`:                  "not closed",
			`"a"b`:                   "after a quoted part",
		} {
			fault(t, with(gooseplus.WithVersionTable(name)), "WithVersionTable", text)
		}
	})

	t.Run("no file system", func(t *testing.T) {
		fault(t, with(gooseplus.WithFS(nil)), "WithFS: the file system is nil")
	})

	t.Run("base path that is not there", func(t *testing.T) {
		err := fault(t, with(gooseplus.WithBasePath("migrations")), `base path "migrations"`)
		wantIs(t, err, gooseplus.ErrMergeMigrations)
	})

	t.Run("base path outside the file system", func(t *testing.T) {
		fault(t, with(gooseplus.WithBasePath("/srv/sql")), `base path "/srv/sql"`, "relative")
		fault(t, with(gooseplus.WithBasePath("../sql")), `base path "../sql"`)
	})

	t.Run("no database", func(t *testing.T) {
		m := sqlite(nil, fsys)
		if err := m.Err(); err != nil {
			t.Errorf("Err needs no database, but says %v", err)
		}
		for name, call := range map[string]func() error{
			"Migrate": func() error { return m.Migrate(context.Background()) },
			"Version": func() error { _, err := m.Version(context.Background()); return err },
		} {
			if err := call(); err == nil || err.Error() != "the database given to New is nil" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})

	t.Run("version below one", func(t *testing.T) {
		db := openSQLite(t)
		if err := sqlite(db, fsys).MigrateTo(context.Background(), 0); err == nil {
			t.Error("MigrateTo(0) is no error")
		}
		untouched(t, db)
	})
}

func TestDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	err := gooseplus.New(nil).Err()
	wantIs(t, err, gooseplus.ErrMergeMigrations) // there is no folder sql here
	if v := gooseplus.New(nil, nil, gooseplus.WithLogger(nil), gooseplus.WithObserver(nil)); v == nil {
		t.Error("nil options are not tolerated")
	}
}

func TestTimeoutZeroIsNoLimit(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	var deadlines int
	m := goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error {
		if _, limited := ctx.Deadline(); limited {
			deadlines++
		}
		return nil
	}}, nil)
	mustMigrate(t, sqlite(db, folder("sql/base/2_a.sql"), gooseplus.WithGoMigrations(m),
		gooseplus.WithTimeout(0), gooseplus.WithMigrationTimeout(0), gooseplus.WithRollbackTimeout(0),
		gooseplus.WithLogger(zap.NewNop())))
	if deadlines != 0 {
		t.Error("the migration's context has a deadline")
	}
	applied(t, db, 1, 2)
}

func TestGooseOptions(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")

	t.Run("excludes leave migrations out", func(t *testing.T) {
		db := openSQLite(t)
		m := sqlite(db, fsys, gooseplus.WithGooseOptions(
			goose.WithExcludeVersions([]int64{2}), goose.WithExcludeNames([]string{"3_c.sql"})))
		mustMigrate(t, m)
		applied(t, db, 1)
		mustMigrate(t, m)
		mustMigrate(t, sqlite(db, fsys))
		applied(t, db, 1, 2, 3)
	})

	t.Run("what gooseplus decides has no effect", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fsys, gooseplus.WithGooseOptions(
			goose.WithVerbose(false), goose.WithAllowOutofOrder(false), goose.WithDisableGlobalRegistry(false))))
		applied(t, db, 1, 2, 3)
	})

	t.Run("what would break the contract is a fault", func(t *testing.T) {
		fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, fsys, gooseplus.WithGooseOptions(
				goose.WithVerbose(true), goose.WithTableName("elsewhere"), goose.WithIsolateDDL(true),
				goose.WithGoMigrations((*goose.Migration)(nil))))
		}, "option 2 ", "WithVersionTable", "option 3 ", "option 4 ")
	})

	t.Run("options that only fail together", func(t *testing.T) {
		fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, fsys, gooseplus.WithGooseOptions(
				goose.WithExcludeVersions([]int64{2}), goose.WithExcludeVersions([]int64{2})))
		}, "WithGooseOptions", "duplicate excludes version: 2")
	})
}

// TestOnePooledConnection: goose takes a second connection for a Go migration without a
// transaction; here that has the run's own.
func TestOnePooledConnection(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	db.SetMaxOpenConns(1)
	noTx := goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }}, nil)
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(noTx)))
	applied(t, db, 1, 2)
}
