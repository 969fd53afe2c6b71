package gooseplus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// viewFiles has a view in three versions, of which the second and the third go back by a Replay.
func viewFiles() fstest.MapFS {
	return fstest.MapFS{
		"sql/base/1_a.sql": migrationFile("CREATE TABLE a (name TEXT);", "DROP TABLE a;"),
		"sql/base/2_v.sql": migrationFile("DROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT name AS first FROM a;", "DROP VIEW v;"),
		"sql/base/3_v.sql": migrationFile("DROP VIEW v;\nCREATE VIEW v AS SELECT name AS second FROM a;",
			"-- the view as it was\n-- +gooseplus Replay 2\n-- and no more"),
		"sql/base/4_v.up.sql":   {Data: []byte("DROP VIEW v; CREATE VIEW v AS SELECT name AS third FROM a;")},
		"sql/base/4_v.down.sql": {Data: []byte("-- +gooseplus Replay 2\n")},
	}
}

func TestReplayInFiles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("executes the Up of the other version", func(t *testing.T) {
		db := openSQLite(t)
		m := sqlite(db, viewFiles())
		if err := m.Err(); err != nil {
			t.Fatal(err)
		}
		for _, back := range []int64{3, 2} {
			mustMigrate(t, m)
			if _, err := db.Exec(`SELECT third FROM v`); err != nil {
				t.Error(err)
			}
			if err := m.RollbackTo(ctx, back); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(`SELECT first FROM v`); err != nil {
				t.Error(err)
			}
		}
		applied(t, db, 1, 2)
	})

	t.Run("on the way back, after a boot that didn't apply the other version", func(t *testing.T) {
		db := openSQLite(t)
		fsys := viewFiles()
		if err := sqlite(db, fsys).MigrateTo(ctx, 2); err != nil {
			t.Fatal(err)
		}
		fsys["sql/base/5_bad.sql"] = migrationFile("INSERT INTO nowhere VALUES (1);", "")
		wantIs(t, sqlite(db, fsys).Migrate(ctx), gooseplus.ErrRollForward)
		applied(t, db, 1, 2)
		if _, err := db.Exec(`SELECT first FROM v`); err != nil {
			t.Error(err)
		}
	})

	t.Run("in one transaction", func(t *testing.T) {
		db := openSQLite(t)
		m := sqlite(db, viewFiles(), gooseplus.WithRollback(gooseplus.RollbackTransaction))
		mustMigrate(t, m)
		if err := m.Rollback(ctx, 2); err != nil {
			t.Fatal(err)
		}
		applied(t, db, 1, 2)
	})

	t.Run("in the status", func(t *testing.T) {
		status, err := sqlite(openSQLite(t), viewFiles()).Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{2, 3} {
			if m := status.Migrations[i]; m.Down != status.Migrations[1].Up || !strings.Contains(m.Down, "AS first") {
				t.Errorf("version %d has the Down %q", m.Version, m.Down)
			}
		}
		if source := status.Migrations[3].Source; source != "sql/base/4_v.up.sql" {
			t.Errorf("the source of a pair is %q", source)
		}
	})

	t.Run("of a Go migration", func(t *testing.T) {
		db := openSQLite(t)
		fsys := fstest.MapFS{"sql/base/3_x.sql": migrationFile("DROP TABLE go2;", "-- +gooseplus Replay 2")}
		m := sqlite(db, fsys, gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: create(2)}, nil)))
		mustMigrate(t, m)
		if err := m.Rollback(ctx, 1); err != nil {
			t.Fatal(err)
		}
		tables(t, db, "go2")
	})
}

// TestFaultsInFiles: Err finds without a database what a run finds in the files of its steps.
func TestFaultsInFiles(t *testing.T) {
	t.Parallel()
	up := "-- +goose Up\nSELECT 1;\n-- +goose Down\n"
	for _, s := range []struct {
		situation, file, text string
		content               string
	}{
		{"no annotation", "3_x.sql", "there is SQL before", "SELECT 1;"},
		{"an unknown annotation", "3_x.sql", "not supported", "-- +goose Upp\nSELECT 1;"},
		{"no semicolon", "3_x.sql", "no semicolon", "-- +goose Up\nSELECT 1\n"},
		{"a Replay of an unknown version", "3_x.sql", "a Replay of version 2, which is not known", up + "-- +gooseplus Replay 2\n"},
		{"a Replay of a later version", "3_x.sql", "a Replay of version 4, which is later", up + "-- +gooseplus Replay 4\n"},
		{"a Replay of itself", "3_x.sql", "a Replay of itself", up + "-- +gooseplus Replay 3\n"},
		{"a Replay beside a statement", "3_x.sql", "must have nothing else in it", up + "SELECT 1;\n-- +gooseplus Replay 1\n"},
		{"a Replay in an Up", "3_x.sql", "only a Down can be", "-- +goose Up\n-- +gooseplus Replay 1\n"},
		{"a misspelt Replay", "3_x.sql", "is none of -- +gooseplus Replay VERSION", up + "-- +gooseplus Repaly 1\n"},
		{"a goose file with the name of a pair", "3_x.up.sql", "it is a goose file", up + "SELECT 1;\n"},
		{"a Replay in an up file", "3_x.up.sql", "only a Down can be", "-- +gooseplus Replay 1\n"},
	} {
		t.Run(s.situation, func(t *testing.T) {
			fsys := folder("sql/base/1_a.sql", "sql/base/4_b.sql")
			fsys["sql/base/"+s.file] = &fstest.MapFile{Data: []byte(s.content)}
			db := openSQLite(t)
			for place, err := range map[string]error{"Err": sqlite(nil, fsys).Err(), "Migrate": sqlite(db, fsys).Migrate(context.Background())} {
				var broken *gooseplus.MigrationError
				if !errors.As(err, &broken) || broken.Version != 3 || broken.Source != "sql/base/"+s.file || !strings.Contains(err.Error(), s.text) {
					t.Errorf("%s says %v", place, err)
				}
				if errors.Is(err, gooseplus.ErrRollForward) != (place == "Migrate") {
					t.Errorf("%s says %v", place, err)
				}
			}
			untouched(t, db)
		})
	}

	t.Run("all are reported", func(t *testing.T) {
		fsys := fstest.MapFS{"sql/base/1_a.sql": {Data: []byte("x")}, "sql/base/2_b.sql": {Data: []byte(up + "-- +gooseplus Replay 1")}, "sql/base/3_c.sql": {Data: []byte("y")}}
		if err := sqlite(nil, fsys).Err(); err == nil || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("want both files that can't be parsed: %v", err)
		}
	})

	t.Run("a file that is not pending is none of a run's business", func(t *testing.T) {
		db := openSQLite(t)
		fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
		mustMigrate(t, sqlite(db, fsys))
		fsys["sql/base/1_a.sql"] = &fstest.MapFile{Data: []byte("broken")}
		mustMigrate(t, sqlite(db, fsys))
		if sqlite(nil, fsys).Err() == nil {
			t.Error("Err doesn't see it")
		}
	})
}
