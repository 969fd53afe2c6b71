package conformance

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// onLockServers runs a test on the servers, over the given drivers.
func onLockServers(t *testing.T, drivers string, test func(*testing.T, *place)) {
	for _, x := range targets {
		if slices.Contains(strings.Fields(drivers), x.driver) {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				test(t, x.place(t))
			})
		}
	}
}

func chaosRounds(few, many int) int {
	if os.Getenv("GOOSEPLUS_CHAOS") != "" {
		return many
	}
	return few
}

// instance is a pool of its own, as another replica has.
func (p *place) instance(t *testing.T) *sql.DB {
	t.Helper()
	db := p.open(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func (p *place) locking(db *sql.DB, opts ...gooseplus.Option) *gooseplus.Migrator {
	return gooseplus.New(db, append([]gooseplus.Option{
		gooseplus.WithDialect(p.dialect), gooseplus.WithGlobalLock(true), gooseplus.WithLogger(nil)}, opts...)...)
}

// replica is a run that is under way.
type replica struct {
	waiting chan struct{} // closed when it waits for the lock
	holder  string        // who it waits for; read it after waiting
	done    chan struct{}
	err     error
	took    time.Duration
}

func (p *place) boot(ctx context.Context, db *sql.DB, opts ...gooseplus.Option) *replica {
	r := &replica{waiting: make(chan struct{}), done: make(chan struct{})}
	var once sync.Once
	opts = append(opts, gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if w, ok := e.(gooseplus.LockWaiting); ok {
			once.Do(func() { r.holder = w.Holder; close(r.waiting) })
		}
	}))
	m := p.locking(db, opts...)
	go func() {
		defer close(r.done)
		started := time.Now()
		r.err = m.Migrate(ctx)
		r.took = time.Since(started)
	}()
	return r
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

func (r *replica) wait(t *testing.T) error {
	t.Helper()
	await(t, "the end of a run", r.done)
	return r.err
}

// counting makes the table in which each migration of these tests counts itself.
func (p *place) counting(t *testing.T) {
	t.Helper()
	p.reset(t)
	p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock", "CREATE TABLE counted (v BIGINT)")
}

// barring keeps everybody from a table until the function that it returns is called.
func (p *place) barring(t *testing.T, table string) (proceed func()) {
	t.Helper()
	conn, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin, end := []string{"BEGIN", "LOCK TABLE " + table}, "COMMIT"
	if p.dialect == "mysql" {
		begin, end = []string{"LOCK TABLES " + table + " WRITE"}, "UNLOCK TABLES"
	}
	for _, statement := range begin {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), end); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (p *place) wantCounted(t *testing.T, want ...int64) {
	t.Helper()
	if got := column[int64](t, p.db, "SELECT v FROM counted ORDER BY v"); !slices.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	var versions []int64
	for _, v := range column[int64](t, p.db, "SELECT version_id FROM goose_db_version ORDER BY version_id") {
		if v != 0 {
			versions = append(versions, v)
		}
	}
	if !slices.Equal(versions, want) {
		t.Errorf("versions %v, want %v", versions, want)
	}
}

func upTo(n int64) (list []int64) {
	for v := int64(1); v <= n; v++ {
		list = append(list, v)
	}
	return list
}

// wantFree asserts that the lock is free: a run that doesn't wait gets it.
func (p *place) wantFree(t *testing.T) {
	t.Helper()
	last := goose.NewGoMigration(99999, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil)
	if err := p.locking(p.db, from(fstest.MapFS{}), gooseplus.WithGoMigrations(last), gooseplus.WithLockWait(0)).Migrate(context.Background()); err != nil {
		t.Errorf("the lock is not free: %v", err)
	}
	p.wantNothingNamed(t)
	if n := column[int](t, p.db, "SELECT count(*) FROM goose_db_version_lock WHERE outcome = 'running'"); n[0] != 0 {
		t.Errorf("%d runs are recorded as running", n[0])
	}
}

// counts is a Go migration that counts itself, and then does more.
func counts(v int64, more func(context.Context, *sql.Tx) error) *goose.Migration {
	return goose.NewGoMigration(v, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		if err := execTx(ctx, tx, fmt.Sprintf("INSERT INTO counted VALUES (%d)", v)); err != nil || more == nil {
			return err
		}
		return more(ctx, tx)
	}}, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		return execTx(ctx, tx, fmt.Sprintf("DELETE FROM counted WHERE v = %d", v))
	}})
}

