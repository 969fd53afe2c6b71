package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// onEachLocked is onDatabases with the lock off and, over another driver, on.
func onEachLocked(t *testing.T, test func(*testing.T, *place, gooseplus.Option)) {
	having().onEachLocked(t, test)
}

func (c choice) onEachLocked(t *testing.T, test func(*testing.T, *place, gooseplus.Option)) {
	for turn, lock := range []bool{false, true} {
		for _, x := range c.drivers(t, uint32(turn)) {
			t.Run(fmt.Sprintf("%s, lock %t", x.name, lock), func(t *testing.T) {
				t.Parallel()
				test(t, x.place(t), gooseplus.WithGlobalLock(lock))
			})
		}
	}
}

// TestDirty leaves a step half-applied that no transaction protects.
func TestDirty(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	half := noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO missing VALUES (1);", "DROP TABLE half;\nDROP TABLE missing;")
	set := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_half.sql": half, "3_c.sql": table("c")}

	t.Run("a failed step that could not be undone", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			m := p.migrator(from(files(set)), lock)
			stuck := wantStuck(t, m.Migrate(ctx), 0, 1)
			wantIs(t, stuck, gooseplus.ErrDirty)
			p.want(t, []int64{1}, []string{"a"}) // its Down got as far as its first statement

			for name, call := range map[string]func() error{
				"Migrate":    func() error { return m.Migrate(ctx) },
				"MigrateTo":  func() error { return m.MigrateTo(ctx, 1) }, // which has nothing to do
				"Rollback":   func() error { return m.Rollback(ctx, 1) },
				"RollbackTo": func() error { return m.RollbackTo(ctx, 0) },
				"Goto":       func() error { return m.Goto(ctx, 3) },
				"Plan":       func() error { _, err := m.Plan(ctx); return err },
			} {
				err := call()
				wantIs(t, err, gooseplus.ErrDirty)
				wantIsNot(t, err, gooseplus.ErrRollBack)
				wantText(t, err, "2 (sql/base/2_half.sql)")
				wantText(t, err, "Force")
				if t.Failed() {
					t.Fatal(name)
				}
			}
			p.want(t, []int64{1}, []string{"a"})
			s, err := m.Status(ctx)
			if err != nil || !s.Dirty || s.CurrentVersion != 1 || s.PendingCount != 2 ||
				s.Migrations[0].Failed || !s.Migrations[1].Failed || s.Migrations[2].Failed {
				t.Errorf("status %+v, %v", s, err)
			}

			p.exec(t, "CREATE TABLE missing (id INTEGER)") // what the person does
			if err := m.Force(ctx, 1); err != nil {
				t.Fatal(err)
			}
			if s, err := m.Status(ctx); err != nil || s.Dirty || s.Migrations[1].Failed {
				t.Errorf("status %+v, %v", s, err)
			}
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2, 3}, []string{"a", "c", "half", "missing"})
			if left := (record{p}).marks(t); left != "" {
				t.Errorf("marked: %s", left)
			}
		})
	})

	t.Run("a failed Down", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			set := map[string]*fstest.MapFile{"1_a.sql": table("a"),
				"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "CREATE TABLE trash (id INTEGER);\nDROP TABLE never;")}
			m := p.migrator(from(files(set)), lock)
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			err := m.Rollback(ctx, 1)
			wantIs(t, err, gooseplus.ErrRollBack)
			wantIs(t, err, gooseplus.ErrDirty)
			for _, call := range []func(context.Context) error{
				m.Migrate, // which has nothing to do
				func(ctx context.Context) error { return m.Goto(ctx, 2) },
				func(ctx context.Context) error { return m.Rollback(ctx, 2) },
			} {
				err := call(ctx)
				wantIs(t, err, gooseplus.ErrDirty)
				wantText(t, err, "migration 2 (sql/base/2_b.sql) down failed")
			}
			p.want(t, []int64{1, 2}, []string{"a", "b", "trash"})
			if err := m.Force(ctx, 2); err != nil {
				t.Fatal(err)
			}
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
		})
	})

	t.Run("a failed step that was undone", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			set := map[string]*fstest.MapFile{"1_a.sql": table("a"),
				"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);\nINSERT INTO missing VALUES (1);", "DROP TABLE IF EXISTS b;")}
			m := p.migrator(from(files(set)), lock)
			wantFailed(t, m.Migrate(ctx), 2)
			if left := (record{p}).marks(t); left != "" {
				t.Errorf("marked: %s", left)
			}
			wantFailed(t, m.Migrate(ctx), 2)
		})
	})

	t.Run("nothing is ever marked for steps in transactions", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			if !p.transactionalDDL {
				return
			}
			set := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b")}
			m := p.migrator(forgetful([]gooseplus.Option{from(files(set))})...)
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			set["3_x.sql"] = script("CREATE TABLE a (id INTEGER);", "")
			wantFailed(t, p.migrator(forgetful([]gooseplus.Option{from(files(set))})...).Migrate(ctx), 3)
			if err := m.RollbackTo(ctx, 0); err != nil {
				t.Fatal(err)
			}
			record{p}.wantNoState(t)
		})
	})
}

