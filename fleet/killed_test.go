package fleet_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/fleet"
)

// long says whether the long forms of the tests run.
var long = os.Getenv("GOOSEPLUS_CHAOS") != ""

// threeSlow are migrations in which a kill is likely to hit a run.
func threeSlow(seconds float64) map[string]string {
	return map[string]string{
		"sql/00001_first.sql":  fmt.Sprintf("-- +goose Up\nCREATE TABLE marker (version bigint);\nINSERT INTO marker VALUES (1);\nSELECT pg_sleep(%v);\n-- +goose Down\nDROP TABLE marker;\n", seconds),
		"sql/00002_second.sql": slow(2, seconds),
		"sql/00003_third.sql":  slow(3, seconds),
	}
}

// workers are processes, of which one is killed now and then.
type workers struct {
	*stage
	random *rand.Rand
	live   []*exec.Cmd

	mu    sync.Mutex
	freed []time.Duration // guarded by mu; from a kill until its tenants could be claimed again
	watch sync.WaitGroup
}

func (s *stage) workers(n int, seed uint64) *workers {
	w := &workers{stage: s, random: rand.New(rand.NewPCG(seed, seed))}
	for range n {
		w.live = append(w.live, s.process())
	}
	return w
}

// killOne kills a worker and starts another in its place.
func (w *workers) killOne() {
	w.t.Helper()
	i := w.random.IntN(len(w.live))
	pid := w.live[i].Process.Pid
	kill(w.live[i])
	at := time.Now()
	w.live[i] = w.process()
	var claimed int
	const mine = `claim LIKE '%/' || $1::int || '/%'`
	if err := w.control.QueryRowContext(context.Background(), `SELECT count(*) FROM fleet_tenant WHERE `+mine, pid).Scan(&claimed); err != nil {
		w.t.Error(err)
	}
	if claimed == 0 {
		return
	}
	w.watch.Go(func() {
		for {
			time.Sleep(100 * time.Millisecond)
			var left int
			if err := w.control.QueryRowContext(context.Background(), `SELECT count(*) FROM fleet_tenant WHERE `+mine, pid).Scan(&left); err != nil {
				continue
			}
			w.mu.Lock()
			if left == 0 {
				w.freed = append(w.freed, time.Since(at))
			}
			w.mu.Unlock()
			if left == 0 || time.Since(at) > 2*time.Minute {
				return
			}
		}
	})
}

func percentile(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[min(len(list)-1, int(p*float64(len(list))))].Round(100 * time.Millisecond)
}

// Workers are killed at random, up and down: each tenant gets to where it should be, and no migration runs twice.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	schemas, kills, every, lanes, limit := 16, 5, 500*time.Millisecond, 2, 2*time.Minute
	if long {
		schemas, kills, every, lanes, limit = 500, 200, 1800*time.Millisecond, 12, 10*time.Minute
	}
	s := newStage(t, lanes, schemas, threeSlow(0.05))
	if !long {
		s.setup.Lease = 3 * time.Second
		s.remake()
	}
	w := s.workers(3, 20)
	killed, done := 0, 0
	for round := 1; killed < kills; round++ {
		name := fmt.Sprint("round ", round)
		s.start(fleet.Plan{Name: name})
		killed = w.killUntil(killed, kills, every, limit, name)
		if p := s.wait(name, limit, fleet.Done); p.Tenants.Done != 2*schemas {
			t.Fatalf("%+v", p)
		}
		s.expectMarkers(2*schemas, 1, 2, 3)
		done++
		if err := s.Undo(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		killed = w.killUntil(killed, kills, every, limit, name)
		if p := s.wait(name, limit, fleet.Undone); p.Tenants.Undone != 2*schemas {
			t.Fatalf("%+v", p)
		}
		s.expectMarkers(0)
	}
	w.watch.Wait()
	t.Logf("%d kills in %d rollouts of %d tenants, each undone; from a kill until its tenants are free: median %v, p99 %v, of %d",
		killed, done, 2*schemas, percentile(w.freed, 0.5), percentile(w.freed, 0.99), len(w.freed))
	if p99 := percentile(w.freed, 0.99); long && p99 > 35*time.Second {
		t.Errorf("p99 is %v", p99)
	}
}

// killUntil kills workers until the rollout is at its end, or there were enough kills.
func (w *workers) killUntil(killed, kills int, every, limit time.Duration, name string) int {
	w.t.Helper()
	for began := time.Now(); killed < kills && time.Since(began) < limit; killed++ {
		time.Sleep(every/2 + time.Duration(w.random.Int64N(int64(every))))
		p, err := w.Progress(w.t.Context(), name)
		if err != nil {
			w.t.Fatal(err)
		}
		if p.State.Ended() {
			break
		}
		w.killOne()
	}
	return killed
}