func (p *place) sleeping(d time.Duration) string {
	if p.dialect == "postgres" {
		return fmt.Sprintf("SELECT pg_sleep(%.3f)", d.Seconds())
	}
	return fmt.Sprintf("DO SLEEP(%.3f)", d.Seconds())
}

// TestLockConnectionKilled kills the connection of the lock alone, while a slow migration runs and
// another instance waits.
func TestLockConnectionKilled(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		slow time.Duration
		// noticed: the watch notices before the slow migration ends.
		noticed bool
	}{{5 * time.Second, true}, {time.Second, false}} {
		t.Run(s.slow.String(), func(t *testing.T) {
			onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
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
					id := fmt.Sprint(p.lockConnection(t))
					time.Sleep(rand.N(s.slow / 2)) // what makes the rounds differ
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
					p.wantFree(t)
				}
			})
		})
	}
}

const lockVictimEnv = "GOOSEPLUS_LOCK_VICTIM" // what it runs, driver, dialect and DSN

// victimFiles are n migrations that each count themselves after they slept.
func (p *place) victimFiles(n int, each time.Duration) fstest.MapFS {
	named := make(map[string]*fstest.MapFile)
	for i := 1; i <= n; i++ {
		up := fmt.Sprintf("%s;\nINSERT INTO counted VALUES (%d);", p.sleeping(each), i)
		if p.transactionalDDL {
			up += fmt.Sprintf("\nCREATE TABLE t%03d (id INTEGER);", i)
		}
		named[fmt.Sprintf("%03d_v.sql", i)] = script(up, fmt.Sprintf("DELETE FROM counted WHERE v = %d;", i))
	}
	return files(named)
}

var victimSets = map[string]func(*place) fstest.MapFS{
	"many": func(p *place) fstest.MapFS { return p.victimFiles(20, 30*time.Millisecond) },
	"slow": func(p *place) fstest.MapFS { return p.victimFiles(1, 3*time.Second) },
}

// TestLockVictim is the process that gets killed.
func TestLockVictim(t *testing.T) {
	part := strings.SplitN(os.Getenv(lockVictimEnv), " ", 4)
	if len(part) != 4 {
		return
	}
	p := &place{target: target{driver: part[1], dialect: part[2], transactionalDDL: part[2] == "postgres"}, dsn: part[3]}
	db := p.open(t)
	err := p.locking(db, append(append(victimOptions(), victimSetOptions(p, part[0])...), from(victimSets[part[0]](p)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if _, ok := e.(gooseplus.RunStarted); ok {
			fmt.Println("begin")
		}
	}))...).Migrate(context.Background())
	if err != nil {
		t.Error(err)
	}
}

// lockVictim starts the process and waits until it holds the lock and begins.
func (p *place) lockVictim(t *testing.T, set string, env ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockVictim$")
	cmd.Env = append(append(os.Environ(), lockVictimEnv+"="+set+" "+p.driver+" "+p.dialect+" "+p.dsn), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "begin" {
			return func() {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
				for lines.Scan() {
				}
				_ = cmd.Wait()
			}
		}
	}
	t.Fatalf("the process did not begin: %v", cmd.Wait())
	return nil
}

