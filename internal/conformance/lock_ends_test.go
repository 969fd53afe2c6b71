package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/pressly/goose/v3"
)

// TestLockOneSucceedsOneFails: what the first one applied stays when the one that waited fails.
func TestLockOneSucceedsOneFails(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		g := newGate()
		shared := []*goose.Migration{counts(1, nil), counts(2, g.pass)}
		boom := errors.New("boom")
		a := p.boot(context.Background(), p.instance(t), gooseplus.WithGoMigrations(shared...), from(fstest.MapFS{}))
		await(t, "the gate", g.reached)
		b := p.boot(context.Background(), p.instance(t), from(fstest.MapFS{}), gooseplus.WithGoMigrations(append(shared,
			counts(3, nil), counts(4, func(context.Context, *sql.Tx) error { return boom }))...))
		await(t, "the other one waiting", b.waiting)
		close(g.open)
		if err := a.wait(t); err != nil {
			t.Error(err)
		}
		err := b.wait(t)
		wantFailed(t, err, 4)
		wantIs(t, err, boom)
		if got := column[string](t, p.db, "SELECT outcome FROM goose_db_version_lock WHERE kind = 'run' ORDER BY started_at"); fmt.Sprint(got) != "[migrated rolled back]" {
			t.Errorf("outcomes %v", got)
		}
		p.wantCounted(t, 1, 2)
		locks{p}.wantFree(t)
	})
}

// TestLockTimeout: the time of a run is over in the middle of a migration, and the way back is
// finished before anybody else begins.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		longEnough(t, 4*time.Second, func(limit time.Duration) bool {
			if lockTimeout(t, p, limit) {
				return true
			}
			p = p.target.place(t)
			return false
		})
	})
}

// lockTimeout says whether the limit is enough for the run to get to the slow migration, with another one that waits.
func lockTimeout(t *testing.T, p *place, limit time.Duration) (reached bool) {
	p.counting(t)
	var mu sync.Mutex
	var story []string
	tell := func(s string) { mu.Lock(); defer mu.Unlock(); story = append(story, s) }
	slow, back, open := make(chan struct{}), make(chan struct{}), make(chan struct{})
	set := func(who string, stop bool) gooseplus.Option {
		first := goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			tell(who + " up 1")
			return execTx(ctx, tx, "INSERT INTO counted VALUES (1)")
		}}, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			tell(who + " down 1")
			close(back)
			<-open
			return execTx(ctx, tx, "DELETE FROM counted WHERE v = 1")
		}})
		return gooseplus.WithGoMigrations(first, counts(2, func(ctx context.Context, tx *sql.Tx) error {
			tell(who + " up 2")
			if !stop {
				return nil
			}
			close(slow)
			return execTx(ctx, tx, p.sleep)
		}))
	}
	a := p.boot(context.Background(), p.instance(t), set("a", true), from(fstest.MapFS{}), gooseplus.WithTimeout(limit))
	select {
	case <-slow:
	case <-back:
		close(open)
		wantIs(t, a.wait(t), context.DeadlineExceeded)
		return false
	case <-a.done:
		wantIs(t, a.err, context.DeadlineExceeded)
		return false
	}
	b := p.boot(context.Background(), p.instance(t), set("b", false), from(fstest.MapFS{}))
	await(t, "the other one waiting", b.waiting)
	await(t, "the way back", back)
	err := p.locking(p.instance(t), set("c", false), from(fstest.MapFS{}), gooseplus.WithLockWait(0)).Migrate(context.Background())
	wantIs(t, err, gooseplus.ErrLocked)
	close(open)
	err = a.wait(t)
	wantFailed(t, err, 2)
	wantIs(t, err, context.DeadlineExceeded)
	if err := b.wait(t); err != nil {
		t.Error(err)
	}
	if want := "[a up 1 a up 2 a down 1 b up 1 b up 2]"; fmt.Sprint(story) != want {
		t.Errorf("%v, want %s", story, want)
	}
	p.wantCounted(t, 1, 2)
	locks{p}.wantFree(t)
	return true
}

