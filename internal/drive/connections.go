package drive

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Connections are the connections on which a run works outside a transaction: those that the state table names, so that
// other runners wait for them, and those that the run has lost. A nil Connections has none.
type Connections struct {
	cfg     *Config
	orphans orphans
	dead    atomic.Bool // another runner has declared the run dead

	mu            sync.Mutex // a Go migration may borrow connections on any goroutine
	named         []string   // guarded by mu: what the state table calls them
	transactional bool       // guarded by mu: the step that is taken needs none of them
}

// StillOurs is the error of a run that was declared dead.
func (c *Connections) StillOurs(ours bool) error {
	if ours {
		return nil
	}
	c.dead.Store(true)
	return c.cfg.Hooks.Dead()
}

// take is called before a step.
func (c *Connections) take(step Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transactional = step.Transactional
}

// found is told what the server calls a connection before goose gets it. Names that are not needed any more are taken
// back: behind a pooler the connection outlives this process, and the next client of that connection would be waited for.
func (c *Connections) found(ctx context.Context, row []driver.Value) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transactional {
		return c.drop(ctx)
	}
	name := backendName(row)
	if slices.Contains(c.named, name) {
		return nil
	}
	ours, err := c.cfg.State.Connections.Add(ctx, c.cfg.DB, c.cfg.Run, name)
	if err != nil {
		return c.cfg.Hooks.Unreadable(ctx, err)
	}
	c.named = append(c.named, name)
	return c.StillOurs(ours)
}

// drop is called with mu locked.
func (c *Connections) drop(ctx context.Context) error {
	if err := c.cfg.State.Connections.Drop(ctx, c.cfg.DB, c.cfg.Run, c.named...); err != nil {
		return c.cfg.Hooks.Unreadable(ctx, err)
	}
	c.named = nil
	return nil
}

// Named are the names of the connections in the state table.
func (c *Connections) Named() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.named)
}

// Forget is called when the state table is a new one.
func (c *Connections) Forget() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named = nil
}

// Leave takes the names back except those of connections on which the server may still work. The other connections are
// idle now, but live.
func (c *Connections) Leave(ctx context.Context) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named = slices.DeleteFunc(c.named, c.orphans.has)
	return c.drop(ctx)
}

func backendName(row []driver.Value) string { return fmt.Sprint(row[0]) }
