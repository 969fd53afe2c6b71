package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// isMark says whether a statement remembers in the state table the step that a run is about to start.
func isMark(statement string) bool {
	return strings.Contains(statement, "INSERT INTO") && strings.Contains(statement, "_lock") &&
		strings.Contains(statement, "version_id, source, direction, failed, ")
}

// isClaim says whether a statement begins the claim of a run without the lock, which is a mark, or on PostgreSQL a
// transaction that has one.
func isClaim(statement string) bool {
	return strings.Contains(statement, "claim'") || isMark(statement)
}

// pauseAt has a run wait, once, before it tells the database such a statement.
func pauseAt(f *flaky, is func(string) bool) barrier {
	b, paused := newBarrier(), false
	f.before = func(statement string) {
		if !paused && is(statement) {
			paused = true
			b.wait()
		}
	}
	return b
}

func whose(text string) func(string) bool {
	return func(statement string) bool { return strings.Contains(statement, text) }
}

// warnings counts those of a run that have a text.
func warnings(text string, n *int) gooseplus.Option {
	return gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if w, is := e.(gooseplus.Warning); is && strings.Contains(w.Message, text) {
			*n++
		}
	})
}

// TestTwoAtOneStep: of two runs without the lock that have both looked before either was at a step that no
// transaction covers, the one that comes to it later is refused, and touches nothing of what the other one does.
func TestTwoAtOneStep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		fsys := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE IF EXISTS a;")})
		late, lateDriver := p.flaky(t)
		first, firstDriver := p.flaky(t)
		looked, inStep := pauseAt(lateDriver, isClaim), pauseAt(firstDriver, whose("CREATE TABLE a"))
		told := 0
		refused, done := make(chan error, 1), make(chan error, 1)
		go func() {
			refused <- p.over(late, from(fsys), warnings("another process is migrating this database", &told)).Migrate(ctx)
		}()
		<-looked.reached
		go func() { done <- p.over(first, from(fsys)).Migrate(ctx) }()
		<-inStep.reached
		close(looked.released)
		err := <-refused
		wantIs(t, err, gooseplus.ErrDirty)
		wantIsNot(t, err, gooseplus.ErrRollForward)
		wantIsNot(t, err, gooseplus.ErrRollBack)
		wantText(t, err, "1_a.sql")
		wantText(t, err, "another process is at it")
		close(inStep.released)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if told != 1 {
			t.Errorf("%d warnings that another run is at work", told)
		}
		p.want(t, []int64{1}, []string{"a"})
		if err := p.over(late, from(fsys)).Migrate(ctx); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if left := (record{p}).marks(t); left != "" {
			t.Errorf("marked: %s", left)
		}
	})
}

// TestRecordedBeforeTheClaim: a step that another run has finished between the look and the claim is not executed again.
func TestRecordedBeforeTheClaim(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE counted (v INTEGER)")
		fsys := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("INSERT INTO counted VALUES (1);", "DELETE FROM counted;")})
		late, driver := p.flaky(t)
		looked := pauseAt(driver, isClaim)
		done := make(chan error, 1)
		go func() { done <- p.over(late, from(fsys)).Migrate(ctx) }()
		<-looked.reached
		if err := p.migrator(from(fsys)).Migrate(ctx); err != nil {
			t.Error(err)
		}
		close(looked.released)
		err := <-done
		wantText(t, err, "another process")
		wantIsNot(t, err, gooseplus.ErrDirty)
		if got := column[int](t, p.db, "SELECT v FROM counted"); len(got) != 1 {
			t.Errorf("counted %v", got)
		}
		if left := (record{p}).marks(t); left != "" {
			t.Errorf("marked: %s", left)
		}
	})
}

