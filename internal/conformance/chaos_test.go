package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// The chaos tests do the same thing many times, at other moments each time. Without GOOSEPLUS_CHAOS=1 they are short, and
// their seed is fixed; with it the seed is drawn, unless GOOSEPLUS_SEED gives one.
const seedEnv = "GOOSEPLUS_SEED"

func chaosRounds(few, many int) int {
	if os.Getenv("GOOSEPLUS_CHAOS") != "" {
		return many
	}
	return few
}

// chaos returns the number of rounds and what draws the moments.
func chaos(t *testing.T, short, full int) (rounds int, random *rand.Rand) {
	t.Helper()
	seed := uint64(1)
	if rounds = chaosRounds(short, full); rounds == full {
		seed = rand.Uint64()
	}
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("%s=%d", seedEnv, seed)
	return rounds, rand.New(rand.NewPCG(seed, 0))
}

// TestChaosBoot boots many processes at the same moment on an empty database.
func TestChaosBoot(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		rounds, count := chaosRounds(1, 10), chaosRounds(30, 100)
		var spread times
		for range rounds {
			p.reset(t)
			p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
			var all []*process
			for range count {
				all = append(all, p.start(t, "chain", p.dsn))
			}
			for _, s := range all {
				s.until(t, "ready")
			}
			for _, s := range all {
				s.let(t)
			}
			var done []time.Time
			for _, s := range all {
				done = append(done, s.until(t, "done").at)
				s.kill()
			}
			spread = append(spread, slices.MaxFunc(done, time.Time.Compare).Sub(slices.MinFunc(done, time.Time.Compare)))
			wantChain(t, p)
		}
		t.Logf("%d times %d processes: the last was done after the first by %v", rounds, count, spread)
	})
}

// wantChain asserts what one run of chain(20) leaves, however many processes there were.
func wantChain(t *testing.T, p *place) {
	t.Helper()
	var tables []string
	for i := range 20 {
		tables = append(tables, fmt.Sprintf("t%03d", i+1))
	}
	p.want(t, upTo(20), tables)
	locks{p}.wantNothingNamed(t)
	if runs := column[string](t, p.db, `SELECT outcome FROM goose_db_version_lock WHERE kind = 'run'`); fmt.Sprint(runs) != "[migrated]" {
		t.Errorf("runs %v", runs)
	}
}

// TestChaosHolderKilled kills the process that has the lock while five others wait for it.
func TestChaosHolderKilled(t *testing.T) {
	t.Parallel()
	const limit = 10 * time.Second // until the next one begins: less than lockIdle, after which the server would end a silent holder
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		rounds, random := chaos(t, 5, 50)
		var next, end times
		for range rounds {
			p.counting(t)
			holder := p.start(t, "steps", p.dsn)
			var waiters []*process
			for range 5 {
				waiters = append(waiters, p.start(t, "steps", p.dsn))
			}
			proceed := locks{p}.bar(t, "counted") // or a holder is done on a busy machine before anybody waits
			holder.let(t)
			holder.until(t, "holds")
			for _, w := range waiters {
				w.let(t)
			}
			for _, w := range waiters {
				w.until(t, "waiting")
			}
			proceed()
			time.Sleep(moment(random, 400*time.Millisecond)) // what makes the rounds differ
			holder.kill()
			killed := time.Now()
			took, ended := time.Duration(-1), time.Duration(0)
			for _, w := range waiters {
				r := w.until(t, "holds", "done")
				if r.what == "holds" {
					took = max(took, r.at.Sub(killed))
					r = w.until(t, "done")
				}
				ended = max(ended, r.at.Sub(killed))
				w.kill()
			}
			if took >= 0 { // otherwise the one that was killed had done everything
				next = append(next, took)
			}
			end = append(end, ended)
			if took > limit {
				t.Errorf("nobody took over for %v", took)
			}
			p.wantCounted(t, upTo(20)...)
			locks{p}.wantFree(t)
		}
		t.Logf("%d of %d were killed before their end; after it another one began in %v; the last was done in %v", len(next), rounds, next, end)
		if len(next) == 0 {
			t.Error("nobody had to take over: the test shows nothing")
		}
	})
}

// TestChaosLockConnection kills the connection of the lock alone, at any moment of a slow migration, while another
// instance waits.
func TestChaosLockConnection(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		rounds, random := chaos(t, 2, 50)
		lost := 0
		for range rounds {
			p.counting(t)
			var slow atomic.Int32
			begun := make(chan struct{})
			migrations := gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil), counts(3, func(ctx context.Context, tx *sql.Tx) error {
				if slow.Add(1) > 1 {
					return nil
				}
				close(begun)
				return execTx(ctx, tx, p.sleeping(2500*time.Millisecond))
			}), counts(4, nil), counts(5, nil))
			first := p.boot(context.Background(), p.instance(t), migrations, from(fstest.MapFS{}))
			await(t, "the slow migration", begun)
			other := p.boot(context.Background(), p.instance(t), migrations, from(fstest.MapFS{}))
			await(t, "the other one waiting", other.waiting)
			time.Sleep(moment(random, 2300*time.Millisecond)) // what makes the rounds differ
			eventually(t, "somebody has the lock, or both have ended", func() bool {
				ids := locks{p}.holders(t)
				if len(ids) == 1 {
					p.exec(t, fmt.Sprintf(p.kill, ids[0]))
					return true
				}
				select {
				case <-other.done: // on a busy machine
					return true
				default:
					return false
				}
			})
			switch err := first.wait(t); {
			case errors.Is(err, gooseplus.ErrLockLost):
				lost++
			case err != nil:
				t.Errorf("the first one: %v", err)
			}
			if err := other.wait(t); err != nil {
				t.Errorf("the other one: %v", err)
			}
			p.wantCounted(t, upTo(5)...)
			locks{p}.wantFree(t)
		}
		t.Logf("%d of %d had lost the lock, the others were done before they noticed", lost, rounds)
		if lost == 0 {
			t.Error("nobody has lost the lock: the test shows nothing")
		}
	})
}

func moment(random *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(below)))
}

// times is printed as its median and its maximum.
type times []time.Duration

func (d times) String() string {
	if len(d) == 0 {
		return "nothing"
	}
	sorted := slices.Sorted(slices.Values(d))
	return fmt.Sprintf("%v (median), %v (max)", sorted[len(sorted)/2].Round(time.Millisecond), sorted[len(sorted)-1].Round(time.Millisecond))
}
