package drive

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"sync"

	"github.com/gooseplus/gooseplus/internal/session"
)

// Fence configures the session through which a run with the lock does all its work. Each transaction begins with the
// fence, an update of the run's own row, which stays locked until the transaction ends: nobody can declare the run dead
// meanwhile. No row lock shows what the server does outside a transaction, or in one that DDL has committed. If there may
// be such steps, the state table names the connections that the run uses for them. The statement of the fence also has
// the server probe each connection, because a machine that is gone doesn't close it.
func (d *Driver) Fence(cfg *session.Config, unfenced bool) {
	d.fenced = true
	cfg.OnBegin = append(cfg.OnBegin, session.Statement{
		Query: d.cfg.State.Runs.Fence(d.cfg.Run),
		Check: func(rows int64) error { return d.StillOurs(rows > 0) },
	})
	if unfenced {
		cfg.Backend = session.Backend{
			Query: d.cfg.State.Connections.Query(d.cfg.Run), Found: d.onBackend,
			Lost: func(row []driver.Value) { d.orphans.add(backendName(row)) },
		}
	}
}

// StillOurs is the error of a run that was declared dead.
func (d *Driver) StillOurs(ours bool) error {
	if ours {
		return nil
	}
	d.dead.Store(true)
	return d.cfg.Hooks.Dead()
}

// backends are the connections of a run that the state table names.
type backends struct {
	mu   sync.Mutex // a Go migration may borrow connections on any goroutine
	list []string
}

// onBackend is told what the server calls a connection before goose gets it. Names that are not needed any
// more are taken back: behind a pooler the connection outlives this process, and whoever comes after it
// would wait.
func (d *Driver) onBackend(ctx context.Context, row []driver.Value) error {
	d.backends.mu.Lock()
	defer d.backends.mu.Unlock()
	if d.step.Transactional {
		return d.dropBackends(ctx)
	}
	name := backendName(row)
	if slices.Contains(d.backends.list, name) {
		return nil
	}
	ours, err := d.cfg.State.Connections.Add(ctx, d.cfg.DB, d.cfg.Run, name)
	if err != nil {
		return d.cfg.Hooks.Unreadable(ctx, err)
	}
	d.backends.list = append(d.backends.list, name)
	return d.StillOurs(ours)
}

// dropBackends is called with the list locked.
func (d *Driver) dropBackends(ctx context.Context) error {
	if err := d.cfg.State.Connections.Drop(ctx, d.cfg.DB, d.cfg.Run, d.backends.list...); err != nil {
		return d.cfg.Hooks.Unreadable(ctx, err)
	}
	d.backends.list = nil
	return nil
}

// Backends are the connections that the state table names.
func (d *Driver) Backends() []string {
	if d == nil {
		return nil
	}
	d.backends.mu.Lock()
	defer d.backends.mu.Unlock()
	return slices.Clone(d.backends.list)
}

// ForgetBackends is called when the state table is a new one.
func (d *Driver) ForgetBackends() {
	if d == nil {
		return
	}
	d.backends.mu.Lock()
	defer d.backends.mu.Unlock()
	d.backends.list = nil
}

// LeaveBackends takes the names back except that of a connection that the server may still work on. The others are idle
// now, but live.
func (d *Driver) LeaveBackends(ctx context.Context) error {
	if d == nil {
		return nil
	}
	d.backends.mu.Lock()
	defer d.backends.mu.Unlock()
	d.backends.list = slices.DeleteFunc(d.backends.list, func(name string) bool { return name == d.orphans.first() })
	return d.dropBackends(ctx)
}

func backendName(row []driver.Value) string { return fmt.Sprint(row[0]) }
