package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

func TestLockWait(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		g := newGate()
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, g.pass), counts(2, nil)), from(fstest.MapFS{})}
		a := p.boot(context.Background(), p.instance(t), set...)
		await(t, "the gate", g.reached)
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		holder := fmt.Sprintf("%s/%d/", host, os.Getpid())
		for _, d := range []time.Duration{0, 300 * time.Millisecond} {
			p.wantLocked(t, d, holder, set...)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		b := p.boot(ctx, p.instance(t), set...)
		await(t, "the other one waiting", b.waiting)
		why := errors.New("the pod is stopped")
		cancelled := time.Now()
		cancel(why)
		err = b.wait(t)
		t.Logf("the cancellation took %v: %v", time.Since(cancelled), err)
		wantIs(t, err, gooseplus.ErrLocked)
		wantIs(t, err, context.Canceled)
		wantText(t, err, why.Error())
		if n := column[int](t, p.db, "SELECT count(*) FROM goose_db_version_lock WHERE kind <> 'dirty'"); n[0] < 2 || n[0] > 3 { // the holder's run, its fence, and on MySQL a connection
			t.Errorf("%d rows in the state table", n[0])
		}
		close(g.open)
		if err := a.wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1, 2)
		locks{p}.wantFree(t)
	})
}

// wantLocked asserts that a run which waits for the lock for d is told then that the holder has it: it asks no more than
// twice after that, however slow the machine is. It asks for the holder's name for a moment only: if that is too short on a
// busy machine, another run is asked.
func (p *place) wantLocked(t *testing.T, d time.Duration, holder string, set ...gooseplus.Option) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		db, f := p.flaky(t)
		var began time.Time
		late := 0
		f.before = func(statement string) {
			tries := strings.Contains(statement, "pg_try_advisory_xact_lock") || strings.Contains(statement, "GET_LOCK(")
			switch {
			case tries && began.IsZero():
				began = time.Now()
			case (tries || asksForTheHolder(statement)) && time.Since(began) > d:
				late++
			}
		}
		b := p.boot(context.Background(), db, append(set, gooseplus.WithLockWait(d))...)
		err := b.wait(t)
		t.Logf("WithLockWait(%v) took %v: %v", d, b.took, err)
		wantIs(t, err, gooseplus.ErrLocked)
		wantIsNot(t, err, gooseplus.ErrRollForward)
		wantIsNot(t, err, gooseplus.ErrLockLost)
		// MariaDB waits for a row for 50 seconds, unless it is told not to.
		if b.took < d || b.took > d+40*time.Second || late > 2 {
			t.Errorf("WithLockWait(%v) took %v, and it asked %d times after that", d, b.took, late)
		}
		if t.Failed() || strings.Contains(err.Error(), holder) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not in %v", holder, err)
		}
	}
}

// TestLockWaitForDeadRun: what the server still does for a dead run is waited for as the lock is.
func TestLockWaitForDeadRun(t *testing.T) {
	t.Parallel()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[2]")
		orphan, err := p.db.Begin() // the server has not noticed yet that its client is gone
		if err != nil {
			t.Fatal(err)
		}
		if _, err := orphan.Exec("UPDATE goose_db_version_lock SET transactions = 1 WHERE id = 'run:dead'"); err != nil {
			t.Fatal(err)
		}
		set = []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		for _, d := range []time.Duration{0, 300 * time.Millisecond} {
			p.wantLocked(t, d, "host/1/dead", set...)
		}
		b := p.boot(context.Background(), p.instance(t), set...)
		await(t, "the wait for the dead run", b.waiting)
		if b.holder != "host/1/dead" {
			t.Errorf("the holder is %q", b.holder)
		}
		if err := orphan.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := b.wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1, 2)
		locks{p}.wantFree(t)
	})
}

// TestLockWaitForAnAnswer: a look that gets no answer is a part of the wait.
func TestLockWaitForAnAnswer(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{"who has the lock": "SELECT id, namespace, holder"} {
		t.Run(what, func(t *testing.T) {
			having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) { waitForAnAnswer(t, p, text) })
		})
	}
}

