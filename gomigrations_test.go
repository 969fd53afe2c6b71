package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// register puts Go migrations into goose's global registry, as a package full of them does when it
// is imported, for the length of a test. The paths are those at compile time.
func register(t *testing.T, paths ...string) {
	t.Helper()
	goose.ResetGlobalMigrations()
	t.Cleanup(goose.ResetGlobalMigrations)
	for _, path := range paths {
		version, err := goose.NumericComponent(path)
		if err != nil {
			t.Fatal(err)
		}
		goose.AddNamedMigrationContext(path, create(version), drop(version))
	}
}

func create(version int64) goose.GoMigrationContext {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE TABLE go%d (id INTEGER)", version))
		return err
	}
}

func drop(version int64) goose.GoMigrationContext {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("DROP TABLE go%d", version))
		return err
	}
}

func TestRegisteredGoMigrations(t *testing.T) {
	t.Run("belong to the folder of their source file", func(t *testing.T) {
		register(t, "/build/app/sql/base/0002_x.go", "/build/app/sql/test/0003_y.go", "/build/app/sql/production/0004_z.go")
		fsys := folder("sql/base/1_a.sql", "sql/test/5_b.sql")
		for _, s := range []struct {
			environments []string
			want         []int64
		}{
			{[]string{"base"}, []int64{1, 2}},
			{[]string{"base", "test"}, []int64{1, 2, 3, 5}},
			{[]string{"base", "production"}, []int64{1, 2, 4}},
		} {
			db := openSQLite(t)
			mustMigrate(t, sqlite(db, fsys, gooseplus.SetEnvironments(s.environments)))
			applied(t, db, s.want...)
		}
	})

	t.Run("built with -trimpath", func(t *testing.T) {
		register(t, "example.org/app/sql/base/0002_x.go")
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql")))
		applied(t, db, 1, 2)
	})

	t.Run("a folder whose name only ends alike is another one", func(t *testing.T) {
		register(t, "/build/app/mysql/base/0002_x.go")
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql")))
		applied(t, db, 1)
	})

	t.Run("of another environment may share a version with a file", func(t *testing.T) {
		register(t, "/build/app/sql/test/0001_x.go")
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql")))
		applied(t, db, 1)
		err := sqlite(db, folder("sql/base/1_a.sql", "sql/test/2_b.sql"), gooseplus.WithEnvironments("test")).Err()
		wantIs(t, err, gooseplus.ErrMergeMigrations)
	})

	t.Run("go files in the folder decide", func(t *testing.T) {
		register(t, "/build/app/sql/base/0002_x.go", "/build/other/sql/base/0003_y.go")
		fsys := folder("sql/base/1_a.sql")
		fsys["sql/base/0002_x.go"] = &fstest.MapFile{Data: []byte("package base")}
		fsys["sql/base/0002_x_test.go"] = &fstest.MapFile{Data: []byte("package base")}
		fsys["sql/base/helpers.go"] = &fstest.MapFile{Data: []byte("package base")}
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fsys))
		applied(t, db, 1, 2)
	})

	t.Run("a go file that nobody registered is a fault", func(t *testing.T) {
		register(t)
		fsys := folder("sql/base/1_a.sql")
		fsys["sql/base/0002_x.go"] = &fstest.MapFile{Data: []byte("package base")}
		err := fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, fsys) }, "sql/base/0002_x.go is not registered")
		wantIs(t, err, gooseplus.ErrMergeMigrations)
	})

	t.Run("at the root of a file system all belong, as in goose", func(t *testing.T) {
		register(t, "/build/app/migrations/0002_x.go")
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("1_a.sql"), gooseplus.WithBasePath("."), gooseplus.SetEnvironments(nil)))
		applied(t, db, 1, 2)
	})

	t.Run("without a source they belong nowhere, and are no fault", func(t *testing.T) {
		register(t)
		if err := goose.SetGlobalMigrations(goose.NewGoMigration(9, &goose.GoFunc{RunTx: create(9)}, nil)); err != nil {
			t.Fatal(err)
		}
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql")))
		applied(t, db, 1)
	})

	t.Run("beside one without a source they can't be had: a fault, not a silent omission", func(t *testing.T) {
		register(t, "/build/app/sql/base/0002_x.go")
		if err := goose.SetGlobalMigrations(goose.NewGoMigration(9, &goose.GoFunc{RunTx: create(9)}, nil)); err != nil {
			t.Fatal(err)
		}
		fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, folder("sql/base/1_a.sql")) }, "WithGoMigrations")
	})

	t.Run("of two folders that end alike can't be told apart", func(t *testing.T) {
		register(t, "/build/app/sql/base/0002_x.go", "/build/vendored/sql/base/0003_y.go")
		err := fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, folder("sql/base/1_a.sql")) },
			"/build/app/sql/base", "/build/vendored/sql/base")
		wantIs(t, err, gooseplus.ErrMergeMigrations)
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("app/sql/base/1_a.sql"), gooseplus.WithBasePath("app/sql")))
		applied(t, db, 1, 2)
	})

	t.Run("are undone like any other", func(t *testing.T) {
		register(t, "/build/app/sql/base/0002_x.go")
		fsys := folder("sql/base/1_a.sql")
		fsys["sql/base/3_bad.sql"] = migrationFile("INSERT INTO nowhere VALUES (1);", "")
		db := openSQLite(t)
		wantIs(t, sqlite(db, fsys).Migrate(context.Background()), gooseplus.ErrRollForward)
		applied(t, db)
	})
}

