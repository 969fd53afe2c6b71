package conformance

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

var inOne = gooseplus.WithRollback(gooseplus.RollbackTransaction)

// TestRollbackTransaction: nothing of a run is left that failed, though the Downs are of no use.
func TestRollbackTransaction(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	useless := func(name string) *fstest.MapFile {
		return script("CREATE TABLE "+name+" (id INTEGER);", "DROP TABLE never;")
	}
	set := func(last *fstest.MapFile) fstest.MapFS {
		named := map[string]*fstest.MapFile{"01_a.sql": table("a"), "05_e.sql": useless("e"), "10_b.sql": useless("b"),
			"11_c.sql": script("INSERT INTO b VALUES (1);\nCREATE TABLE c (id INTEGER);", "DROP TABLE c;")}
		if last != nil {
			named["12_x.sql"] = last
		}
		return files(named)
	}
	failGo := func(fail func(context.Context) error) gooseplus.Option {
		return gooseplus.WithGoMigrations(goose.NewGoMigration(12, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(execTx(ctx, tx, "CREATE TABLE x (id INTEGER)"), fail(ctx))
		}}, nil))
	}
	ended := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		if !p.transactionalDDL {
			err := gooseplus.New(nil, gooseplus.WithDialect(p.dialect), from(set(nil)), inOne).Err()
			wantText(t, err, "RollbackTransaction")
			return
		}
		if err := p.migrator(from(set(nil)), lock).MigrateTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		start := func(t *testing.T) {
			t.Helper()
			p.want(t, []int64{1}, []string{"a"})
		}

		t.Run("a statement fails", func(t *testing.T) {
			wantFailed(t, p.migrator(from(set(script("CREATE TABLE x (id INTEGER);\nINSERT INTO missing VALUES (1);", ""))), lock, inOne).Migrate(ctx), 12)
			start(t)
		})
		t.Run("a Go migration fails", func(t *testing.T) {
			boom := errors.New("boom")
			err := p.migrator(from(set(nil)), lock, inOne, failGo(func(context.Context) error { return boom })).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantIs(t, err, boom)
			start(t)
		})
		t.Run("a Go migration panics", func(t *testing.T) {
			err := p.migrator(from(set(nil)), lock, inOne, failGo(func(context.Context) error { panic("boom") })).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			start(t)
		})
		t.Run("the caller cancels", func(t *testing.T) {
			ctx, cancel := context.WithCancel(ctx)
			err := p.migrator(from(set(nil)), lock, inOne, failGo(func(ctx context.Context) error { cancel(); return ended(ctx) })).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantIs(t, err, context.Canceled)
			start(t)
		})
		t.Run("the migration timeout", func(t *testing.T) {
			longEnough(t, 200*time.Millisecond, func(limit time.Duration) bool {
				err := p.migrator(from(set(script("CREATE TABLE x (id INTEGER);\n"+p.sleep, ""))), lock, inOne,
					gooseplus.WithMigrationTimeout(limit)).Migrate(ctx)
				wantIs(t, err, gooseplus.ErrRollForward)
				start(t)
				if failed := failedStep(err); failed == nil || failed.Version != 12 {
					return false // another migration took as long
				}
				wantIs(t, err, context.DeadlineExceeded)
				return true
			})
		})
		t.Run("a step outside a transaction", func(t *testing.T) {
			fsys := set(noTransaction("CREATE TABLE x (id INTEGER);", ""))
			fsys["sql/base/13_y.sql"] = script("COMMIT;\nCREATE TABLE y (id INTEGER);", "")
			apart := goose.NewGoMigration(14, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }}, nil)
			m := p.migrator(from(fsys), lock, inOne, gooseplus.WithGoMigrations(apart))
			for _, err := range []error{m.Migrate(ctx), second(m.Plan(ctx))} {
				wantText(t, err, "12 (sql/base/12_x.sql)")
				wantText(t, err, "13 (sql/base/13_y.sql)")
				wantText(t, err, "migration 14")
				wantIsNot(t, err, gooseplus.ErrRollForward)
			}
			start(t)
			if err := m.MigrateTo(ctx, 1); err != nil {
				t.Errorf("with nothing to do: %v", err)
			}
		})
		t.Run("all goes well", func(t *testing.T) {
			var steps int
			m := p.migrator(from(set(script("CREATE TABLE x (id INTEGER);", "DROP TABLE x;"))), lock, inOne,
				gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if e, ok := e.(gooseplus.RunFinished); ok {
						steps = e.Applied
					}
				}))
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			all := []string{"a", "b", "c", "e", "x"}
			p.want(t, []int64{1, 5, 10, 11, 12}, all)
			if steps != 4 {
				t.Errorf("%d applied", steps)
			}
			// Down as far as the first Down that fails, and back.
			wantFailedStep(t, m.Goto(ctx, 1), 10, "down")
			p.want(t, []int64{1, 5, 10, 11, 12}, all)
		})
	})
}