func waitForAnAnswer(t *testing.T, p *place, text string) {
	p.counting(t)
	set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
	if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	record{p}.stale(t, "[2]")
	locks{p}.hold(t)
	other, err := p.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback()
	db, f := p.flaky(t)
	var once sync.Once
	silenced := false
	f.before = func(statement string) {
		if strings.HasPrefix(statement, text) && strings.Contains(statement, "outcome = 'running'") {
			once.Do(func() {
				silenced = true
				if _, err := other.Exec("LOCK TABLE goose_db_version_lock IN ACCESS EXCLUSIVE MODE"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	const d, limit = 300 * time.Millisecond, patience
	b := p.boot(context.Background(), db, append(set, gooseplus.WithLockWait(d), gooseplus.WithTimeout(limit))...)
	wantIs(t, b.wait(t), gooseplus.ErrLocked)
	if b.took > limit/2 {
		t.Errorf("WithLockWait(%v) took %v", d, b.took)
	}
	if !silenced {
		t.Error("nothing was left without an answer: the test shows nothing")
	}
}

// TestLockFreeAtTheEndOfTheWait: a process whose wait is over before it would have tried again is not told that
// somebody has the lock who was gone long before.
func TestLockFreeAtTheEndOfTheWait(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[2]")
		release := locks{p}.hold(t)
		db, f := p.flaky(t)
		var once sync.Once
		f.before = func(statement string) {
			if strings.HasPrefix(statement, "SELECT l.pid FROM pg_locks") || strings.HasPrefix(statement, "SELECT IS_USED_LOCK") {
				once.Do(release) // its process is killed
			}
		}
		set = []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{}), gooseplus.WithLockWait(1500 * time.Millisecond)}
		if err := p.boot(context.Background(), db, set...).wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1, 2)
		locks{p}.wantFree(t)
	})
}

// TestLockUndoneMeanwhile: a process that found nothing pending, and waits because another one is at work,
// does what the other one has left to do.
func TestLockUndoneMeanwhile(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[2]")
		release := locks{p}.hold(t)
		b := p.boot(context.Background(), p.instance(t), set...)
		await(t, "waiting", b.waiting)
		p.exec(t, "DELETE FROM counted WHERE v = 2", "DELETE FROM goose_db_version WHERE version_id = 2",
			"UPDATE goose_db_version_lock SET outcome = 'rolled back' WHERE id = 'run:dead'")
		release()
		if err := b.wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1, 2)
		locks{p}.wantFree(t)
	})
}

// TestLockAfterABlindLook: a process whose first look got no answer looks again when it has the lock, before it makes anything.
func TestLockAfterABlindLook(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		if _, err := p.goose(t, chain(1)).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		db, f := p.flaky(t)
		looks, proceed := 0, func() {}
		f.before = func(statement string) {
			if !strings.Contains(statement, "version_id") {
				return
			}
			switch looks++; looks {
			case 1:
				proceed = locks{p}.bar(t, "goose_db_version")
			case 2: // the first was in vain, and now it has the lock
				proceed()
			}
		}
		err := p.locking(db, from(files(map[string]*fstest.MapFile{"2_b.sql": script("CREATE TABLE b (id INTEGER);", "DROP TABLE b;")})),
			gooseplus.WithUnknownVersions(gooseplus.Refuse), gooseplus.WithTimeout(patience)).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrUnknownVersion)
		if looks < 2 {
			proceed()
			t.Fatal("there was one look: the test shows nothing")
		}
		if _, err := p.db.Exec("SELECT 1 FROM goose_db_version_lock"); err == nil {
			t.Error("a refused run has left a state table")
		}
	})
}

// TestLockOnASlowServer: a server that takes its time is no run that somebody else has begun. The second answer is waited for.
func TestLockOnASlowServer(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		for _, slow := range []int{1, 2} {
			set := []gooseplus.Option{from(chain(slow + 1)), gooseplus.WithLockWait(0)}
			if err := p.locking(p.db, from(chain(slow))).Migrate(context.Background()); err != nil {
				t.Fatal(err)
			}
			db, f := p.flaky(t)
			asked := 0
			f.refuse = func(statement string) error {
				if strings.Contains(statement, "AND (outcome = 'running') ORDER BY") {
					if asked++; asked <= slow {
						time.Sleep(map[int]time.Duration{1: 1500, 2: 5500}[asked] * time.Millisecond)
						return context.DeadlineExceeded
					}
				}
				return nil
			}
			err := p.locking(db, set...).Migrate(context.Background())
			if slow == 1 && err != nil {
				t.Errorf("the answer came late, and then in time: %v", err)
			}
			if slow == 2 {
				wantIs(t, err, gooseplus.ErrLocked)
				wantText(t, err, "gave no answer within 5s")
			}
			if asked < slow {
				t.Fatal("nothing was asked: the test shows nothing")
			}
		}
	})
}