// TestLockHolderKilled kills the process that holds the lock, at a random moment.
func TestLockHolderKilled(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres mysql", func(t *testing.T, p *place) {
		cut := 0
		var worst time.Duration
		for range chaosRounds(5, 50) {
			p.counting(t)
			kill := p.lockVictim(t, "many")
			var waiters []*replica
			for range 3 {
				waiters = append(waiters, p.boot(context.Background(), p.instance(t), from(victimSets["many"](p))))
			}
			for _, w := range waiters {
				select {
				case <-w.waiting:
				case <-w.done:
				}
			}
			time.Sleep(rand.N(600 * time.Millisecond)) // what makes the rounds differ
			before := len(column[int64](t, p.db, "SELECT v FROM counted"))
			kill()
			killed := time.Now()
			for _, w := range waiters {
				if err := w.wait(t); err != nil {
					t.Errorf("a waiter: %v", err)
				}
			}
			took := time.Since(killed)
			if before < 20 {
				cut++
			}
			worst = max(worst, took)
			t.Logf("%d of 20 were applied at the kill; all was done %v after it", before, took)
			p.wantCounted(t, upTo(20)...)
			p.wantFree(t)
			outcomes := column[string](t, p.db, "SELECT outcome FROM goose_db_version_lock WHERE kind = 'run' ORDER BY started_at")
			t.Logf("runs %v", outcomes)
		}
		t.Logf("%d runs were cut off; the worst took %v", cut, worst)
	})
}

// TestLockOrphan kills the holder while the server executes a long statement for it.
func TestLockOrphan(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres mysql", func(t *testing.T, p *place) {
		p.counting(t)
		kill := p.lockVictim(t, "slow")
		working := `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND state = 'active' AND query LIKE '%pg_sleep(3%'`
		if p.dialect == "mysql" {
			working = `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE 'DO SLEEP(3%'`
		}
		var orphan []int64
		eventually(t, "the server executes the long statement", func() bool {
			orphan = column[int64](t, p.db, working)
			return len(orphan) > 0
		})
		began := time.Now()
		b := p.boot(context.Background(), p.instance(t), from(victimSets["slow"](p)))
		await(t, "the other one waiting", b.waiting)
		if b.holder == "" {
			t.Error("the waiting one does not know the holder")
		}
		kill()
		killed := time.Now()
		var orphanGone, second time.Duration
		for over := false; !over; {
			select {
			case <-b.done:
				over = true
			default:
			}
			now := column[int64](t, p.db, working)
			if len(now) > 1 {
				t.Errorf("%d backends run the migration at once", len(now))
			}
			if orphanGone == 0 && !slices.Contains(now, orphan[0]) {
				orphanGone = time.Since(killed)
			}
			if second == 0 && len(now) == 1 && now[0] != orphan[0] {
				second = time.Since(killed)
			}
			time.Sleep(5 * time.Millisecond) // leave the processor to the server
		}
		if err := b.wait(t); err != nil {
			t.Error(err)
		}
		t.Logf("killed %v after the statement began; the orphan was gone %v after the kill, the next began after %v and ended after %v",
			killed.Sub(began), orphanGone, second, time.Since(killed))
		if orphanGone < time.Second {
			t.Error("the orphan was gone early: the test shows nothing")
		}
		p.wantCounted(t, 1)
		p.wantFree(t)
	})
}

// gate is a migration's more that stops the first that comes along.
type gate struct {
	reached, open chan struct{}
	first         atomic.Bool
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass(ctx context.Context, _ *sql.Tx) error {
	if !g.first.CompareAndSwap(false, true) {
		return nil
	}
	close(g.reached)
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestLockOneSucceedsOneFails: what the first one applied stays when the one that waited fails.
func TestLockOneSucceedsOneFails(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
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
		p.wantFree(t)
	})
}

// TestLockTimeout: the time of a run is over in the middle of a migration, and the way back is
// finished before anybody else begins.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
		p.counting(t)
		var mu sync.Mutex
		var story []string
		tell := func(s string) { mu.Lock(); defer mu.Unlock(); story = append(story, s) }
		reached, back, open := make(chan struct{}), make(chan struct{}), make(chan struct{})
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
				close(reached)
				return execTx(ctx, tx, p.sleep)
			}))
		}
		a := p.boot(context.Background(), p.instance(t), set("a", true), from(fstest.MapFS{}), gooseplus.WithTimeout(4*time.Second))
		await(t, "the slow migration", reached)
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
		p.wantFree(t)
	})
}