func TestExplicitGoMigrations(t *testing.T) {
	x := goose.NewGoMigration(2, &goose.GoFunc{RunTx: create(2)}, &goose.GoFunc{RunTx: drop(2)})

	t.Run("are part of every run", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/3_b.sql"), gooseplus.WithGoMigrations(x)))
		applied(t, db, 1, 2, 3)
	})

	t.Run("need no folder", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fstest.MapFS{}, gooseplus.WithGoMigrations(x)))
		applied(t, db, 2)
	})

	t.Run("a version that is taken", func(t *testing.T) {
		err := fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, folder("sql/base/2_a.sql"), gooseplus.WithGoMigrations(x))
		}, "version 2", "sql/base/2_a.sql", "Go migration 2")
		wantIs(t, err, gooseplus.ErrMergeMigrations)
		fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(x, x))
		}, "version 2")
	})

	t.Run("what goose would refuse", func(t *testing.T) {
		fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(&goose.Migration{Version: 5}))
		}, "migration 1", "NewGoMigration")
	})

	t.Run("receive the values of the context, on the way back too", func(t *testing.T) {
		type key struct{}
		var up, down any
		m := goose.NewGoMigration(2,
			&goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error { up = ctx.Value(key{}); return nil }},
			&goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error { down = ctx.Value(key{}); return nil }})
		fsys := folder("sql/base/1_a.sql")
		fsys["sql/base/3_bad.sql"] = migrationFile("INSERT INTO nowhere VALUES (1);", "")
		err := sqlite(openSQLite(t), fsys, gooseplus.WithGoMigrations(m)).Migrate(context.WithValue(context.Background(), key{}, "v"))
		wantIs(t, err, gooseplus.ErrRollForward)
		if up != "v" || down != "v" {
			t.Errorf("up got %v, down got %v", up, down)
		}
	})

	t.Run("both directions nil only move the version", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fstest.MapFS{}, gooseplus.WithGoMigrations(goose.NewGoMigration(1, nil, nil))))
		applied(t, db, 1)
	})
}

// TestGoexitOfAGoMigration: t.FailNow in a migration must not take goose's goroutine with it, nor
// wait for the timeouts, and there are none here.
func TestGoexitOfAGoMigration(t *testing.T) {
	tx := func(ctx context.Context, tx *sql.Tx) error {
		if err := create(2)(ctx, tx); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	}
	noTx := func(ctx context.Context, db *sql.DB) error {
		if _, err := db.ExecContext(ctx, `CREATE TABLE go2 (id INTEGER)`); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	}
	undo := func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, `DROP TABLE IF EXISTS go2`)
		return err
	}
	for situation, m := range map[string]*goose.Migration{
		"in a transaction":      goose.NewGoMigration(2, &goose.GoFunc{RunTx: tx}, nil),
		"without a transaction": goose.NewGoMigration(2, &goose.GoFunc{RunDB: noTx}, &goose.GoFunc{RunDB: undo}),
	} {
		t.Run(situation, func(t *testing.T) {
			db := openSQLite(t)
			err := sqlite(db, folder("sql/base/1_a.sql", "sql/base/3_b.sql"), gooseplus.WithGoMigrations(m),
				gooseplus.WithTimeout(0), gooseplus.WithMigrationTimeout(0), gooseplus.WithRollbackTimeout(0)).Migrate(context.Background())
			wantIs(t, err, gooseplus.ErrRollForward)
			want := "migration failed, the database is back at its starting point: " +
				"migration 2 up: the migration ended its goroutine (runtime.Goexit)"
			if err == nil || err.Error() != want {
				t.Errorf("the message is\n%v, want\n%s", err, want)
			}
			applied(t, db)
			var tables int
			if err := db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE name IN ('a', 'b', 'go2')`).Scan(&tables); err != nil || tables != 0 {
				t.Errorf("%d tables are left, %v", tables, err)
			}
		})
	}
}

func TestPanicOfAGoMigration(t *testing.T) {
	cause := errors.New("out of geese")
	m := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { panic(cause) }}, nil)
	logger, logs := observedLogger()
	db := openSQLite(t)
	err := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(m), gooseplus.WithLogger(logger)).Migrate(context.Background())
	wantIs(t, err, gooseplus.ErrRollForward)
	wantIs(t, err, cause)
	if want := "migration failed, the database is back at its starting point: migration 2 up: panic: out of geese"; err.Error() != want {
		t.Errorf("the message is\n%q, want\n%q", err.Error(), want)
	}
	failed := logs.FilterMessage("migration failed").All()
	if len(failed) != 1 {
		t.Fatalf("logs: %v", logs.All())
	}
	if stack, _ := failed[0].ContextMap()["stack"].(string); !strings.Contains(stack, "TestPanicOfAGoMigration.func") {
		t.Errorf("the log has not the stack of the panic: %v", failed[0].ContextMap())
	}
	applied(t, db)
}

// TestGoMigrationFindsTheDriversConnection: code that asks for it, as COPY with pgx does, has to find it.
func TestGoMigrationFindsTheDriversConnection(t *testing.T) {
	db := openSQLite(t)
	typeOf := func(ctx context.Context, db *sql.DB, unwrap func(any, func(any) error) error) (name string, err error) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return name, conn.Raw(func(dc any) error {
			return unwrap(dc, func(dc any) error { name = fmt.Sprintf("%T", dc); return nil })
		})
	}
	want, err := typeOf(t.Context(), db, func(dc any, f func(any) error) error { return f(dc) })
	if err != nil {
		t.Fatal(err)
	}
	m := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		got, err := typeOf(ctx, db, func(dc any, f func(any) error) error {
			return dc.(interface{ Raw(func(any) error) error }).Raw(f)
		})
		if got != want {
			t.Errorf("the migration finds a %s, want a %s", got, want)
		}
		return err
	}}, nil)
	mustMigrate(t, sqlite(db, nil, gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithGoMigrations(m)))
}
