package drive

import (
	"context"
	"database/sql/driver"
	"errors"
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
	dead    atomic.Bool // the state table doesn't know the run any more

	mu            sync.Mutex // a Go migration may borrow connections on any goroutine
	named         []string   // guarded by mu: what the state table calls them
	transactional bool       // guarded by mu: the step that is taken needs none of them
}

// ErrDead is the error of a run that was declared dead, unless a migration has removed what the state table knew of it.
var ErrDead = errors.New("the state table doesn't know this run any more")

func (c *Connections) stillOurs(ours bool) error {
	if ours {
		return nil
	}
	c.dead.Store(true)
	return ErrDead
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
	return c.stillOurs(ours)
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

// NameAgain is called when a migration has removed names from the state table.
func (c *Connections) NameAgain(ctx context.Context) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.named {
		if _, err := c.cfg.State.Connections.Add(ctx, c.cfg.DB, c.cfg.Run, name); err != nil {
			return err
		}
	}
	return nil
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
