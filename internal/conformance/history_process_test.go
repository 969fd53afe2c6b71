package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/cli"
)

const releaseEnv = "GOOSEPLUS_RELEASE" // a releaseOrder, in JSON

// releaseOrder is what a process of its own does with a release of the application.
type releaseOrder struct {
	Driver, Dialect, DSN string
	Newest               int
	Pause                time.Duration // what each migration takes
	Unknown              gooseplus.Policy
	Lock, Wait           bool
	Stored               bool     // Downs
	Goto                 int64    // instead of Migrate, if it isn't 0
	Command              []string // a command line for the program gooseplus instead
}

// slowly is a release whose migrations each take a while.
func (x target) slowly(newest int, each time.Duration) gooseplus.Option {
	named := release{newest: newest}.gooseFiles("")
	if each > 0 {
		for v := 1; v <= newest; v++ {
			up, down := release{newest: newest}.texts(v)
			named[fmt.Sprintf("%03d_t.sql", v)] = script(x.sleeping(each)+";\n"+up, x.sleeping(each)+";\n"+down)
		}
	}
	return from(files(named))
}

// TestReleaseProcess is no test but such a process. It says ready, warning with its text, step, and done or failed.
func TestReleaseProcess(t *testing.T) {
	text := os.Getenv(releaseEnv)
	if text == "" {
		return
	}
	var o releaseOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if len(o.Command) > 0 {
		os.Args = append([]string{"gooseplus"}, o.Command...)
		os.Exit(cli.Run(cli.Standalone()))
	}
	p := &place{target: target{driver: o.Driver, dialect: o.Dialect}, dsn: o.DSN}
	db := p.open(t)
	defer db.Close()
	m := p.locking(db, p.slowly(o.Newest, o.Pause), gooseplus.WithGlobalLock(o.Lock), gooseplus.WithUnknownVersions(o.Unknown), gooseplus.WithStoredDowns(o.Stored),
		gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			switch e := e.(type) {
			case gooseplus.Warning:
				say("warning", e.Message)
			case gooseplus.MigrationFinished:
				say("step", fmt.Sprint(e.Step.Version))
			}
		}))
	say("ready", "")
	run := m.Migrate
	switch {
	case o.Wait:
		run = m.Wait
	case o.Goto > 0:
		run = func(ctx context.Context) error { return m.Goto(ctx, o.Goto) }
	}
	if err := run(context.Background()); err != nil {
		say("failed", err.Error())
		t.FailNow()
	}
	say("done", "")
}

func (p *place) release(t *testing.T, o releaseOrder) *process {
	t.Helper()
	o.Driver, o.Dialect, o.DSN = p.driver, p.dialect, p.dsn
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, releaseEnv+"="+string(text), os.Args[0], "-test.run=^TestReleaseProcess$")
}

// TestReleaseRolledBack: release 2 has migrated, release 1 comes back for a while, and then release 2.
func TestReleaseRolledBack(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{false, true} {
		t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				tables := []string{"t001", "t002", "t003", "t004"}
				p.release(t, releaseOrder{Newest: 2, Lock: lock}).until(t, "done")
				p.release(t, releaseOrder{Newest: 4, Lock: lock, Unknown: gooseplus.Refuse}).until(t, "done")
				p.want(t, upTo(4), tables)

				const text = "doesn't know: [3 4]; the program's newest is 2"
				older := p.release(t, releaseOrder{Newest: 2, Lock: lock, Unknown: gooseplus.Warn})
				if r := older.until(t, "warning"); !strings.Contains(r.more, text) {
					t.Errorf("the warning is %q", r.more)
				}
				older.until(t, "done") // it serves
				if r := p.release(t, releaseOrder{Newest: 2, Lock: lock, Unknown: gooseplus.Refuse}).until(t, "failed"); !strings.Contains(r.more, text) {
					t.Errorf("the refusal is %q", r.more)
				}
				if r := p.release(t, releaseOrder{Newest: 2, Lock: lock, Unknown: gooseplus.Refuse, Wait: true}).until(t, "failed"); !strings.Contains(r.more, text) {
					t.Errorf("the refusal of Wait is %q", r.more)
				}
				p.want(t, upTo(4), tables)

				p.release(t, releaseOrder{Newest: 4, Lock: lock, Unknown: gooseplus.Refuse}).until(t, "done")
				p.want(t, upTo(4), tables)
				p.release(t, releaseOrder{Newest: 5, Lock: lock, Unknown: gooseplus.Refuse}).until(t, "done")
				p.want(t, upTo(5), append(tables, "t005"))
			})
		})
	}
}

