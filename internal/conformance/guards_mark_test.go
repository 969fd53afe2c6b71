package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

const dirtyMarks = "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'dirty'"

// TestGuardRestoredWithoutTheLock: a migration has dropped the state table, and the run has lost the lock when the table is back: who
// has the lock now has not found the run. So the run executes nothing more.
func TestGuardRestoredWithoutTheLock(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		db, f := p.flaky(t)
		dropped, killed, executed := false, false, false
		f.before = func(statement string) {
			switch {
			case strings.Contains(statement, "DROP TABLE goose_db_version_lock"):
				dropped = true
			case dropped && !killed && strings.Contains(statement, "CREATE TABLE") && strings.Contains(statement, "goose_db_version_lock"):
				killed = true
				id := locks{p}.connection(t)
				p.exec(t, fmt.Sprintf(p.kill, id))
				eventually(t, "the end of the lock's connection", func() bool {
					return !slices.Contains(column[int64](t, p.db, "SELECT pid FROM pg_stat_activity"), id)
				})
			case strings.Contains(statement, "CREATE TABLE b"):
				executed = true
			}
		}
		err := p.locking(db, from(files(map[string]*fstest.MapFile{
			"1_a.sql": script("CREATE TABLE a (id INTEGER);\nDROP TABLE goose_db_version_lock;", "DROP TABLE IF EXISTS a;"),
			"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE IF EXISTS b;"),
		}))).Migrate(context.Background())
		if err == nil || executed {
			t.Errorf("the step was executed: %v, error %v", executed, err)
		}
		if !killed {
			t.Error("the state table was not made again: the test shows nothing")
		}
	})
}

// TestGuardMarkThatStays: the mark of a step can't be removed in the end. That is no failure of a run that succeeded, since the version
// table shows that the step has ended; a run that was undone says that later runs are refused.
func TestGuardMarkThatStays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	refused := errors.New("disk full")
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails %v", fails), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				named := map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE IF EXISTS a;")}
				if fails {
					named["1_a.sql"] = noTransaction("CREATE TABLE a (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS a;")
				}
				db, f := p.flaky(t)
				tries := 0
				f.refuse = func(statement string) error {
					if strings.Contains(statement, "DELETE FROM") && strings.Contains(statement, "'of:dirty:") && !strings.Contains(statement, "INSERT") {
						tries++
						return refused
					}
					return nil
				}
				told := 0
				m := p.over(db, from(files(named)), warnings("disk full", &told))
				err := m.Migrate(ctx)
				if tries < 2 || told != 1 {
					t.Errorf("%d tries to remove the mark and %d warnings, want several and 1", tries, told)
				}
				if n := column[int](t, p.db, dirtyMarks)[0]; n != 1 {
					t.Errorf("%d marks", n)
				}
				f.refuse = nil
				if !fails {
					if err != nil {
						t.Error(err)
					}
					p.want(t, []int64{1}, []string{"a"})
					if err := m.Migrate(ctx); err != nil {
						t.Errorf("the next run: %v", err)
					}
					return
				}
				wantIs(t, err, gooseplus.ErrRollForward)
				wantIs(t, err, refused)
				wantText(t, err, "the dirty mark of migration 1 (sql/base/1_a.sql) may remain")
				p.want(t, nil, nil)
				wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
			})
		})
	}
}

