package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// books record which connections a session has, and the step that it is at.
type books struct {
	mu      sync.Mutex
	inUse   map[*conn]*link // guarded by mu: what the session's pool has and has not given back
	free    []*link         // guarded by mu: what the step has used and doesn't use now
	kept    *link           // guarded by mu: what the step before has used, nil if there is none
	step    stepState       // guarded by mu
	closed  bool            // guarded by mu: nothing is added to inUse any more
	drained chan struct{}   // closed when closed is true and inUse is empty, under mu
}

// enter records which of the parent's connections one of the session's has, if any. It is false after the end.
func (b *books) enter(c *conn, l *link) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.inUse[c] = l
	return true
}

// giveBack removes a connection of the session's from inUse.
func (b *books) giveBack(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.inUse[c]; !ok {
		return
	}
	delete(b.inUse, c)
	if b.closed && len(b.inUse) == 0 {
		close(b.drained)
	}
}

// close lets nobody in any more. It is true the first time.
func (b *books) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.closed
	b.closed = true
	if first && len(b.inUse) == 0 {
		close(b.drained)
	}
	return first
}

// forcedFor is how long is waited for connections that have to be closed, or whose transactions have to be rolled back.
const forcedFor = time.Second

// soon waits for what has to end by force.
func soon(ending *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { ending.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(forcedFor):
	}
}

// drain waits until no connection is in use, and closes those that are when ctx is done.
func (b *books) drain(ctx context.Context) error {
	select {
	case <-b.drained:
		return nil
	case <-ctx.Done():
	}
	var forgotten []*link
	b.mu.Lock()
	for _, l := range b.inUse {
		if l != nil {
			forgotten = append(forgotten, l)
		}
	}
	b.mu.Unlock()
	if len(forgotten) == 0 {
		return nil
	}
	var closing sync.WaitGroup
	for _, l := range forgotten {
		closing.Go(l.discard) // waits for the statement that is running
	}
	soon(&closing)
	return fmt.Errorf("session: %d connections were still in use when it was closed: %w", len(forgotten), context.Cause(ctx))
}

// at returns a copy of the step's state, whose map txs must not be used without mu.
func (b *books) at() stepState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.step
}

// note changes the step's state.
func (b *books) note(change func(*stepState)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.step)
}

// ended records that the step has ended the transaction that it was in.
func (b *books) ended() { b.note(func(s *stepState) { s.ended = true }) }

func (b *books) opened(t *tx) {
	b.note(func(s *stepState) {
		if s.active {
			s.txs[t] = struct{}{}
		}
	})
}

func (b *books) closedTx(t *tx) { b.note(func(s *stepState) { delete(s.txs, t) }) }

// done records that the step's own statements are executed.
func (b *books) done() { b.note(func(s *stepState) { s.done = true }) }

// open returns a transaction of the step that is open, nil if there is none.
func (b *books) open() (open *tx) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for t := range b.step.txs {
		open = t
	}
	return open
}

// forgotten are the transactions of the step that are open.
func (b *books) forgotten() []*tx {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.step.txs))
}

// take returns a connection that the step has used before, or the one that was kept from the step before.
func (b *books) take() (l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		l, b.free = b.free[n-1], b.free[:n-1]
		return l
	}
	l, b.kept = b.kept, nil
	return l
}

// takeKept returns the connection that was kept from the step before.
func (b *books) takeKept() (l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, b.kept = b.kept, nil
	return l
}

// takeUsed returns the connections that the step has used and, if inUse is true, those that goose still has but doesn't
// use now.
func (b *books) takeUsed(inUse bool) []*link {
	b.mu.Lock()
	defer b.mu.Unlock()
	used := b.free
	b.free = nil
	for c, l := range b.inUse {
		if l != nil && inUse {
			used = append(used, l)
			c.link, b.inUse[c] = nil, nil
		}
	}
	return used
}

// endStep returns the connections that the step has used.
func (b *books) endStep() []*link {
	b.note(func(s *stepState) { s.active, s.number = false, s.number+1 }) // connections still in use are stale
	return b.takeUsed(false)
}

// stay leaves a connection with the step that has used it, unless that has ended.
func (b *books) stay(l *link) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	stays := !b.closed && b.step.active && l.step == b.step.number && !l.spent
	if stays {
		b.free = append(b.free, l)
	}
	return stays
}

// keep keeps a connection for the next step, if no other one is kept.
func (b *books) keep(l *link) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	keep := !b.closed && b.kept == nil && l.valid()
	if keep {
		l.stale = l.stale || l.erred || b.step.meddles()
		b.kept = l
	}
	return keep
}