// TestDirtyCrash kills a process in the middle of a step.
func TestDirtyCrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	commitsDDL := having(server, without(transactionalDDL))
	for name, s := range map[string]struct {
		on    choice
		dirty bool
	}{
		"half":   {having(server), true},
		"single": {commitsDDL, false},
		"rows":   {commitsDDL, false},
		"go":     {commitsDDL, true}, // nobody can read what it does, but it has committed something
	} {
		t.Run(name, func(t *testing.T) {
			s.on.onDatabases(t, func(t *testing.T, p *place) {
				p.counting(t)
				kill := victims{p}.holder(t, name)
				p.untilAny(t, "the step is marked", "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'dirty' AND version_id = 2")
				p.untilAny(t, "the server is in its slow statement", p.working("SLEEP("))
				kill()
				m := p.locking(p.instance(t), append(victimSetOptions(p, name), from(victimSets[name](p)))...)
				err := m.Migrate(ctx)
				if s.dirty {
					wantIs(t, err, gooseplus.ErrDirty)
					wantIsNot(t, err, gooseplus.ErrRollBack)
					wantText(t, err, "migration 2")
					wantText(t, err, "up was cut off")
					if status, err := m.Status(ctx); err != nil || !status.Dirty {
						t.Errorf("status %+v, %v", status, err)
					}
					wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
					p.exec(t, "DROP TABLE half") // what the person does
					if err = m.Force(ctx, 1); err == nil {
						err = m.Migrate(ctx)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				counted := []int64{1, 2, 3}
				switch name {
				case "single":
					counted = []int64{1, 3}
				case "rows":
					counted = []int64{1, 2, 3, 7}
				}
				if got := column[int64](t, p.db, "SELECT v FROM counted ORDER BY v"); !slices.Equal(got, counted) {
					t.Errorf("counted %v, want %v", got, counted)
				}
				if got := column[int64](t, p.db, "SELECT version_id FROM goose_db_version ORDER BY version_id"); !slices.Equal(got, []int64{0, 1, 2, 3}) {
					t.Errorf("versions %v", got)
				}
				if left := (record{p}).marks(t); left != "" {
					t.Errorf("marked: %s", left)
				}
				locks{p}.wantFree(t)
			})
		})
	}
}

// TestCutOffBesideOthers: the next run clears away what a step has left that was cut off, if it is certain what that is. It removes no
// column that somebody had made by hand before, and a Down that is refused for other reasons than that there is nothing to remove
// has cleared nothing away.
func TestCutOffBesideOthers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		for _, c := range []struct {
			name        string
			lock, waits string // what keeps the victim waiting, and in which statement
			between     []string
			check       string
		}{
			{"phone", "LOCK TABLES people WRITE", "ALTER TABLE people", nil, "SELECT count(phone) FROM people"},
			{"made", "LOCK TABLES goose_db_version READ, goose_db_version AS v READ", "INSERT INTO%goose_db_version",
				[]string{"CREATE TABLE child (id INTEGER, FOREIGN KEY (id) REFERENCES made (id))", "INSERT INTO made VALUES (1), (2)"}, "SELECT count(*) FROM made"},
		} {
			t.Run(c.name, func(t *testing.T) {
				p.counting(t)
				p.exec(t, "CREATE TABLE people (id INTEGER, phone INTEGER)", "INSERT INTO people VALUES (1, 1), (2, 2)")
				m := p.locking(p.instance(t), from(victimSets[c.name](p)))
				if err := m.MigrateTo(ctx, 1); err != nil {
					t.Fatal(err)
				}
				locker := pin(t, p.db, 1)[0]
				defer locker.Close()
				if _, err := locker.ExecContext(ctx, c.lock); err != nil {
					t.Fatal(err)
				}
				kill := victims{p}.holder(t, c.name)
				waiting := "FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '" + c.waits + "%' AND state LIKE 'Waiting for %'"
				p.untilAny(t, "the victim waits", "SELECT count(*) "+waiting)
				kill()
				for _, id := range column[int](t, p.db, "SELECT id "+waiting) { // otherwise the server goes on with it
					p.exec(t, fmt.Sprintf(p.kill, id))
				}
				if _, err := locker.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
					t.Fatal(err)
				}
				p.exec(t, c.between...)
				for range 2 {
					wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
				}
				if n := column[int](t, p.db, c.check)[0]; n != 2 {
					t.Errorf("%d rows are left", n)
				}
				if s, err := m.Status(ctx); err != nil || !s.Dirty {
					t.Errorf("dirty %v, %v", s.Dirty, err)
				}
			})
		}
	})
}

