package conformance

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// situation is what the holder does when it is cut off.
type situation string

const (
	idleInTransaction      situation = "idle in a transaction"
	idleOutside            situation = "idle outside a transaction"
	statementInTransaction situation = "a statement in a transaction"
	statementOutside       situation = "a statement outside a transaction"
	quickSteps             situation = "quick steps"
)

var situations = []situation{idleInTransaction, idleOutside, statementInTransaction, statementOutside, quickSteps}

// whole says whether a migration that is cut off is whole or absent. Otherwise a person may have to look at it.
func (s situation) whole(p *place) bool {
	return p.transactionalDDL && s != idleOutside && s != statementOutside
}

const cutVersions = 5

// cutSet are the migrations of a situation, in the third of which the holder calls here.
func (x target) cutSet(s situation, here func(context.Context) error) []gooseplus.Option {
	named := make(map[string]*fstest.MapFile)
	pause := "SELECT pg_sleep(s) FROM hold;"
	if x.dialect == "mysql" {
		pause = "SELECT SLEEP(s) FROM hold;"
	}
	var function *goose.Migration
	for v := 1; v <= cutVersions; v++ {
		count, create := fmt.Sprintf("INSERT INTO counted VALUES (%d);", v), fmt.Sprintf("CREATE TABLE t%03d (id INTEGER);", v)
		uncount, drop := fmt.Sprintf("DELETE FROM counted WHERE v = %d;", v), fmt.Sprintf("DROP TABLE IF EXISTS t%03d;", v)
		up, down := strings.Join([]string{count, create}, "\n"), strings.Join([]string{uncount, drop}, "\n")
		file := script
		switch {
		case s == quickSteps, v == 3 && s == statementInTransaction:
			up = strings.Join([]string{count, pause, create}, "\n")
		case v == 3 && s == statementOutside:
			up, file = strings.Join([]string{count, pause, create}, "\n"), noTransaction
		case v == 3:
			function = goose.NewGoMigration(3, x.function(s, here, count, create), x.function(s, nil, uncount, drop))
			continue
		}
		named[fmt.Sprintf("%03d_cut.sql", v)] = file(up, down)
	}
	set := []gooseplus.Option{from(files(named))}
	if function != nil {
		set = append(set, gooseplus.WithGoMigrations(function))
	}
	return set
}

// function executes two statements, and calls here between them.
func (x target) function(s situation, here func(context.Context) error, first, second string) *goose.GoFunc {
	do := func(ctx context.Context, q interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}) error {
		if _, err := q.ExecContext(ctx, first); err != nil {
			return err
		}
		if here != nil {
			if err := here(ctx); err != nil {
				return err
			}
		}
		_, err := q.ExecContext(ctx, second)
		return err
	}
	if s == idleOutside {
		return &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error { return do(ctx, db) }}
	}
	return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return do(ctx, tx) }}
}

const taskEnv = "GOOSEPLUS_TASK" // a task, in JSON

// task is what a process on a machine does: it boots.
type task struct {
	Driver, Dialect, DSN string
	Situation            situation
	Holds                bool          // it stays in the situation
	Linger               time.Duration // and for how long at most
	Within               time.Duration // when its context ends; 0: never
	Calls                bool          // afterwards it tries other calls, whose contexts end soon
}

// heard is what its call has told, and how long after the end of its context it returned, without what the process was
// late by.
type heard struct {
	OK, Lost, Locked, Forward, Back, Dirty bool
	Reached                                int64 // by a way back that failed
	Text                                   string
	Late                                   time.Duration
}

func tell(err error, deadline time.Time, late *lag) (x heard) {
	x = heard{OK: err == nil, Lost: errors.Is(err, gooseplus.ErrLockLost), Locked: errors.Is(err, gooseplus.ErrLocked),
		Forward: errors.Is(err, gooseplus.ErrRollForward), Back: errors.Is(err, gooseplus.ErrRollBack),
		Dirty: errors.Is(err, gooseplus.ErrDirty), Late: time.Since(deadline) - late.since(deadline)}
	var stuck *gooseplus.RollbackError
	if errors.As(err, &stuck) {
		x.Reached = stuck.Reached
	}
	if err != nil {
		x.Text = err.Error()
	}
	return x
}