func TestLockWait(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
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
			b := p.boot(context.Background(), p.instance(t), append(set, gooseplus.WithLockWait(d))...)
			err := b.wait(t)
			wantIs(t, err, gooseplus.ErrLocked)
			wantIsNot(t, err, gooseplus.ErrRollForward)
			wantText(t, err, holder)
			if b.took < d {
				t.Errorf("WithLockWait(%v) took %v", d, b.took)
			}
			t.Logf("WithLockWait(%v) took %v: %v", d, b.took, err)
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
		p.wantFree(t)
	})
}

// TestLockWaitForDeadRun: what the server still does for a dead run is waited for as the lock is.
func TestLockWaitForDeadRun(t *testing.T) {
	t.Parallel()
	onLockServers(t, "mysql", func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.stale(t, "[2]")
		orphan, err := p.db.Begin() // the server has not noticed yet that its client is gone
		if err != nil {
			t.Fatal(err)
		}
		if _, err := orphan.Exec("UPDATE goose_db_version_lock SET transactions = 1 WHERE id = 'run:dead'"); err != nil {
			t.Fatal(err)
		}
		set = []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		for _, d := range []time.Duration{0, 300 * time.Millisecond} {
			b := p.boot(context.Background(), p.instance(t), append(set, gooseplus.WithLockWait(d), gooseplus.WithTimeout(10*time.Second))...)
			err := b.wait(t)
			t.Logf("WithLockWait(%v) took %v: %v", d, b.took, err)
			wantIs(t, err, gooseplus.ErrLocked)
			wantIsNot(t, err, gooseplus.ErrLockLost)
			wantText(t, err, "host/1/dead")
			if b.took < d || b.took > d+time.Second {
				t.Errorf("WithLockWait(%v) took %v", d, b.took)
			}
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
		p.wantFree(t)
	})
}

// TestLockWaitForAnAnswer: a look that gets no answer is a part of the wait.
func TestLockWaitForAnAnswer(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{"who has the lock": "SELECT holder"} {
		t.Run(what, func(t *testing.T) {
			onLockServers(t, "pgx", func(t *testing.T, p *place) { p.waitForAnAnswer(t, text) })
		})
	}
}

func (p *place) waitForAnAnswer(t *testing.T, text string) {
	p.counting(t)
	set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
	if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.stale(t, "[2]")
	p.holdMutex(t)
	other, err := p.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback()
	db, f := p.flaky(t)
	var once sync.Once
	silenced := false
	f.before = func(statement string) {
		if strings.HasPrefix(statement, text) && strings.HasSuffix(statement, " LIMIT 1") {
			once.Do(func() {
				silenced = true
				if _, err := other.Exec("LOCK TABLE goose_db_version_lock IN ACCESS EXCLUSIVE MODE"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	const d, limit = 300 * time.Millisecond, 20 * time.Second
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
	onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.stale(t, "[2]")
		release := p.holdMutex(t)
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
		p.wantFree(t)
	})
}

func TestLockNeedsConnections(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		db := p.instance(t)
		db.SetMaxOpenConns(1)
		started := time.Now()
		err := p.locking(db, from(chain(2))).Migrate(context.Background())
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("that took %v", took)
		}
		if p.dialect == "sqlite" {
			if err != nil {
				t.Error(err)
			}
			return
		}
		wantText(t, err, "SetMaxOpenConns(1)")
		if tables := column[string](t, p.db, p.target.tables); len(tables) > 0 {
			t.Errorf("tables %v", tables)
		}
		db.SetMaxOpenConns(2)
		if p.dialect == "mysql" {
			db.SetMaxOpenConns(3) // a step that isn't transactional takes one more
		}
		if err := p.locking(db, from(chain(2))).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestLockTwoConnections: a Go migration without a transaction takes two connections, and the lock a third.
func TestLockTwoConnections(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres mysql", func(t *testing.T, p *place) {
		db := p.instance(t)
		db.SetMaxOpenConns(2)
		m := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "CREATE TABLE t001 (id INTEGER)")
			return err
		}}, nil)
		started := time.Now()
		err := p.locking(db, from(fstest.MapFS{}), gooseplus.WithGoMigrations(m), gooseplus.WithMigrationTimeout(3*time.Second)).Migrate(context.Background())
		t.Logf("%v: %v", time.Since(started), err)
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("it took %v to say that there are too few connections", took)
		}
	})
}