// victimSetOptions are the Go migrations of a set.
func victimSetOptions(p *place, set string) []gooseplus.Option {
	if set != "go" {
		return nil
	}
	return []gooseplus.Option{gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(execTx(ctx, tx, "CREATE TABLE half (id INTEGER)"), execTx(ctx, tx, p.sleeping(2*time.Second)),
			execTx(ctx, tx, "INSERT INTO counted VALUES (2)"))
	}}, nil))}
}

func init() {
	count := func(v int) string { return fmt.Sprintf("INSERT INTO counted VALUES (%d);", v) }
	around := func(second *fstest.MapFile, name string) fstest.MapFS {
		named := map[string]*fstest.MapFile{"001_a.sql": script(count(1), ""), "003_c.sql": script(count(3), "")}
		if second != nil {
			named["002_"+name+".sql"] = second
		}
		return files(named)
	}
	victimSets["go"] = func(p *place) fstest.MapFS { return around(nil, "go") }
	victimSets["phone"] = func(*place) fstest.MapFS {
		return around(script("ALTER TABLE people ADD COLUMN phone INTEGER;", "ALTER TABLE people DROP COLUMN phone;"), "phone")
	}
	victimSets["made"] = func(*place) fstest.MapFS {
		return around(script("CREATE TABLE made (id INTEGER PRIMARY KEY);", "DROP TABLE made;"), "made")
	}
	victimSets["rows"] = func(p *place) fstest.MapFS {
		return around(script("INSERT INTO counted VALUES (7);\n"+p.sleeping(time.Second)+";\n"+count(2), "DELETE FROM counted WHERE v IN (2, 7);"), "rows")
	}
	victimSets["half"] = func(p *place) fstest.MapFS {
		return around(noTransaction("CREATE TABLE half (id INTEGER);\n"+p.sleeping(2*time.Second)+";\n"+count(2), "DROP TABLE half;"), "half")
	}
	// It sleeps in its one DDL statement, which the server carries to its end or not at all.
	victimSets["single"] = func(p *place) fstest.MapFS {
		return around(script("CREATE TABLE single AS SELECT SLEEP(1) AS s;", "DROP TABLE single;"), "single")
	}
}
