package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

func pairs() fstest.MapFS {
	return fstest.MapFS{
		"sql/base/000001_a.up.sql":   {Data: []byte("CREATE TABLE a (id INTEGER);\r\nCREATE TABLE log (id INTEGER)")},
		"sql/base/000001_a.down.sql": {Data: []byte("DROP TABLE a; DROP TABLE log;")},
		"sql/base/000002_t.up.sql": {Data: []byte("CREATE TRIGGER t AFTER INSERT ON a BEGIN\n" +
			"  INSERT INTO log VALUES (new.id);\n  DELETE FROM a;\nEND;\n")},
		"sql/base/000002_t.down.sql": {Data: []byte("DROP TRIGGER t;")},
		"sql/base/3_goose.sql":       migrationFile("CREATE TABLE g (id INTEGER);", "DROP TABLE g;"),
		"sql/test/000004_b.up.sql":   {Data: []byte("CREATE TABLE b (id INTEGER)")},
		"sql/test/000004_b.down.sql": {Data: []byte("DROP TABLE b")},
	}
}

func TestPairs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("up and down", func(t *testing.T) {
		db := openSQLite(t)
		m := sqlite(db, pairs(), gooseplus.WithEnvironments("test"))
		if err := m.Err(); err != nil {
			t.Fatal(err)
		}
		mustMigrate(t, m)
		applied(t, db, 1, 2, 3, 4)
		tables(t, db, "a", "b", "g", "log")
		if err := m.RollbackTo(ctx, 0); err != nil {
			t.Fatal(err)
		}
		tables(t, db)
	})

	t.Run("an up without a down", func(t *testing.T) {
		db := openSQLite(t)
		m := sqlite(db, fstest.MapFS{"sql/base/1_a.up.sql": {Data: []byte("CREATE TABLE a (id INTEGER)")}})
		mustMigrate(t, m)
		wantIs(t, m.Rollback(ctx, 1), gooseplus.ErrIrreversible)
		applied(t, db, 1)
	})

	t.Run("one that fails half-way", func(t *testing.T) {
		db := openSQLite(t)
		fsys := pairs()
		const bad = "CREATE TABLE c (id INTEGER); INSERT INTO nowhere VALUES (1);"
		fsys["sql/base/5_bad.up.sql"] = &fstest.MapFile{Data: []byte(bad)}
		err := sqlite(db, fsys).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrRollForward)
		var failed *gooseplus.MigrationError
		if !errors.As(err, &failed) || failed.Source != "sql/base/5_bad.up.sql" || failed.Statement != bad {
			t.Errorf("%+v", failed)
		}
		tables(t, db)
	})

	t.Run("one with transactions of its own is outside one", func(t *testing.T) {
		fsys := pairs()
		fsys["sql/base/5_own.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE c (id INTEGER);\nCOMMIT;\nBEGIN;")}
		steps, err := sqlite(openSQLite(t), fsys).Plan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if s.Transactional != (s.Version != 5) {
				t.Errorf("%+v", s)
			}
		}
	})

	t.Run("faults name both files", func(t *testing.T) {
		for _, s := range [][2]string{
			{"1_a.sql", "1_a.up.sql"}, {"1_a.sql", "1_a.down.sql"}, {"1_a.up.sql", "01_a.up.sql"},
		} {
			fsys := fstest.MapFS{"sql/base/" + s[0]: {}, "sql/base/" + s[1]: {}}
			wantIs(t, fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, fsys) },
				"version 1", "sql/base/"+s[0], "sql/base/"+s[1]), gooseplus.ErrMergeMigrations)
		}
		wantIs(t, fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, fstest.MapFS{"sql/base/1_a.down.sql": {}}) },
			"sql/base/1_a.down.sql without the .up.sql file"), gooseplus.ErrMergeMigrations)
	})
}
