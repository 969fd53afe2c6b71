package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// viewDefinitions has a view in two versions, of which the second goes back by a Replay. They are defined
// in no order.
func viewDefinitions() *gooseplus.Definitions {
	d := new(gooseplus.Definitions)
	d.Define(3).Up(`DROP VIEW IF EXISTS names; CREATE VIEW names AS SELECT upper(name) AS name FROM a`).DownAction(gooseplus.Replay(2))
	d.Define(1).Up(`CREATE TABLE a (name TEXT); INSERT INTO a VALUES ('x;y');`).Down(`DROP TABLE a`)
	d.Define(2).Up(`DROP VIEW IF EXISTS names; CREATE VIEW names AS SELECT name FROM a`).Down(`DROP VIEW names`)
	return d
}

func TestDefinitionFaults(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		situation string
		define    func(*gooseplus.Definitions)
		want      []string // one text for each fault
	}{
		{"none", func(d *gooseplus.Definitions) {
			d.Define(2).Up("SELECT 2").DownAction(gooseplus.Replay(1))
			d.Define(1).UpAction(gooseplus.Command("SELECT 1")).Down("SELECT 1")
		}, nil},
		{"an empty set", func(*gooseplus.Definitions) {}, nil},
		{"a version twice", func(d *gooseplus.Definitions) { d.Define(7).Up("x"); d.Define(8).Up("x"); d.Define(7).Up("x") },
			[]string{"version 7 is claimed by both "}},
		{"no Up", func(d *gooseplus.Definitions) { d.Define(7).Down("x") }, []string{"/definitions_test.go:"}},
		{"a blank Up", func(d *gooseplus.Definitions) { d.Define(7).Up(" \n") }, []string{"it has no Up"}},
		{"version 0 and below", func(d *gooseplus.Definitions) { d.Define(0).Up("x"); d.Define(-3).Up("x") },
			[]string{"version 0", "version -3"}},
		{"an Up twice", func(d *gooseplus.Definitions) { d.Define(7).Up("x").UpAction(gooseplus.Command("x")) }, []string{"its Up is set twice"}},
		{"a Down twice", func(d *gooseplus.Definitions) { d.Define(7).Up("x").Down("x").Down("x") }, []string{"its Down is set twice"}},
		{"a Replay of an unknown version", func(d *gooseplus.Definitions) { d.Define(7).Up("x").DownAction(gooseplus.Replay(6)) },
			[]string{"its Down is a Replay of version 6, which is not known"}},
		{"a Replay of a later version", func(d *gooseplus.Definitions) {
			d.Define(7).Up("x").DownAction(gooseplus.Replay(8))
			d.Define(8).Up("x")
		}, []string{"its Down is a Replay of version 8, which is later"}},
		{"a Replay of itself", func(d *gooseplus.Definitions) { d.Define(7).Up("x").DownAction(gooseplus.Replay(7)) },
			[]string{"its Down is a Replay of itself"}},
		{"a Replay in an Up", func(d *gooseplus.Definitions) {
			d.Define(1).Up("x")
			d.Define(7).UpAction(gooseplus.Replay(1))
		}, nil},
		{"misplaced Replays in Ups", func(d *gooseplus.Definitions) {
			d.Define(7).UpAction(gooseplus.Replay(7))
			d.Define(8).UpAction(gooseplus.Replay(9))
			d.Define(9).Up("x")
		}, []string{"its Up is a Replay of itself", "its Up is a Replay of version 9, which is later"}},
		{"an Up that is a Replay of an unknown version", func(d *gooseplus.Definitions) { d.Define(9).UpAction(gooseplus.Replay(6)) },
			[]string{"its Up is a Replay of version 6, which is not known"}},
		{"nothing to call", func(d *gooseplus.Definitions) {
			d.Define(1).UpAction(gooseplus.TxFunc(nil)).DownAction(gooseplus.DBFunc(nil))
			d.Define(2).UpAction(gooseplus.Action{})
		}, []string{"function is nil", "function is nil", "an Action is empty"}},
		{"all together", func(d *gooseplus.Definitions) {
			d.Define(-1).Down("x").Down("x").DownAction(gooseplus.Replay(-1))
			d.Define(-1)
		}, []string{"the lowest", "no Up", "Down is set twice", "Replay of itself", "the lowest", "no Up", "claimed by both"}},
	} {
		t.Run(s.situation, func(t *testing.T) {
			var d gooseplus.Definitions
			s.define(&d)
			err := d.Err()
			var texts []string
			if err != nil {
				texts = strings.Split(err.Error(), "\n")
			}
			if len(texts) != len(s.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(texts), len(s.want), err)
			}
			for _, want := range s.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the faults don't say %q:\n%v", want, err)
				}
			}
			if len(s.want) == 0 {
				return
			}
			wantIs(t, fault(t, func(db *sql.DB) *gooseplus.Migrator {
				return sqlite(db, folder("sql/base/100_a.sql"), gooseplus.WithDefinitions(&d))
			}, s.want...), gooseplus.ErrMergeMigrations)
		})
	}
}

