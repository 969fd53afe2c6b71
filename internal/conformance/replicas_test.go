package conformance

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
)

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
	began   time.Time     // when it had the lock and a starting point, if it got so far; read it after done
	done    chan struct{}
	err     error
	took    time.Duration
}

func (p *place) boot(ctx context.Context, db *sql.DB, opts ...gooseplus.Option) *replica {
	r := &replica{waiting: make(chan struct{}), done: make(chan struct{})}
	var once sync.Once
	opts = append(opts, gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		switch e := e.(type) {
		case gooseplus.LockWaiting:
			once.Do(func() { r.holder = e.Holder; close(r.waiting) })
		case gooseplus.RunStarted:
			r.began = time.Now()
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