// TestTask is no test but such a process. It says what happens, each with the time: ready, and when its input is closed
// it goes on; waiting, holds, reached; ended and called, each with what was told.
func TestTask(t *testing.T) {
	text := os.Getenv(taskEnv)
	if text == "" {
		return
	}
	var x task
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		t.Fatal(err)
	}
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil { // of a process of its own
		t.Fatal(err)
	}
	p := &place{target: target{driver: x.Driver, dialect: x.Dialect}, dsn: x.DSN}
	var here func(context.Context) error
	if x.Holds {
		here = func(ctx context.Context) error {
			say("reached", "")
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(x.Linger):
				return nil
			}
		}
	}
	m := p.locking(p.open(t), append(p.cutSet(x.Situation, here), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		switch e.(type) {
		case gooseplus.LockWaiting:
			say("waiting", "")
		case gooseplus.RunStarted:
			say("holds", "")
		}
	}))...)
	late := newLag(t, nil)
	say("ready", "")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
	ctx, deadline := context.Background(), time.Now()
	if x.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.Within)
		defer cancel()
		deadline, _ = ctx.Deadline()
	}
	sayTold("ended", map[string]heard{"Migrate": tell(m.Migrate(ctx), deadline, late)})
	if x.Calls {
		sayTold("called", calls(m, late))
	}
}

func sayTold(what string, all map[string]heard) {
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	say(what, string(text))
}

// calls makes calls, all at once, whose contexts end soon.
func calls(m *gooseplus.Migrator, late *lag) map[string]heard {
	all := make(map[string]heard)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, call := range map[string]func(context.Context) error{
		"Migrate":     m.Migrate,
		"Version":     func(ctx context.Context) error { _, err := m.Version(ctx); return err },
		"Status":      func(ctx context.Context) error { _, err := m.Status(ctx); return err },
		"Plan":        func(ctx context.Context) error { _, err := m.Plan(ctx); return err },
		"Runs":        func(ctx context.Context) error { _, err := m.Runs(ctx); return err },
		"Rollback":    func(ctx context.Context) error { return m.Rollback(ctx, 1) },
		"Goto":        func(ctx context.Context) error { return m.Goto(ctx, 1) },
		"Force":       func(ctx context.Context) error { return m.Force(ctx, 1) },
		"LockVersion": func(ctx context.Context) error { return m.LockVersion(ctx, 1) },
	} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			deadline, _ := ctx.Deadline()
			x := tell(call(ctx), deadline, late)
			mu.Lock()
			defer mu.Unlock()
			all[name] = x
		})
	}
	wg.Wait()
	return all
}

// round is one of the rounds of such a test, with a database of its own.
type round struct {
	place     *place
	situation situation
	machine   machine
	random    *rand.Rand
	linger    time.Duration // how long the holder stays in its situation at most
	figures   *figures
	lag       *lag // nil: the machine is not asked
}

// lag is by how much this machine itself is late, with the server on it: what a busy machine takes longer for is nobody's fault.
type lag struct {
	mu   sync.Mutex
	late map[time.Time]time.Duration // when something was late, and by how much. Guarded by mu
}

// newLag asks the place's server for nothing, again and again, on a connection of its own: the place's pool may keep none.
// Without a place it is about this process alone.
func newLag(t *testing.T, p *place) *lag {
	t.Helper()
	const pause, usual = 100 * time.Millisecond, 5 * time.Millisecond
	l := &lag{late: make(map[time.Time]time.Duration)}
	ask := func(context.Context) error { return nil }
	if p != nil {
		ask = p.instance(t).PingContext
	}
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	t.Cleanup(func() { cancel(); asking.Wait() })
	asking.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			time.Sleep(pause)
			_ = ask(ctx)
			if late := time.Since(began) - pause - usual; late > 0 {
				l.mu.Lock()
				l.late[began] = late
				l.mu.Unlock()
			}
		}
	})
	return l
}

// since is by how much the machine was late since then.
func (l *lag) since(then time.Time) (sum time.Duration) {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, late := range l.late {
		if at.After(then) {
			sum += late
		}
	}
	return sum
}

// figures are what was measured, by what it is called.
type figures struct {
	mu  sync.Mutex
	all map[string]times // guarded by mu
}

func (f *figures) add(what string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = make(map[string]times)
	}
	f.all[what] = append(f.all[what], d)
}

func (f *figures) log(t *testing.T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name := range f.all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%s, %d times: %v", name, len(f.all[name]), f.all[name])
	}
}

// log notes a figure of the round.
func (r *round) log(t *testing.T, what string, d time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, d.Round(time.Millisecond))
	r.figures.add(what+", "+string(r.situation), d)
}

// atOnce is how many rounds are played at once: they wait most of the time.
const atOnce = 8