// TestLockCrashedRun: a run takes over the starting point of one that was cut off.
func TestLockCrashedRun(t *testing.T) {
	t.Parallel()
	broken := func(n int) fstest.MapFS {
		fsys := chain(n)
		fsys[fmt.Sprintf("sql/base/%03d_t.sql", n)] = script("this is no SQL;", "SELECT 1;")
		return fsys
	}
	prepare := func(t *testing.T, p *place) {
		p.patient()
		if err := p.locking(p.instance(t), from(chain(2))).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[1,2,3]")
	}
	for _, remembers := range []bool{true, false} { // what it applied, as one of an earlier version doesn't
		t.Run(fmt.Sprintf("the next fails, it remembers %t", remembers), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				prepare(t, p)
				if !remembers {
					p.exec(t, "UPDATE goose_db_version_lock SET remembers = 0", "DELETE FROM goose_db_version_lock WHERE kind = 'applied'")
				}
				err := p.locking(p.instance(t), from(broken(3))).Migrate(context.Background())
				wantFailed(t, err, 3)
				p.want(t, nil, nil)
				if got := (record{p}).outcomeOfStale(t); got != "[crashed]" {
					t.Errorf("outcome %v", got)
				}
				locks{p}.wantFree(t)
			})
		})
		// The warning says what becomes of the work of the dead run.
		for strategy, want := range map[gooseplus.Strategy]string{
			gooseplus.RollbackDown: "if this run fails, it also undoes what that run applied", gooseplus.RollbackNone: "what it applied stays", gooseplus.RollbackTransaction: "what it applied stays",
		} {
			t.Run("the next fails with "+strategy.String(), func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					if strategy == gooseplus.RollbackTransaction && !p.transactionalDDL {
						return
					}
					prepare(t, p)
					var told []string
					err := p.locking(p.instance(t), from(broken(3)), gooseplus.WithRollback(strategy), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
						if w, ok := e.(gooseplus.Warning); ok && strings.Contains(w.Message, "was cut off") {
							told = append(told, w.Message)
						}
					})).Migrate(context.Background())
					if err == nil || len(told) != 1 || !strings.Contains(told[0], want) {
						t.Errorf("%v, %q; want %q", err, told, want)
					}
					if strategy == gooseplus.RollbackDown {
						p.want(t, nil, nil)
					} else {
						p.want(t, []int64{1, 2}, []string{"t001", "t002"})
					}
					locks{p}.wantFree(t)
				})
			})
		}
	}
	t.Run("the next succeeds", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			prepare(t, p)
			if err := p.locking(p.instance(t), from(chain(3))).Migrate(context.Background()); err != nil {
				t.Error(err)
			}
			// Later runs don't undo the migrations that it completed.
			err := p.locking(p.instance(t), from(broken(4))).Migrate(context.Background())
			wantFailed(t, err, 4)
			p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
			locks{p}.wantFree(t)
		})
	})
	t.Run("nothing is pending", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			prepare(t, p)
			if err := p.locking(p.instance(t), from(chain(2))).Migrate(context.Background()); err != nil {
				t.Error(err)
			}
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
			if got := (record{p}).outcomeOfStale(t); got != "[crashed]" {
				t.Errorf("outcome %v", got)
			}
			locks{p}.wantFree(t)
		})
	})
	// The one that finds it declares it dead and gets no further; the one after has nothing to do.
	t.Run("it was cut off, and nothing is pending", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			prepare(t, p)
			p.exec(t, "UPDATE goose_db_version_lock SET outcome = 'cut off' WHERE id = 'run:dead'")
			if err := p.locking(p.instance(t), from(chain(2))).Migrate(context.Background()); err != nil {
				t.Error(err)
			}
			// That all of it is there has been found since: it is nobody's to undo any more.
			err := p.locking(p.instance(t), from(broken(3))).Migrate(context.Background())
			wantFailed(t, err, 3)
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
			if got := (record{p}).outcomeOfStale(t); got != "[crashed]" {
				t.Errorf("outcome %v", got)
			}
			locks{p}.wantFree(t)
		})
	})
	// The one that finds it is refused before it begins, so the duty must pass to the one after.
	t.Run("the next is refused, the one after fails", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			prepare(t, p)
			// Under the lock it is refused: the third version is undone on a pool... by a late version.
			p.exec(t, "DELETE FROM goose_db_version WHERE version_id = 1")
			err := p.locking(p.instance(t), from(broken(3)), gooseplus.WithStrictOrder(true)).Migrate(context.Background())
			wantIs(t, err, gooseplus.ErrMergeMigrations)
			t.Logf("refused: %v; the dead run is %s", err, record{p}.outcomeOfStale(t))
		})
	})
	// The one that finds it ends between taking the lock and its own first row.
	t.Run("the next ends before it begins, the one after fails", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			prepare(t, p)
			ctx, cancel := context.WithCancel(context.Background())
			err := p.locking(p.instance(t), from(broken(3)), gooseplus.WithObserver(func(context.Context, gooseplus.Event) {})).Migrate(cancelOnCrash(ctx, cancel, p, t))
			t.Logf("first: %v", err)
			err = p.locking(p.instance(t), from(broken(3))).Migrate(context.Background())
			wantFailed(t, err, 3)
			p.want(t, nil, nil)
		})
	})
}

// cancelOnCrash ends the context as soon as the dead run is declared crashed.
func cancelOnCrash(ctx context.Context, cancel context.CancelFunc, p *place, t *testing.T) context.Context {
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			var outcome string
			if err := p.db.QueryRow("SELECT outcome FROM goose_db_version_lock WHERE id = 'run:dead'").Scan(&outcome); err == nil && outcome == "crashed" {
				cancel()
			}
		}
	}()
	return ctx
}