// waitLimit is how much later than the migrating process a waiting one may end. It looks more often than once a second, and a
// look may take a while on a busy machine.
const waitLimit = 5 * time.Second

// TestWaitingProcesses: processes that wait end soon after the one that migrates, and have not migrated themselves.
func TestWaitingProcesses(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{false, true} {
		t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
			having(server).onDatabases(t, func(t *testing.T, p *place) {
				var waiting []*process
				for range 3 {
					waiting = append(waiting, p.release(t, releaseOrder{Newest: 6, Lock: lock, Wait: true}))
				}
				for _, w := range waiting {
					w.until(t, "ready")
				}
				time.Sleep(1500 * time.Millisecond) // they have looked several times
				if got := column[string](t, p.db, p.anyTable()); len(got) > 0 {
					t.Fatalf("a waiting process has made %q", got)
				}
				p.wantMigratedOnce(t, waiting, p.release(t, releaseOrder{Newest: 6, Lock: lock, Pause: 300 * time.Millisecond}))
			})
		})
	}
}

// anyTable lists all tables, those of the library included.
func (x target) anyTable() string { return strings.ReplaceAll(x.tables, "NOT LIKE 'goose%'", "<> ''") }

// wantMigratedOnce waits for the migrating process and for the others.
func (p *place) wantMigratedOnce(t *testing.T, waiting []*process, migrating *process) {
	t.Helper()
	busy := newLag(t, p)
	for v := 1; v < 5; v++ {
		migrating.until(t, fmt.Sprintf("step %d", v))
	}
	last := migrating.until(t, "step 5").at // when the last step began, which takes a moment and is recorded at its end
	migrating.until(t, "step 6")
	end := migrating.until(t, "done").at
	for i, w := range waiting {
		for r := range w.said {
			switch late := r.at.Sub(end); {
			case r.what == "step":
				t.Errorf("process %d, which waits, has migrated %s", i, r.more)
			case r.what == "failed":
				t.Errorf("process %d: %s", i, r.more)
			case r.what == "done" && late > waitLimit+busy.since(end):
				t.Errorf("process %d has ended %v after the migration", i, late)
			case r.what == "done" && r.at.Before(last):
				t.Errorf("process %d has ended %v before the migration", i, -late)
			case r.what == "done":
				t.Logf("process %d: %v after the migration", i, late)
			}
		}
	}
	p.want(t, upTo(6), []string{"t001", "t002", "t003", "t004", "t005", "t006"})
}

// TestWaitOfAKilledRun: a run that was killed is not the end of the wait; the next run is.
func TestWaitOfAKilledRun(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		waiting := []*process{p.release(t, releaseOrder{Newest: 6, Lock: true, Wait: true})}
		cut := p.release(t, releaseOrder{Newest: 6, Lock: true, Pause: 300 * time.Millisecond})
		cut.until(t, "step 3")
		cut.kill()
		busy := newLag(t, p)
		next := p.release(t, releaseOrder{Newest: 6, Lock: true, Pause: 100 * time.Millisecond})
		var last, end time.Time // of the steps before the last one, and of the run
		for end.IsZero() {
			switch r := next.until(t, "step", "done"); {
			case r.what == "done":
				end = r.at
			case r.more != "6":
				last = r.at
			}
		}
		ended := waiting[0].until(t, "done").at
		if late := ended.Sub(end); late > waitLimit+busy.since(end) || ended.Before(last) {
			t.Errorf("it has ended %v after the migration", late)
		}
	})
}

// TestWaitForAServer: a server that isn't there yet is waited for, and then the migration.
func TestWaitForAServer(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, dialect string) {
		server, database := ownServer(t, dialect, false)
		x := targetsOf(dialect)[0]
		x.database = database
		locks := []bool{false, true}
		var placed, waiting sync.WaitGroup
		placed.Add(len(locks))
		waiting.Add(len(locks))
		down, looked := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(looked)
			placed.Wait()
			server.ShutDown(t)
			close(down)
			waiting.Wait()
			time.Sleep(2 * time.Second) // they have found no server
			server.Start(t)
			time.Sleep(1500 * time.Millisecond) // they have looked several times
		}()
		overlapping(t, 0, len(locks), func(t *testing.T, i int) {
			isPlaced, waits := sync.OnceFunc(placed.Done), sync.OnceFunc(waiting.Done)
			defer waits() // also if it fails
			defer isPlaced()
			p := x.place(t)
			p.db.SetMaxIdleConns(0)
			isPlaced()
			<-down
			w := p.release(t, releaseOrder{Newest: 6, Lock: locks[i], Wait: true})
			w.until(t, "ready")
			waits()
			<-looked
			if got := column[string](t, p.db, p.anyTable()); len(got) > 0 {
				t.Fatalf("a waiting process has made %q", got)
			}
			p.wantMigratedOnce(t, []*process{w}, p.release(t, releaseOrder{Newest: 6, Lock: locks[i], Pause: 200 * time.Millisecond}))
		})
		<-looked
	})
}