// overlapping plays rounds as subtests, several at once, from the given one on. They take the place of one test.
func overlapping(t *testing.T, first, rounds int, play func(t *testing.T, i int)) {
	var wg sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i := first; i < first+rounds; i++ {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			t.Run(fmt.Sprintf("round %d", i+1), func(t *testing.T) { play(t, i) })
		})
	}
	wg.Wait()
}

// onServers runs a test that waits most of the time on each kind of server, both at once and beside the tests that wait for
// their turn: subtests with t.Parallel would begin when nearly all other tests are done, and be waited for.
func onServers(t *testing.T, test func(t *testing.T, dialect string)) {
	var both sync.WaitGroup
	for _, dialect := range []string{"postgres", "mysql"} {
		both.Go(func() { t.Run(dialect, func(t *testing.T) { test(t, dialect) }) })
	}
	both.Wait()
}

// targetsOf are the targets of one kind of server, one for each driver.
func targetsOf(dialect string) (list []target) {
	for _, x := range targets {
		if x.dialect == dialect {
			list = append(list, x)
		}
	}
	return list
}

// ownServer starts a server for this test alone, and returns what makes databases on it.
func ownServer(t *testing.T, dialect string, anywhere bool) (s *dbtest.OwnServer, database func(testing.TB) string) {
	t.Helper()
	if dialect == "mysql" {
		s = dbtest.OwnMySQL(t, anywhere)
	} else {
		s = dbtest.OwnPostgres(t, anywhere)
	}
	return s, func(t testing.TB) string { return s.NewDatabase(t).DSN }
}

// onMachines plays rounds on each kind of server, 3 or 50, with the holder on a machine that can be cut off. The first
// is in the situation with the given number, and each is in the next one, over the next driver; in two of three rounds
// packets are dropped, if there can be such machines here.
func onMachines(t *testing.T, first int, play func(*testing.T, *round)) {
	onServers(t, func(t *testing.T, dialect string) {
		rounds, random := chaos(t, 3, 50)
		drops := dropsPackets()
		var database func(testing.TB) string
		if drops {
			_, database = ownServer(t, dialect, true)
		} else {
			t.Log("every machine is behind a proxy: packets can be dropped for root on Linux alone, with the program ip")
		}
		var all figures
		defer all.log(t)
		seeds := make([]uint64, rounds)
		for i := range seeds {
			seeds[i] = random.Uint64()
		}
		overlapping(t, 0, rounds, func(t *testing.T, i int) {
			drivers := targetsOf(dialect)
			x, make := drivers[i%len(drivers)], newProxied
			if drops && i%3 > 0 {
				x.database, make = database, newDropped
			}
			r := &round{situation: situations[(first+i)%len(situations)], random: rand.New(rand.NewPCG(seeds[i], 0)), linger: time.Hour, figures: &all}
			r.place = x.place(t)
			r.machine = make(t)
			r.lag = newLag(t, r.place)
			t.Logf("%s, %s, %T", x.name, r.situation, r.machine)
			play(t, r)
		})
	})
}

// boot starts a process on the machine, which boots.
func (r *round) boot(t *testing.T, x task) *cutProcess {
	t.Helper()
	x.Driver, x.Dialect, x.Situation = r.place.driver, r.place.dialect, r.situation
	x.DSN = dsnAt(t, r.place, r.machine.address)
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	s := startProcess(t, taskEnv+"="+string(text), r.machine.command(os.Args[0], "-test.run=^TestTask$")...)
	s.until(t, "ready")
	s.let(t)
	return &cutProcess{s}
}

// cutProcess is a process with a task.
type cutProcess struct{ *process }

// told waits for the end of the process's call.
func (s *cutProcess) told(t *testing.T) (heard, time.Time) {
	t.Helper()
	all, at := s.allTold(t, "ended")
	return all["Migrate"], at
}

func (s *cutProcess) allTold(t *testing.T, what string) (all map[string]heard, at time.Time) {
	t.Helper()
	r := s.until(t, what)
	if err := json.Unmarshal([]byte(r.more), &all); err != nil {
		t.Fatalf("%s: %v", r.more, err)
	}
	return all, r.at
}