// TestWayBackBelowAnotherRun: what a run has applied is not taken back while another one, without the lock too, is at a
// step that was planned on top of it.
func TestWayBackBelowAnotherRun(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		if !p.transactionalDDL {
			return // a run has marked its first step then, and the other one is refused
		}
		below, belowDriver := p.flaky(t)
		above, aboveDriver := p.flaky(t)
		failing, inStep := pauseAt(belowDriver, whose("nowhere")), pauseAt(aboveDriver, whose("CREATE TABLE c"))
		fails, done := make(chan error, 1), make(chan error, 1)
		set := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": script("INSERT INTO nowhere VALUES (1);", "DROP TABLE never;")}
		go func() { fails <- p.over(below, from(files(set))).Migrate(ctx) }()
		<-failing.reached
		more := map[string]*fstest.MapFile{"1_a.sql": table("a"), "3_c.sql": noTransaction("CREATE TABLE c (id INTEGER);", "DROP TABLE c;")}
		if p.dialect == "sqlite" {
			// The first one is in its transaction, beside which nobody writes.
			close(failing.released)
			wantFailed(t, <-fails, 2)
			close(inStep.released)
			return
		}
		go func() { done <- p.over(above, from(files(more))).Migrate(ctx) }()
		<-inStep.reached
		close(failing.released)
		stuck := wantStuck(t, <-fails, 0, 1)
		wantText(t, stuck.Err, "another process")
		wantText(t, stuck.Err, "3 (sql/base/3_c.sql)")
		close(inStep.released)
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.want(t, []int64{1, 3}, []string{"a", "c"})
	})
}

// TestMarkWhoseAnswerIsLost: a run that ends while it writes down what it is about to do has done nothing, and the next
// run is not refused.
func TestMarkWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	fsys := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE IF EXISTS a;"),
		"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE IF EXISTS b;")})
	isStamp := func(s string) bool {
		return strings.Contains(s, "INSERT INTO") && strings.Contains(s, "_lock") && strings.Contains(s, "version_id, source)")
	}
	for name, is := range map[string]func(string) bool{"of the first step": isMark, "of the environment": isStamp} {
		t.Run(name, func(t *testing.T) {
			onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				db, f := p.flaky(t)
				f.answer = errInjected
				lost := false
				f.lose = func(statement string) bool {
					if lost || !is(statement) {
						return false
					}
					lost = true
					cancel()
					return true
				}
				err := p.over(db, from(fsys), lock, gooseplus.WithEnvironments("production")).Migrate(ctx)
				f.wantLost(t, 1)
				if err == nil {
					t.Error("no error")
				}
				wantIsNot(t, err, gooseplus.ErrRollBack)
				wantIsNot(t, err, gooseplus.ErrDirty)
				if left := (record{p}).marks(t); left != "" {
					t.Errorf("marked: %s", left)
				}
				if err := p.migrator(from(fsys), lock, gooseplus.WithEnvironments("test")).Migrate(context.Background()); err != nil {
					t.Errorf("the next run: %v", err)
				}
				p.want(t, []int64{1, 2}, []string{"a", "b"})
			})
		})
	}
}

// TestMarkThatStays: what a run that is back at its start can't take out of the state table is tried again, and told.
func TestMarkThatStays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fsys := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS a;")})
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		db, f := p.flaky(t)
		broken := errors.New("broken")
		always, armed, n := false, false, 0
		f.refuse = func(statement string) error {
			armed = armed || strings.Contains(statement, "DROP TABLE IF EXISTS a")
			if armed && strings.Contains(statement, "DELETE FROM") && !strings.Contains(statement, "INSERT") && strings.Contains(statement, "_lock") && !strings.Contains(statement, "of:applied") && (always || n == 0) {
				n++
				return broken
			}
			return nil
		}
		m := p.over(db, from(fsys), lock)
		wantFailed(t, m.Migrate(ctx), 1)
		if left := (record{p}).marks(t); left != "" || n != 1 {
			t.Errorf("marked after %d refusals: %s", n, left)
		}
		always, armed = true, false
		err := m.Migrate(ctx)
		wantIs(t, err, gooseplus.ErrRollForward)
		wantIs(t, err, broken)
		wantText(t, err, "Force")
		wantIs(t, p.migrator(from(fsys), lock).Migrate(ctx), gooseplus.ErrDirty)
	})
}
