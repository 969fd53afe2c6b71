package conformance

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

func asksForTheHolder(statement string) bool {
	return strings.HasPrefix(statement, "SELECT l.pid FROM pg_locks") || strings.HasPrefix(statement, "SELECT IS_USED_LOCK")
}

// askedAfter is a pool on which the lock is given back when a run asks for its holder after it has waited for so long. If the
// run doesn't ask before, which a busy machine may not be fast enough for, it has asked once in the end.
func (p *place) askedAfter(t *testing.T, wait time.Duration, release func()) (db *sql.DB, asked *int) {
	t.Helper()
	db, f := p.flaky(t)
	return db, f.askedAfter(wait, release)
}

func (f *flaky) askedAfter(wait time.Duration, release func()) (asked *int) {
	asked = new(int)
	f.before = func(statement string) {
		if !asksForTheHolder(statement) {
			return
		}
		if *asked++; *asked == 1 {
			time.Sleep(wait) // so that the next question is the one after the wait
			return
		}
		release()
	}
	return asked
}

// TestGuardLockWaitOfNothing: a run that doesn't wait tries once, though the lock is given back right after.
func TestGuardLockWaitOfNothing(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		release := locks{p}.hold(t)
		db, f := p.flaky(t)
		f.before = func(statement string) {
			if asksForTheHolder(statement) {
				release()
			}
		}
		err := p.locking(db, from(chain(1)), gooseplus.WithLockWait(0)).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrLocked)
		if tables := column[string](t, p.db, p.target.tables); len(tables) > 0 {
			t.Errorf("tables %v", tables)
		}
	})
}

// TestGuardDeadRunAtTheEndOfTheWait: the lock is free when the wait is over, and the server is still at work for a dead run. The
// error says so, and says it once.
func TestGuardDeadRunAtTheEndOfTheWait(t *testing.T) {
	t.Parallel()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).MigrateTo(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[2]")
		orphan, err := p.db.Begin() // the server has not noticed yet that its client is gone
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = orphan.Rollback() }()
		if _, err := orphan.Exec("UPDATE goose_db_version_lock SET transactions = 1 WHERE id = 'run:dead'"); err != nil {
			t.Fatal(err)
		}
		release := locks{p}.hold(t)
		longEnough(t, 300*time.Millisecond, func(wait time.Duration) bool {
			db, asked := p.askedAfter(t, wait, release)
			err := p.locking(db, append(set, gooseplus.WithLockWait(wait))...).Migrate(context.Background())
			wantIs(t, err, gooseplus.ErrLocked)
			if err == nil || *asked < 2 {
				return false
			}
			wantText(t, err, "the server is still executing a statement of host/1/dead")
			if n := strings.Count(err.Error(), gooseplus.ErrLocked.Error()); n != 1 {
				t.Errorf("it says %d times that the database is locked: %v", n, err)
			}
			return true
		})
	})
}

// TestGuardLockTakenWhileInterrupted: the context ends while the server gives the lock. It is given back at once, and not when the
// server gives up a silent holder after 30 seconds.
func TestGuardLockTakenWhileInterrupted(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		db, f := p.flaky(t)
		taken := false
		f.lose = func(statement string) bool {
			if strings.Contains(statement, "pg_try_advisory_xact_lock") || strings.Contains(statement, "GET_LOCK(") {
				taken = true
				cancel()
			}
			return false
		}
		err := p.locking(db, from(chain(1))).Migrate(ctx)
		wantIs(t, err, context.Canceled)
		if !taken {
			t.Error("the lock was not taken: the test shows nothing")
		}
		eventually(t, "its connection is closed", func() bool { return db.Stats().InUse == 0 })
		within, cancelWithin := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancelWithin()
		if err := p.locking(p.instance(t), from(chain(1))).Migrate(within); err != nil {
			t.Errorf("the next run: %v", err)
		}
	})
}

// TestGuardHolderThatNobodyNames: somebody keeps everybody from the state table, so nobody can tell who has the lock. That doesn't
// hold up a run that is not to wait.
func TestGuardHolderThatNobodyNames(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		if err := p.locking(p.db, from(chain(1))).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		locks{p}.hold(t)
		proceed := locks{p}.bar(t, "goose_db_version_lock")
		ended := make(chan error, 1)
		m := p.locking(p.instance(t), from(chain(2)), gooseplus.WithLockWait(0))
		go func() { ended <- m.Migrate(context.Background()) }()
		var once sync.Once
		select {
		case err := <-ended:
			wantIs(t, err, gooseplus.ErrLocked)
		case <-time.After(patience):
			t.Error("it waits for the table")
			once.Do(proceed)
			<-ended
		}
		once.Do(proceed)
	})
}