// begin starts the holder, and returns when it is in its situation.
func (r *round) begin(t *testing.T) *cutProcess {
	t.Helper()
	p := r.place
	pause := min(r.linger, 200*time.Second).Seconds()
	if r.situation == quickSteps {
		pause = 0.15
	}
	p.counting(t)
	p.exec(t, "CREATE TABLE hold (s FLOAT)", fmt.Sprintf("INSERT INTO hold VALUES (%.2f)", pause))
	holder := r.boot(t, task{Holds: true, Linger: r.linger})
	switch r.situation {
	case quickSteps:
		holder.until(t, "holds")
	case statementInTransaction, statementOutside:
		p.untilAny(t, "the statement", p.pausing("(s) FROM hold"))
		p.exec(t, "DELETE FROM hold") // nobody else sleeps
	default:
		holder.until(t, "reached")
	}
	return holder
}

// pause is what makes the rounds differ. Quick steps take less than a second.
func (r *round) pause() {
	if r.situation == quickSteps {
		time.Sleep(moment(r.random, 700*time.Millisecond))
		return
	}
	time.Sleep(moment(r.random, 2*time.Second))
}

// other boots in this process, on a network of its own, and returns when it waits for the lock.
func (r *round) other(t *testing.T) *replica {
	t.Helper()
	other := r.place.boot(context.Background(), r.place.instance(t), r.place.cutSet(r.situation, nil)...)
	select {
	case <-other.waiting:
	case <-other.done: // quick steps may have ended
	case <-time.After(patience):
		t.Fatal("the other one neither waits nor ends")
	}
	return other
}

// wantReturned asserts that every call of a process that was cut off returns soon after the end of its context. before is
// what it said last before the cut.
func (r *round) wantReturned(t *testing.T, s *cutProcess, before remark, cut time.Time) {
	t.Helper()
	const limit = 5 * time.Second
	ended := before.at
	for _, what := range []string{"ended", "called"} {
		if what == before.what || what == "called" && r.situation == quickSteps {
			continue
		}
		all, at := s.allTold(t, what)
		if what == "ended" {
			ended = at
		}
		for name, x := range all {
			r.log(t, "after the end of its context "+what, x.Late)
			if late := r.lag.since(cut); x.Late > limit+late {
				t.Errorf("%s returned %v after the end of its context, the machine was late by %v: %s", name, x.Late, late, x.Text)
			}
			if x.OK && r.situation != quickSteps && ended.After(cut) { // on a busy machine the calls may have begun before
				t.Errorf("%s has succeeded without a network", name)
			}
		}
	}
}

// wantTakenOver waits for the end of a run that takes over.
func (r *round) wantTakenOver(t *testing.T, other *replica, since time.Time) {
	t.Helper()
	await(t, "the end of the one that takes over", other.done)
	took := time.Since(since)
	if !other.began.IsZero() { // what it does then is no part of that
		took = other.began.Sub(since)
	}
	r.log(t, "taken over", took)
	if late := r.lag.since(since); took > takeoverLimit+late {
		t.Errorf("nobody took over for %v; the machine was late by %v", took, late)
	}
}

// wantSettled asserts that the database is at the target after a run that ended with err, or that it says dirty, of a
// migration that may be half-applied, and gets there when a person has looked.
func (r *round) wantSettled(t *testing.T, err error) {
	t.Helper()
	p := r.place
	if errors.Is(err, gooseplus.ErrDirty) && !r.situation.whole(p) {
		repair(t, p, r.situation)
	} else if err != nil {
		t.Errorf("the next: %v", err)
	}
	p.wantCounted(t, upTo(cutVersions)...)
	want := []string{"counted", "hold"}
	for v := 1; v <= cutVersions; v++ {
		want = append(want, fmt.Sprintf("t%03d", v))
	}
	if got := column[string](t, p.db, p.tables); !slices.Equal(got, want) {
		t.Errorf("tables %v, want %v", got, want)
	}
	locks{p}.wantFree(t)
}

// repair is what a person does: clear away what is left of the migration that is half-applied.
func repair(t *testing.T, p *place, s situation) {
	t.Helper()
	ctx := context.Background()
	m := p.locking(p.db, p.cutSet(s, nil)...)
	status, err := m.Status(ctx)
	if err != nil || !status.Dirty {
		t.Fatalf("the run says that it is dirty, and its status %+v, %v", status, err)
	}
	for _, x := range status.Migrations {
		if !x.Failed {
			continue
		}
		t.Logf("migration %d is dirty", x.Version)
		p.exec(t, fmt.Sprintf("DELETE FROM counted WHERE v = %d", x.Version), fmt.Sprintf("DROP TABLE IF EXISTS t%03d", x.Version))
		if err := m.Force(ctx, x.Version-1); err != nil {
			t.Fatal(err)
		}
		break
	}
	if err := m.Migrate(ctx); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}
