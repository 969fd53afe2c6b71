package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestLockConnectionKilled kills the connection of the lock alone, while a slow migration runs and
// another instance waits.
func TestLockConnectionKilled(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		slow time.Duration
		// noticed: the watch notices before the slow migration ends.
		noticed bool
	}{{30 * time.Second, true}, {time.Second, false}} {
		t.Run(s.slow.String(), func(t *testing.T) {
			having(server).onEach(t, func(t *testing.T, p *place) {
				for round := range chaosRounds(2, 50) {
					if p.driver == "pgx" && round == 1 {
						break
					}
					p.counting(t)
					var calls atomic.Int32
					begun := make(chan struct{})
					migrations := gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil),
						counts(3, func(ctx context.Context, tx *sql.Tx) error {
							if calls.Add(1) > 1 {
								return nil
							}
							close(begun)
							return execTx(ctx, tx, p.sleeping(s.slow))
						}), counts(4, nil), counts(5, nil))
					a := p.boot(context.Background(), p.instance(t), migrations, from(fstest.MapFS{}))
					await(t, "the slow migration", begun)
					b := p.boot(context.Background(), p.instance(t), migrations, from(fstest.MapFS{}))
					await(t, "the other one waiting", b.waiting)
					id := fmt.Sprint(locks{p}.connection(t))
					time.Sleep(rand.N(min(s.slow/2, 2500*time.Millisecond))) // what makes the rounds differ
					p.exec(t, fmt.Sprintf(p.kill, id))
					killed := time.Now()
					errA := a.wait(t)
					tookA := time.Since(killed)
					if err := b.wait(t); err != nil {
						t.Errorf("the other one: %v", err)
					}
					t.Logf("after the kill, the first ended within %v, the other within %v: %v", tookA, time.Since(killed), errA)
					wantIs(t, errA, gooseplus.ErrLockLost)
					if n := calls.Load(); s.noticed && n != 2 {
						t.Errorf("the slow migration ran %d times, want one that left no trace and one", n)
					}
					p.wantCounted(t, upTo(5)...)
					locks{p}.wantFree(t)
				}
			})
		})
	}
}

func (x target) sleeping(d time.Duration) string {
	if x.dialect == "postgres" {
		return fmt.Sprintf("SELECT pg_sleep(%.3f)", d.Seconds())
	}
	return fmt.Sprintf("DO SLEEP(%.3f)", d.Seconds())
}

// TestLockLostBeforeTheFirstStep: ErrLockLost alone would mean that the run had succeeded.
func TestLockLostBeforeTheFirstStep(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		db, f := p.flaky(t)
		f.refuse = func(statement string) error {
			if statement == "SELECT 1" { // of the lock, when the run is recorded
				return errors.New("refused")
			}
			return nil
		}
		m := p.locking(db, from(chain(2)))
		for name, err := range map[string]error{"Migrate": m.Migrate(t.Context()), "Force": m.Force(t.Context(), 1)} {
			if !errors.Is(err, gooseplus.ErrLockLost) || !errors.Is(err, gooseplus.ErrRollForward) {
				t.Errorf("%s: %v", name, err)
			}
		}
		p.want(t, nil, nil)
	})
}

// TestLockOrphan kills the holder while the server executes a long statement for it. Another one takes the lock, and waits
// for the end of that statement.
func TestLockOrphan(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		// The statement may have ended when the other one has the lock, if the machine is busy; PostgreSQL also ends it, up to two
		// seconds after the kill.
		for _, set := range []string{"slow", "slow", "slow", "slower", "slower", "slowest"} {
			if waitsForOrphan(t, p, set) || t.Failed() {
				return
			}
			p = p.target.place(t)
		}
		t.Error("the orphan was always gone early, or the one that waited didn't know the holder")
	})
}

// waitsForOrphan says whether the other one was seen to have the lock beside the statement of the killed one.
func waitsForOrphan(t *testing.T, p *place, set string) (seen bool) {
	t.Helper()
	p.counting(t)
	kill := victims{p}.holder(t, set)
	working := `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
		AND state = 'active' AND query LIKE '%pg_sleep(%'`
	if p.dialect == "mysql" {
		working = `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE 'DO SLEEP(%'`
	}
	var orphan []int64
	eventually(t, "the server executes the long statement", func() bool {
		orphan = column[int64](t, p.db, working)
		return len(orphan) > 0
	})
	killedHolder := locks{p}.holders(t)
	b := p.boot(context.Background(), p.instance(t), from(victimSets[set](p)))
	await(t, "the other one waiting", b.waiting)
	kill()
	killed := time.Now()
	for over := false; !over; {
		select {
		case <-b.done:
			over = true
		default:
		}
		holders := locks{p}.holders(t)
		now := column[int64](t, p.db, working)
		if len(now) > 1 {
			t.Errorf("%d backends run the migration at once", len(now))
		}
		if !seen && len(holders) > 0 && !slices.Equal(holders, killedHolder) && slices.Equal(now, orphan) {
			seen = true
			t.Logf("the other one has the lock beside the orphan %v after the kill", time.Since(killed))
		}
		time.Sleep(5 * time.Millisecond) // leave the processor to the server
	}
	if err := b.wait(t); err != nil {
		t.Error(err)
	}
	p.wantCounted(t, 1)
	locks{p}.wantFree(t)
	return seen && b.holder != "" // it asks for the holder's name for a moment only
}