func TestDefinitionsAreMerged(t *testing.T) {
	t.Parallel()
	t.Run("alone they need no folder", func(t *testing.T) {
		db := openSQLite(t)
		m := sqlite(db, fstest.MapFS{}, gooseplus.WithDefinitions(viewDefinitions()))
		mustMigrate(t, m)
		applied(t, db, 1, 2, 3)
		if err := m.RollbackTo(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		applied(t, db)
	})

	t.Run("an empty set is a forgotten import", func(t *testing.T) {
		fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, fstest.MapFS{}, gooseplus.WithDefinitions(new(gooseplus.Definitions)))
		}, `base path "sql"`)
	})

	t.Run("nil", func(t *testing.T) {
		fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithDefinitions(nil))
		}, "WithDefinitions: it is nil")
	})

	t.Run("with all other sorts, and with each other", func(t *testing.T) {
		var d, e gooseplus.Definitions
		d.Define(5).Up(`CREATE TABLE d5 (id INTEGER)`).Down(`DROP TABLE d5`)
		e.Define(2).Up(`CREATE TABLE e2 (id INTEGER)`).Down(`DROP TABLE e2`)
		fsys := folder("sql/base/1_a.sql", "sql/test/4_t.sql")
		fsys["sql/base/3_p.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE p (id INTEGER)")}
		fsys["sql/base/3_p.down.sql"] = &fstest.MapFile{Data: []byte("DROP TABLE p")}
		db := openSQLite(t)
		m := sqlite(db, fsys, gooseplus.WithDefinitions(&d), gooseplus.WithDefinitions(&e), gooseplus.WithDefinitions(&d),
			gooseplus.WithEnvironments("test"),
			gooseplus.WithGoMigrations(goose.NewGoMigration(6, &goose.GoFunc{RunTx: create(6)}, &goose.GoFunc{RunTx: drop(6)})))
		if err := m.Err(); err != nil {
			t.Fatal(err)
		}
		mustMigrate(t, m)
		applied(t, db, 1, 2, 3, 4, 5, 6)
		if err := m.RollbackTo(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		tables(t, db)
	})

	t.Run("a version that is taken", func(t *testing.T) {
		var d gooseplus.Definitions
		d.Define(1).Up("x")
		d.Define(2).Up("x")
		wantIs(t, fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithDefinitions(&d),
				gooseplus.WithGoMigrations(goose.NewGoMigration(2, nil, nil)))
		}, "version 1 is claimed by both sql/base/1_a.sql and ",
			"version 2 is claimed by both Go migration 2"), gooseplus.ErrMergeMigrations)
	})

	t.Run("late", func(t *testing.T) {
		var d gooseplus.Definitions
		d.Define(5).Up(`CREATE TABLE d5 (id INTEGER)`)
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithDefinitions(&d)))
		d.Define(4).Up(`CREATE TABLE d4 (id INTEGER)`)
		d.Define(2).Up(`CREATE TABLE d2 (id INTEGER)`)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/3_b.sql"), gooseplus.WithDefinitions(&d)))
		applied(t, db, 1, 5, 2, 3, 4)
	})

	t.Run("what is defined after the first call is not seen", func(t *testing.T) {
		d := viewDefinitions()
		db := openSQLite(t)
		m := sqlite(db, fstest.MapFS{}, gooseplus.WithDefinitions(d))
		mustMigrate(t, m)
		d.Define(4).Up(`CREATE TABLE d4 (id INTEGER)`)
		mustMigrate(t, m)
		applied(t, db, 1, 2, 3)
	})
}

// tables asserts the tables and views of the database, except gooseplus's own.
func tables(t *testing.T, db *sql.DB, want ...string) {
	t.Helper()
	var list sql.NullString
	if err := db.QueryRow(`SELECT group_concat(name) FROM (SELECT name FROM sqlite_master WHERE type IN ('table', 'view')
		AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY name)`).Scan(&list); err != nil {
		t.Fatal(err)
	}
	if list.String != strings.Join(want, ",") {
		t.Errorf("the tables are %s, want %v", list.String, want)
	}
}