// TestGuardStamps: a run that is back at its starting point, or that ended before its first step, leaves no environment that
// the database had not seen.
func TestGuardStamps(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	refused := errors.New("disk full")
	const stamps = "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'environment'"
	unstamps := func(s string) bool {
		return strings.Contains(s, "DELETE FROM") && strings.Contains(s, "'of:announced:")
	}
	for name, s := range map[string]struct {
		up     string
		refuse func(statement string) bool
		twice  bool // it is refused twice, and then no more
		stays  bool
	}{
		"the run is undone":                            {up: "INSERT INTO nowhere VALUES (1);"},
		"the run can't be registered":                  {up: "SELECT 1;", refuse: func(s string) bool { return strings.Contains(s, "start_set, planned") && strings.Contains(s, "INSERT") }},
		"the run is undone, and can't say so":          {up: "INSERT INTO nowhere VALUES (1);", refuse: unstamps, stays: true},
		"the run is undone, and can't say so at first": {up: "INSERT INTO nowhere VALUES (1);", refuse: unstamps, twice: true},
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				db, f := p.flaky(t)
				failed, times := false, 0 // to stamp deletes as well
				f.refuse = func(statement string) error {
					failed = failed || !s.stays && !s.twice || strings.Contains(statement, "INTO nowhere")
					if failed && s.refuse != nil && s.refuse(statement) && !(s.twice && times == 2) {
						times++
						return refused
					}
					return nil
				}
				set := fstest.MapFS{"sql/base/1_a.sql": script(s.up, "SELECT 1;"), "sql/test/2_b.sql": table("b")}
				err := p.locking(db, from(set), gooseplus.WithEnvironments("test")).Migrate(ctx)
				if err == nil {
					t.Error("no error")
				}
				if said := strings.Contains(err.Error(), `the database may remember the environments ["test"]`); said != s.stays {
					t.Errorf("error %v", err)
				}
				if s.twice && times != 2 {
					t.Errorf("%d statements were refused", times)
				}
				if n := column[int](t, p.db, stamps)[0]; n > 0 != s.stays {
					t.Errorf("%d stamps: %v", n, err)
				}
			})
		})
	}
}

// TestGuardStampOfAnother: without the lock, a run of another namespace ends with the same environment while this one fails. The
// database goes on to remember the environment, whichever run announced it first.
func TestGuardStampOfAnother(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		set := from(fstest.MapFS{
			"sql/core/base/1_a.sql": script("INSERT INTO nowhere VALUES (1);", "SELECT 1;"), "sql/core/test/2_c.sql": table("c"),
			"sql/identity/base/1_b.sql": table("b"), "sql/identity/test/2_d.sql": table("d"),
		})
		for i, first := range []bool{true, false, false} { // the other one ends before, or after this one announces; or has the lock
			p.forgetAll(t)
			other := func() error {
				return p.migrator(set, gooseplus.WithNamespaces("identity"), gooseplus.WithEnvironments("test"), gooseplus.WithGlobalLock(i == 2)).Migrate(ctx)
			}
			db, f := p.flaky(t)
			times := 0
			var failed error
			f.before = func(statement string) {
				announced := strings.Contains(statement, "INSERT INTO") && strings.Contains(statement, "'of:announced:")
				if times == 0 && (first && announced || !first && strings.Contains(statement, "INSERT INTO nowhere")) {
					times++
					failed = other()
				}
			}
			err := p.over(db, set, gooseplus.WithNamespaces("core"), gooseplus.WithEnvironments("test")).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			if failed != nil || times != 1 {
				t.Errorf("the other run, %d times: %v", times, failed)
			}
			if got := column[string](t, p.db, "SELECT environment FROM goose_db_version_lock WHERE kind = 'environment'"); fmt.Sprint(got) != "[test]" {
				t.Errorf("environments %q", got)
			}
		}
	})
}