// TestWaitForTheEnd: the context ends the wait, and the error says what was missing.
func TestWaitForTheEnd(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		for _, lock := range []bool{false, true} {
			var err error
			for within := 700 * time.Millisecond; within < patience; within *= 2 { // a busy server may be asked when the time is over
				ctx, cancel := context.WithTimeout(context.Background(), within)
				err = p.migrator(from(chain(3)), gooseplus.WithGlobalLock(lock)).Wait(ctx)
				cancel()
				wantIs(t, err, context.DeadlineExceeded)
				if strings.Contains(fmt.Sprint(err), "are pending") {
					break
				}
			}
			wantText(t, err, "3 migrations are pending")
		}
		if got := column[string](t, p.db, p.anyTable()); len(slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "sqlite_") })) > 0 {
			t.Errorf("Wait has made %q", got)
		}
	})
}

// TestWaitOfABusyPool: a look without an answer, here as the application has all connections, doesn't tell of another run. Nor does a
// run without an answer to its question for the lock.
func TestWaitOfABusyPool(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		db := p.instance(t)
		db.SetMaxOpenConns(2)
		for _, c := range pin(t, db, 2) {
			defer c.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := p.locking(db, from(chain(1))).Wait(ctx)
		wantIs(t, err, context.DeadlineExceeded)
		wantText(t, err, "there was no answer yet")
		soon, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err = p.locking(db, from(chain(1))).Migrate(soon)
		wantIs(t, err, context.DeadlineExceeded)
		wantIs(t, err, gooseplus.ErrLocked)
		wantText(t, err, "all 2 connections of the pool are in use, see SetMaxOpenConns")
	})
}

// TestHistoryOfAKilledRun: what a killed run has remembered, and what it hasn't, is right after the next one. So is the
// database.
func TestHistoryOfAKilledRun(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		const newest = 12
		for _, moment := range []time.Duration{0, 40 * time.Millisecond, 90 * time.Millisecond} {
			p.reset(t)
			p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
			for v := 1; v <= newest; v++ {
				p.exec(t, fmt.Sprintf("DROP TABLE IF EXISTS t%03d", v))
			}
			cut := p.release(t, releaseOrder{Newest: newest, Lock: true, Pause: 100 * time.Millisecond})
			cut.until(t, "step 5")
			time.Sleep(moment)
			cut.kill()
			m := p.migrator(p.slowly(newest, 100*time.Millisecond), gooseplus.WithGlobalLock(true), refuseEdits, refuseUnknown)
			if err := m.Migrate(context.Background()); err != nil {
				if !errors.Is(err, gooseplus.ErrDirty) {
					t.Fatal(err)
				}
				t.Log(err) // MariaDB had executed a part, which a person has to look at
				p.exec(t, "DROP TABLE IF EXISTS t006", "DROP TABLE IF EXISTS t007")
				version := column[int64](t, p.db, "SELECT max(version_id) FROM goose_db_version")[0]
				if err := errors.Join(m.Force(context.Background(), version), m.Migrate(context.Background())); err != nil {
					t.Fatal(err)
				}
			}
			if got := column[int64](t, p.db, "SELECT version_id FROM goose_db_version_lock WHERE kind = 'applied' AND checksum <> '' ORDER BY version_id"); !slices.Equal(got, upTo(newest)) {
				t.Errorf("remembered are %v", got)
			}
			if s, err := m.Status(context.Background()); err != nil || slices.ContainsFunc(s.Migrations, func(x gooseplus.MigrationStatus) bool { return x.Edited }) {
				t.Errorf("%+v, %v", s, err)
			}
			shadow := p.shadow(t)
			if list, err := m.Drift(context.Background(), shadow); err != nil || len(list) > 0 {
				t.Errorf("drift after the kill: %v, %v", list, err)
			}
		}
	})
}
