package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// TestServerPowerLoss takes the power from the server in the middle of runs: SIGKILL for all its processes, and crash
// recovery.
func TestServerPowerLoss(t *testing.T) {
	t.Parallel()
	onOwnServers(t, (*dbtest.OwnServer).PowerOff)
}

// TestServerRestart restarts the server in the middle of runs.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	onOwnServers(t, (*dbtest.OwnServer).ShutDown)
}

// onOwnServers plays rounds on each kind of server, 3 or 50, several at once: all their holders are in their situations
// when the server ends. It is back after a while.
func onOwnServers(t *testing.T, end func(*dbtest.OwnServer, testing.TB)) {
	onServers(t, func(t *testing.T, dialect string) {
		rounds, random := chaos(t, 3, 50)
		server, database := ownServer(t, dialect, false)
		var all figures
		defer all.log(t)
		for first := 0; first < rounds && !t.Failed(); first += atOnce {
			n := min(atOnce, rounds-first)
			var ready sync.WaitGroup
			ready.Add(n)
			back := make(chan struct{})
			go func() {
				defer close(back)
				ready.Wait()
				end(server, t)
				time.Sleep(moment(random, 12*time.Second)) // what makes the rounds differ
				server.Start(t)
			}()
			seeds := make([]uint64, n)
			for i := range seeds {
				seeds[i] = random.Uint64()
			}
			overlapping(t, first, n, func(t *testing.T, i int) {
				drivers := targetsOf(dialect)
				x := drivers[i%len(drivers)]
				x.database = database
				r := &round{situation: situations[i%len(situations)], random: rand.New(rand.NewPCG(seeds[i-first], 0)), linger: time.Hour, figures: &all}
				r.serverEnds(t, x, sync.OnceFunc(ready.Done), back)
			})
			<-back
		}
	})
}

// serverEnds calls ready when the holder is in its situation; the server is there again when back is closed.
func (r *round) serverEnds(t *testing.T, x target, ready func(), back <-chan struct{}) {
	defer ready() // also if it fails
	r.place = x.place(t)
	p := r.place
	r.machine = newProxied(t)
	silent, alone := r.random.IntN(3) == 0, r.random.IntN(2) == 0
	t.Logf("%s, %s, the holder is alone: %v, hears nothing of the end: %v", x.name, r.situation, alone, silent)
	holder := r.begin(t)
	p.db.SetMaxIdleConns(0) // or it keeps connections that the server has ended
	var other *replica
	if !alone {
		other = r.other(t)
	}
	if r.situation == quickSteps {
		r.pause()
	}
	named := backendsOf(t, p)
	if silent {
		r.machine.cut(t)
	}
	ready()
	<-back
	p.db.SetMaxIdleConns(idleConns)
	since := time.Now()
	r.lag = newLag(t, p)
	r.machine.heal(t)
	renumber(t, p, named)
	if other != nil {
		await(t, "the end of the one that waited", other.done) // which the end of the server may have ended
	}
	var said heard
	hear := func() {
		var ended time.Time
		said, ended = holder.told(t)
		r.log(t, "the holder ended after the server was back", ended.Sub(since))
		if late := r.lag.since(since); ended.Sub(since) > takeoverLimit+late {
			t.Errorf("the holder ended %v after the server was back; the machine was late by %v", ended.Sub(since), late)
		}
	}
	if alone {
		hear()
		r.wantTrue(t, said)
		since = time.Now()
	}
	var err error
	for {
		err = p.locking(p.db, p.cutSet(r.situation, nil)...).Migrate(context.Background())
		if err == nil || errors.Is(err, gooseplus.ErrDirty) {
			break
		}
		t.Logf("%v after the server was back: %v", time.Since(since).Round(time.Millisecond), err)
		if time.Since(since) > patience {
			t.Fatalf("nobody could migrate for %v", patience)
		}
		time.Sleep(200 * time.Millisecond) // as whoever starts a process again
	}
	took := time.Since(since)
	r.log(t, "migrated after the server was back", took)
	if late := r.lag.since(since); took > takeoverLimit+late {
		t.Errorf("nobody could migrate for %v; the machine was late by %v", took, late)
	}
	if !alone {
		hear()
	}
	if said.OK && err != nil {
		t.Errorf("the holder has succeeded, and the next one has not: %v", err)
	}
	r.wantSettled(t, err)
}

// wantTrue asserts that what the holder told is true, before anybody else has changed anything.
func (r *round) wantTrue(t *testing.T, x heard) {
	t.Helper()
	p := r.place
	versions := column[int64](t, p.db, "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY version_id")
	traces := column[int64](t, p.db, "SELECT v FROM counted ORDER BY v")
	tables := slices.DeleteFunc(column[string](t, p.db, p.tables), func(name string) bool { return !strings.HasPrefix(name, "t0") })
	has := fmt.Sprintf("versions %v, counted %v, tables %v", versions, traces, tables)
	t.Logf("the holder: %s; the database has %s", x.Text, has)
	switch {
	case x.OK && (len(versions) != cutVersions || len(traces) != cutVersions || len(tables) != cutVersions),
		x.Forward && len(versions)+len(traces)+len(tables) > 0,
		x.Back && x.Reached >= 0 && x.Reached != int64(len(versions)),
		r.situation.whole(p) && (len(traces) != len(versions) || len(tables) != len(versions)):
		t.Errorf("the holder told %+v, and the database has %s", x, has)
	}
}

// backends are the numbers of the connections that the state table names.
func backendsOf(t *testing.T, p *place) (numbers []int64) {
	t.Helper()
	for _, name := range column[string](t, p.db, "SELECT backend FROM goose_db_version_lock WHERE kind = 'backend'") {
		name, _, _ = strings.Cut(name, "/")
		n, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// renumber opens connections until the given numbers are somebody else's, on MySQL, which counts from the beginning after
// a restart. In the end nobody has ended them.
func renumber(t *testing.T, p *place, numbers []int64) {
	t.Helper()
	if p.dialect != "mysql" || len(numbers) == 0 {
		return
	}
	ctx := context.Background()
	db := p.instance(t)
	db.SetMaxIdleConns(0)
	for {
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var id int64
		if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(numbers, id) {
			t.Logf("connection %d is somebody else's now", id)
			t.Cleanup(func() {
				if err := conn.PingContext(ctx); err != nil {
					t.Errorf("somebody else's connection %d was ended: %v", id, err)
				}
				_ = conn.Close()
			})
			continue
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if id > slices.Max(numbers) {
			return
		}
	}
}