// TestActions goes up and down with every action beside every other.
func TestActions(t *testing.T) {
	t.Parallel()
	exec := func(query string) func(context.Context, *sql.Tx) error {
		return func(ctx context.Context, tx *sql.Tx) error { _, err := tx.ExecContext(ctx, query); return err }
	}
	execDB := func(query string) func(context.Context, *sql.DB) error {
		return func(ctx context.Context, db *sql.DB) error { _, err := db.ExecContext(ctx, query); return err }
	}
	const up, down = `CREATE TABLE b (id INTEGER)`, `DROP TABLE b`
	ups := map[string]gooseplus.Action{
		"Command": gooseplus.Command(up), "TxFunc": gooseplus.TxFunc(exec(up)), "DBFunc": gooseplus.DBFunc(execDB(up)),
	}
	downs := map[string]gooseplus.Action{
		"Command": gooseplus.Command(down), "TxFunc": gooseplus.TxFunc(exec(down)), "DBFunc": gooseplus.DBFunc(execDB(down)),
		"Replay of a definition": gooseplus.Replay(1), "Replay of a TxFunc": gooseplus.Replay(2),
		"Replay of a DBFunc": gooseplus.Replay(3), "Replay of a file": gooseplus.Replay(4),
		"Replay of a file without a transaction": gooseplus.Replay(5), "Replay of a pair": gooseplus.Replay(6),
		"Replay of a Go migration": gooseplus.Replay(7),
	}
	texts := map[string][2]string{
		"Command": {up, down}, "TxFunc": {"<go>", "<go>"}, "DBFunc": {"<go>", "<go>"},
		"Replay of a definition": {"", "DROP TABLE IF EXISTS b"}, "Replay of a TxFunc": {"", "<go>"},
		"Replay of a DBFunc": {"", "<go>"}, "Replay of a file": {"", "DROP TABLE IF EXISTS b;"},
		"Replay of a file without a transaction": {"", "DROP TABLE IF EXISTS b;"}, "Replay of a pair": {"", "DROP TABLE IF EXISTS b;"},
		"Replay of a Go migration": {"", "<go>"},
	}
	const cleared = `DROP TABLE IF EXISTS b`
	fsys := fstest.MapFS{
		"sql/base/4_x.sql":    migrationFile(cleared+";", "SELECT 1;"),
		"sql/base/5_x.sql":    {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" + cleared + ";\n-- +goose Down\nSELECT 1;\n")},
		"sql/base/6_x.up.sql": {Data: []byte(cleared + ";")},
	}
	for upName, upAction := range ups {
		for downName, downAction := range downs {
			t.Run(upName+" and "+downName, func(t *testing.T) {
				var d gooseplus.Definitions
				d.Define(10).UpAction(upAction).DownAction(downAction)
				d.Define(1).Up(cleared)
				d.Define(2).UpAction(gooseplus.TxFunc(exec(cleared)))
				d.Define(3).UpAction(gooseplus.DBFunc(execDB(cleared)))
				db := openSQLite(t)
				m := sqlite(db, fsys, gooseplus.WithDefinitions(&d),
					gooseplus.WithGoMigrations(goose.NewGoMigration(7, &goose.GoFunc{RunTx: exec(cleared)}, nil)))
				if err := m.Err(); err != nil {
					t.Fatal(err)
				}
				mustMigrate(t, m)
				tables(t, db, "b")
				status, err := m.Status(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				last := status.Migrations[len(status.Migrations)-1]
				if last.Up != texts[upName][0] || last.Down != texts[downName][1] || !strings.Contains(last.Source, "/definitions_test.go:") {
					t.Errorf("%+v", last)
				}
				if err := m.Rollback(context.Background(), 1); err != nil {
					t.Fatal(err)
				}
				tables(t, db)
				applied(t, db, 1, 2, 3, 4, 5, 6, 7)
			})
		}
	}
}

// TestKindsOfSteps: each direction is in a transaction or not by itself.
func TestKindsOfSteps(t *testing.T) {
	t.Parallel()
	var d gooseplus.Definitions
	d.Define(2).Up(`CREATE TABLE b (id INTEGER)`).DownAction(gooseplus.Replay(1))
	d.Define(3).Up(`CREATE TABLE c (id INTEGER)`).DownAction(gooseplus.DBFunc(func(context.Context, *sql.DB) error { return nil }))
	d.Define(4).UpAction(gooseplus.DBFunc(func(context.Context, *sql.DB) error { return nil })).Down(`SELECT 1`)
	d.Define(5).Up(`CREATE TABLE d (id INTEGER)`).Down(`-- nothing`)
	fsys := fstest.MapFS{"sql/base/1_x.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nDROP TABLE IF EXISTS b;\n-- +goose Down\nSELECT 1;\n")}}
	db := openSQLite(t)
	var steps []string
	observe := func(_ context.Context, e gooseplus.Event) {
		if started, ok := e.(gooseplus.MigrationStarted); ok {
			s := started.Step
			steps = append(steps, fmt.Sprintf("%d %s %t %t", s.Version, s.Direction, s.Transactional, s.Reversible))
		}
	}
	m := sqlite(db, fsys, gooseplus.WithDefinitions(&d), gooseplus.WithObserver(observe))
	mustMigrate(t, m)
	wantIs(t, m.Rollback(context.Background(), 1), gooseplus.ErrIrreversible)
	if err := m.Force(context.Background(), 4); err != nil {
		t.Fatal(err)
	}
	if err := m.RollbackTo(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	want := []string{"1 up false true", "2 up true true", "3 up true true", "4 up false true", "5 up true false",
		"4 down true true", "3 down false true", "2 down false true"}
	if !slices.Equal(steps, want) {
		t.Errorf("the steps are\n%q, want\n%q", steps, want)
	}
	tables(t, db, "c", "d")
}

func TestStatementOfADefinition(t *testing.T) {
	t.Parallel()
	const bad = "INSERT INTO nowhere VALUES (1)"
	var d gooseplus.Definitions
	d.Define(1).Up(bad).DownAction(gooseplus.TxFunc(nop))
	d.Define(2).UpAction(gooseplus.TxFunc(nop)).Down(bad)
	d.Define(3).UpAction(gooseplus.TxFunc(nop)).DownAction(gooseplus.Replay(1))
	db := openSQLite(t)
	m := sqlite(db, nil, gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithDefinitions(&d))
	failsAt := func(err error, version int64, direction string) {
		t.Helper()
		wantIs(t, err, gooseplus.ErrRollForward)
		var failed *gooseplus.MigrationError
		if !errors.As(err, &failed) || failed.Version != version || failed.Direction != direction || failed.Statement != bad ||
			!strings.Contains(failed.Source, "/definitions_test.go:") {
			t.Errorf("%+v", failed)
		}
	}
	failsAt(m.Migrate(context.Background()), 1, "up")
	if err := m.Force(context.Background(), 3); err != nil {
		t.Fatal(err)
	}
	failsAt(m.Rollback(context.Background(), 1), 3, "down")
	if err := m.Force(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	failsAt(m.Rollback(context.Background(), 1), 2, "down")
	applied(t, db, 1, 2)
}

func nop(context.Context, *sql.Tx) error { return nil }

// TestReplayOfAVersionThatIsNotThere: the folders of the run decide which versions are known.
func TestReplayOfAVersionThatIsNotThere(t *testing.T) {
	t.Parallel()
	var d gooseplus.Definitions
	d.Define(5).Up(`CREATE TABLE d (id INTEGER)`).DownAction(gooseplus.Replay(2))
	fsys := folder("sql/base/1_a.sql", "sql/test/2_b.sql")
	wantIs(t, fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, fsys, gooseplus.WithDefinitions(&d)) },
		"/definitions_test.go:", "a Replay of version 2, which is not known"), gooseplus.ErrMergeMigrations)
	if err := sqlite(nil, fsys, gooseplus.WithDefinitions(&d), gooseplus.WithEnvironments("test")).Err(); err != nil {
		t.Error(err)
	}
	fault(t, func(db *sql.DB) *gooseplus.Migrator {
		return sqlite(db, fsys, gooseplus.WithDefinitions(&d), gooseplus.WithEnvironments("test"),
			gooseplus.WithGooseOptions(goose.WithExcludeVersions([]int64{2})))
	}, "a Replay of version 2, which is not known")
}

func TestDefinitionsAtOnce(t *testing.T) {
	t.Parallel()
	d := new(gooseplus.Definitions)
	var wg sync.WaitGroup
	for v := range int64(8) {
		wg.Go(func() {
			d.Define(v + 1).Up(fmt.Sprintf("CREATE TABLE t%d (id INTEGER)", v)).DownAction(gooseplus.TxFunc(nop))
		})
	}
	wg.Wait()
	for range 4 {
		db := openSQLite(t)
		wg.Go(func() {
			d.Define(100)
			if err := d.Err(); err == nil {
				t.Error("version 100 has no Up")
			}
		})
		wg.Go(func() {
			// Which of the faulty definitions are there yet is a matter of chance.
			_ = sqlite(db, nil, gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithDefinitions(d)).Migrate(context.Background())
		})
	}
	wg.Wait()
}
