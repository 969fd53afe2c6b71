package drive

import (
	"context"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
)

const (
	// lookFirst, lookSoon, lookLeast and lookLast bound the pause between two looks for blockers. The pauses grow, so that a long step
	// costs the server one question a second.
	lookFirst = time.Second / 2
	lookSoon  = 100 * time.Millisecond // the first, where there is a lock timeout, which may be short
	lookLeast = 20 * time.Millisecond
	lookLast  = time.Second
	// lookLimit is how long a look may take.
	lookLimit = time.Second
)

// lookout knows for whom a step waits. A lock timeout ends the wait, so it looks while the step is executed, on another
// connection.
type lookout struct {
	pause time.Duration // the longest
	mu    sync.Mutex
	last  []history.Blocker // guarded by mu
	at    time.Time         // guarded by mu: the time of the look that found them
}

// watch looks for blockers until ctx ends or stop is called. A look that is under way is waited for: a query that is cut off
// would cost the pool a connection. Without a connection to spare it doesn't look: the pool may be
// the application's, and a look must not wait for the run's own connections.
func (d *Driver) watch(ctx context.Context) (l *lookout, stop func()) {
	l = &lookout{pause: lookLast}
	pause := lookFirst
	if d.cfg.LockWait > 0 {
		pause = lookSoon
		l.pause = min(lookLast, max(lookLeast, d.cfg.LockWait/3)) // so that no wait that times out is missed
	}
	if d.cfg.State == nil || d.session == nil || !d.cfg.Dialect.Networked() {
		return l, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		pause = min(l.pause, pause)
		timer := time.NewTimer(pause)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			l.look(ctx, d)
			pause = min(2*pause, l.pause)
			timer.Reset(pause)
		}
	})
	return l, func() { cancel(); looking.Wait() }
}

func (l *lookout) look(ctx context.Context, d *Driver) {
	var waiting []history.Waiting
	for _, name := range d.session.Names() {
		waiting = append(waiting, history.Waiting(name))
	}
	if s := d.cfg.Pool.Stats(); s.MaxOpenConnections > 0 && s.InUse >= s.MaxOpenConnections {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookLimit)
	defer cancel()
	found, err := d.cfg.State.Connections.Blockers(ctx, d.cfg.DB, waiting)
	if err != nil || len(found) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.at = found, time.Now()
}

// found are the blockers that were in the way just now.
func (l *lookout) found() []history.Blocker {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.at) > 2*l.pause+lookLimit {
		return nil
	}
	return l.last
}