func TestLockNothingPending(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		db, c := p.counted(t)
		m := p.locking(db, from(chain(3)))
		if err := m.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		t.Logf("the run of 3 took %d statements", len(c.take()))
		for range 2 {
			if err := m.Migrate(context.Background()); err != nil {
				t.Fatal(err)
			}
			if told := c.take(); len(told) != 1 {
				t.Errorf("%d statements: %q", len(told), told)
			}
		}
	})
}

// TestLockConcurrentIndex: CREATE INDEX CONCURRENTLY waits for every snapshot that is older than
// itself; neither the lock nor those who wait for it may have one.
func TestLockConcurrentIndex(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			onLockServers(t, "postgres pgx", func(t *testing.T, p *place) {
				var name string
				if err := p.db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
					t.Fatal(err)
				}
				p.exec(t, fmt.Sprintf(`ALTER DATABASE "%s" SET default_transaction_isolation = '%s'`, name, isolation))
				g := newGate()
				set := []gooseplus.Option{
					gooseplus.WithMigrationTimeout(10 * time.Second),
					gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: g.pass}, nil)),
					from(files(map[string]*fstest.MapFile{
						"001_t.sql": script("CREATE TABLE t001 (id INTEGER);\nINSERT INTO t001 SELECT generate_series(1, 100000);", "DROP TABLE t001;"),
						"003_i.sql": noTransaction("CREATE INDEX CONCURRENTLY i ON t001 (id);", "DROP INDEX CONCURRENTLY IF EXISTS i;"),
						"004_t.sql": table("t004"),
					}))}
				all := []*replica{p.boot(context.Background(), p.instance(t), set...)}
				await(t, "the gate", g.reached)
				for range 10 {
					all = append(all, p.boot(context.Background(), p.instance(t), set...))
				}
				for _, r := range all[1:] {
					await(t, "waiting", r.waiting)
				}
				close(g.open)
				started := time.Now()
				for _, r := range all {
					if err := r.wait(t); err != nil {
						t.Error(err)
					}
				}
				t.Logf("done %v after the gate", time.Since(started))
				if v := p.state(t).versions; !slices.Equal(v, upTo(4)) {
					t.Errorf("versions %v", v)
				}
			})
		})
	}
}

// stale inserts the row of a run that was cut off.
func (p *place) stale(t *testing.T, planned string) {
	t.Helper()
	p.exec(t, `INSERT INTO goose_db_version_lock (id, kind, holder, started_at, outcome, start_set, planned)
		VALUES ('run:dead', 'run', 'host/1/dead', '2020-01-01T00:00:00.000000Z', 'running', '[]', '`+planned+`')`)
}