// TestRollbackTransactionOnOneConnection: the run's transaction is all that needs one.
func TestRollbackTransactionOnOneConnection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		if !p.transactionalDDL {
			return
		}
		p.db.SetMaxOpenConns(1)
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		fsys := chain(3)
		fsys["sql/production/004_p.sql"] = table("p")
		if err := p.migrator(from(fsys), inOne, gooseplus.WithEnvironments("production")).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.want(t, upTo(4), []string{"p", "t001", "t002", "t003"})
	})
}

// TestRollbackTransactionKilled kills the process in the middle: nothing may be left.
func TestRollbackTransactionKilled(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		p.exec(t, "CREATE TABLE gate (id INTEGER)")
		proceed := locks{p}.bar(t, "gate")
		kill := victims{p}.holder(t, "barred", oneTransactionEnv+"=1")
		untilWaiting(t, p)
		kill()
		proceed()
		if got := column[int64](t, p.db, "SELECT v FROM counted"); len(got) > 0 {
			t.Errorf("counted %v", got)
		}
		m := p.locking(p.instance(t), from(victimSets["barred"](p)), inOne)
		if err := m.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.wantCounted(t, upTo(8)...)
		outcomes := column[string](t, p.db, "SELECT outcome FROM goose_db_version_lock WHERE kind = 'run' ORDER BY started_at")
		if !slices.Equal(outcomes, []string{"crashed", "migrated"}) {
			t.Errorf("outcomes %v", outcomes)
		}
		locks{p}.wantFree(t)
	})
}

func init() {
	victimSets["barred"] = func(p *place) fstest.MapFS { // in the middle of it stands a table that the test may have locked
		fsys := p.victimFiles(8, 0)
		fsys["sql/base/004_gate.sql"] = script("INSERT INTO counted SELECT 4 FROM (SELECT count(*) FROM gate) AS g;", "DELETE FROM counted WHERE v = 4;")
		delete(fsys, "sql/base/004_v.sql")
		return fsys
	}
}

// oneTransactionEnv has the process that gets killed use RollbackTransaction.
const oneTransactionEnv = "GOOSEPLUS_TEST_ONE_TRANSACTION"

func victimOptions() []gooseplus.Option {
	if os.Getenv(oneTransactionEnv) != "" {
		return []gooseplus.Option{inOne}
	}
	return nil
}

// TestLostCommit loses the answer to the COMMIT of the whole run.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range having(server, transactionalDDL) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			if err := p.migrator(from(chain(1))).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			db, flaky := p.flaky(t)
			flaky.lose = once("t004", "COMMIT")
			err := p.over(db, from(chain(4)), inOne).Migrate(ctx)
			if err != nil {
				t.Errorf("the run was committed: %v", err)
			}
			flaky.wantLost(t, 1)
			p.want(t, upTo(4), []string{"t001", "t002", "t003", "t004"})
		})
	}
}

// TestRollbackTransactionFence: the one transaction of a run with the lock has the run's fence, so that nobody can declare the
// run dead while it may still commit, and its connection has the run's name.
func TestRollbackTransactionFence(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		var all, free int
		var name string
		look := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if err := tx.QueryRowContext(ctx, "SELECT current_setting('application_name')").Scan(&name); err != nil {
				return err
			}
			if err := p.db.QueryRow("SELECT count(*) FROM goose_db_version_lock WHERE kind = 'fence'").Scan(&all); err != nil {
				return err
			}
			return p.db.QueryRow("SELECT count(*) FROM (SELECT 1 FROM goose_db_version_lock WHERE kind = 'fence' FOR UPDATE SKIP LOCKED) AS f").Scan(&free)
		}}, nil)
		if err := p.locking(p.db, from(chain(1)), gooseplus.WithGoMigrations(look), inOne).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		if all != 1 || free != 0 {
			t.Errorf("%d of %d fences could be taken away in the middle of the transaction", free, all)
		}
		if !strings.HasPrefix(name, "gooseplus public.goose_db_version ") {
			t.Errorf("the connection's name is %q", name)
		}
	})
}