// TestGuardStampOfTwo: without the lock, two runs have announced one environment. One fails, and the other is killed after a step: what
// it had announced stays. And a run that takes over from a killed one, and is back at the start, takes back what that one announced.
func TestGuardStampOfTwo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(transactionalDDL).onDatabases(t, func(t *testing.T, p *place) { // elsewhere a run claims its step
		set := fstest.MapFS{"sql/base/1_a.sql": table("a"), "sql/base/2_b.sql": table("b"), "sql/test/3_c.sql": table("c")}
		bad := fstest.MapFS{"sql/base/1_a.sql": script("INSERT INTO nowhere VALUES (1);", "SELECT 1;"), "sql/production/2_b.sql": table("b")}
		in := gooseplus.WithEnvironments("production")
		for _, lock := range []bool{false, true} {
			p.forgetAll(t)
			db, f := p.flaky(t)
			gone := false
			f.refuse = func(statement string) error {
				if gone = gone || strings.Contains(statement, map[bool]string{false: "CREATE TABLE b", true: "CREATE TABLE a"}[lock]); gone {
					return errInjected
				}
				if !lock && strings.Contains(statement, "CREATE TABLE a") { // the other one fails at this moment
					wantIs(t, p.migrator(from(bad), in).Migrate(ctx), gooseplus.ErrRollForward)
				}
				return nil
			}
			if err := p.over(db, from(set), in, gooseplus.WithGlobalLock(lock), gooseplus.WithRollbackTimeout(time.Second)).Migrate(ctx); err == nil || !gone {
				t.Fatalf("it isn't gone: %v", err)
			}
			if !lock {
				wantIs(t, p.migrator(from(set), gooseplus.WithEnvironments("test"), gooseplus.WithRollback(gooseplus.RollbackNone)).Migrate(ctx), gooseplus.ErrProtectedEnvironment)
				continue
			}
			wantIs(t, p.locking(p.db, from(bad), in).Migrate(ctx), gooseplus.ErrRollForward)
			if n := column[int](t, p.db, "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'environment'")[0]; n != 0 {
				t.Errorf("%d environments", n)
			}
		}
	})
}

// TestGuardStampOfTheDead: a run that takes over from a killed one, and doesn't undo what that one applied, leaves its environment.
func TestGuardStampOfTheDead(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		set := fstest.MapFS{"sql/base/1_a.sql": table("a"), "sql/base/2_b.sql": table("b"), "sql/test/3_c.sql": table("c")}
		in := gooseplus.WithEnvironments("production")
		db, f := p.flaky(t)
		gone := false
		f.refuse = func(statement string) error {
			if gone = gone || strings.Contains(statement, "CREATE TABLE b"); gone {
				return errInjected
			}
			return nil
		}
		if err := p.locking(db, from(set), in, gooseplus.WithRollbackTimeout(time.Second)).Migrate(ctx); err == nil || !gone {
			t.Fatalf("it isn't gone: %v", err)
		}
		set["sql/base/2_b.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
		wantIs(t, p.locking(p.db, from(set), in, inOne).Migrate(ctx), gooseplus.ErrRollForward)
		p.want(t, []int64{1}, []string{"a"})
		wantIs(t, p.locking(p.db, from(set), gooseplus.WithEnvironments("test")).Migrate(ctx), gooseplus.ErrProtectedEnvironment)
	})
}

// TestGuardMarkOutlivesTheRun: the context ends while the server writes the mark of a step, and the server doesn't heed that. The run
// waits a moment for the answer, so that the mark doesn't come after the run has removed it.
func TestGuardMarkOutlivesTheRun(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		set := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE IF EXISTS b;")})
		if err := p.locking(p.db, from(set)).MigrateTo(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		p.exec(t, "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$",
			"CREATE TRIGGER slow BEFORE INSERT ON goose_db_version_lock FOR EACH ROW WHEN (NEW.kind = 'dirty') EXECUTE FUNCTION slow()")
		db, way := through(t, p)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- p.over(db, from(set)).Migrate(ctx) }() // without the lock: nothing else makes it wait for the server
		marking := p.working("INSERT INTO%goose_db_version_lock%dirty")
		p.untilAny(t, "the server writes the mark", marking)
		way.IgnoreCancels()
		cancel()
		wantIs(t, <-ended, context.Canceled)
		eventually(t, "the server is done", func() bool { return column[int](t, p.db, marking)[0] == 0 })
		if n := column[int](t, p.db, dirtyMarks)[0]; n != 0 {
			t.Errorf("%d marks", n)
		}
		p.want(t, []int64{1}, []string{"a"})
		if err := p.locking(p.db, from(set)).Migrate(context.Background()); err != nil {
			t.Errorf("the next run: %v", err)
		}
	})
}