func (p *place) outcomeOfStale(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(column[string](t, p.db, "SELECT outcome FROM goose_db_version_lock WHERE id = 'run:dead'"))
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
		p.stale(t, "[1,2,3]")
	}
	t.Run("the next fails", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			prepare(t, p)
			err := p.locking(p.instance(t), from(broken(3))).Migrate(context.Background())
			wantFailed(t, err, 3)
			p.want(t, nil, nil)
			if got := p.outcomeOfStale(t); got != "[crashed]" {
				t.Errorf("outcome %v", got)
			}
			p.wantFree(t)
		})
	})
	t.Run("the next succeeds", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			prepare(t, p)
			if err := p.locking(p.instance(t), from(chain(3))).Migrate(context.Background()); err != nil {
				t.Error(err)
			}
			// What it completed is nobody's to undo any more.
			err := p.locking(p.instance(t), from(broken(4))).Migrate(context.Background())
			wantFailed(t, err, 4)
			p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
			p.wantFree(t)
		})
	})
	t.Run("nothing is pending", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			prepare(t, p)
			if err := p.locking(p.instance(t), from(chain(2))).Migrate(context.Background()); err != nil {
				t.Error(err)
			}
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
			if got := p.outcomeOfStale(t); got != "[crashed]" {
				t.Errorf("outcome %v", got)
			}
			p.wantFree(t)
		})
	})
	// The one that finds it declares it dead and gets no further; the one after has nothing to do.
	t.Run("it was cut off, and nothing is pending", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			prepare(t, p)
			p.exec(t, "UPDATE goose_db_version_lock SET outcome = 'cut off' WHERE id = 'run:dead'")
			if err := p.locking(p.instance(t), from(chain(2))).Migrate(context.Background()); err != nil {
				t.Error(err)
			}
			// That all of it is there has been found since: it is nobody's to undo any more.
			err := p.locking(p.instance(t), from(broken(3))).Migrate(context.Background())
			wantFailed(t, err, 3)
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
			if got := p.outcomeOfStale(t); got != "[crashed]" {
				t.Errorf("outcome %v", got)
			}
			p.wantFree(t)
		})
	})
	// The one that finds it is refused before it begins, so the duty must pass to the one after.
	t.Run("the next is refused, the one after fails", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			prepare(t, p)
			// Under the lock it is refused: the third version is undone on a pool... by a late version.
			p.exec(t, "DELETE FROM goose_db_version WHERE version_id = 1")
			err := p.locking(p.instance(t), from(broken(3)), gooseplus.WithStrictOrder(true)).Migrate(context.Background())
			wantIs(t, err, gooseplus.ErrMergeMigrations)
			t.Logf("refused: %v; the dead run is %s", err, p.outcomeOfStale(t))
		})
	})
	// The one that finds it ends between taking the lock and its own first row.
	t.Run("the next ends before it begins, the one after fails", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
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

// TestLockOriginalReplicaFirst: a replica of the original holds its lock, on its own table, while this
// version boots for the first time.
func TestLockOriginalReplicaFirst(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
		p.counting(t)
		p.exec(t, "CREATE TABLE goose_db_version_lock (status INTEGER NOT NULL DEFAULT 0)", "INSERT INTO goose_db_version_lock (status) VALUES (0)")
		original, err := p.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := original.Exec("SELECT status FROM goose_db_version_lock FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		migrations := []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil))}
		wantIs(t, p.boot(context.Background(), p.instance(t), append(migrations, gooseplus.WithLockWait(0))...).wait(t), gooseplus.ErrLocked)
		b := p.boot(context.Background(), p.instance(t), migrations...)
		await(t, "the wait for the original", b.waiting)
		if err := original.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := b.wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1)
		p.wantFree(t)
	})
}

// TestLockUndoneMeanwhile: a process that found nothing pending, and waits because another one is at work,
// does what the other one has left to do.
func TestLockUndoneMeanwhile(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.stale(t, "[2]")
		release := p.holdMutex(t)
		b := p.boot(context.Background(), p.instance(t), set...)
		await(t, "waiting", b.waiting)
		p.exec(t, "DELETE FROM counted WHERE v = 2", "DELETE FROM goose_db_version WHERE version_id = 2",
			"UPDATE goose_db_version_lock SET outcome = 'rolled back' WHERE id = 'run:dead'")
		release()
		if err := b.wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1, 2)
		p.wantFree(t)
	})
}
