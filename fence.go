package gooseplus

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/session"
)

// fence configures the session through which a run with the lock does all its work. Each transaction begins
// with the run's own fence, a row which stays locked until it ends: nobody can declare the run dead
// meanwhile. What the server does outside a transaction, or in one that DDL has committed, no row
// lock can show; so the state table says which connections the run uses for it. The same statements have the server look
// after each connection: a machine that is gone sends no end of it.
func (r *run) fence() session.Config {
	fence := r.part.state.Runs.Fence(r.id)
	if r.part.dialect.Goose == goose.DialectPostgres {
		fence = mutex.KeepTransaction() + "; " + fence
	}
	cfg := session.Config{OnBegin: []session.Statement{{
		Query: fence,
		Check: func(rows int64) error { return r.stillOurs(rows > 0) },
	}}}
	if !r.oneWriter() && r.leavesFence() {
		cfg.Backend = session.Backend{
			Query: r.part.state.Connections.Query(r.id), Found: r.onBackend,
			Lost: func(row []driver.Value) { r.orphans.add(backendName(row)) },
		}
	}
	return cfg
}

// leavesFence says whether the run may execute anything that no row lock covers: a step, its Down, or what it
// has to undo of runs that were cut off.
func (r *run) leavesFence() bool {
	return len(r.unfinished) > 0 || slices.ContainsFunc(r.steps, unfenced) ||
		slices.ContainsFunc(slices.Concat(r.mine, r.undone), func(v int64) bool { return unfenced(r.step(v)) })
}

// unfenced says whether a step, or its Down, has parts that no row lock covers.
func unfenced(s plannedStep) bool { return !s.Transactional || !s.downTransactional }

// backends are the connections of a run that the state table names.
type backends struct {
	mu   sync.Mutex // a Go migration may borrow connections on any goroutine
	list []string
}

// onBackend is told what the server calls a connection before goose gets it. Names that are not needed any
// more are taken back: behind a pooler the connection outlives this process, and whoever comes after it
// would wait.
func (r *run) onBackend(ctx context.Context, row []driver.Value) error {
	r.backends.mu.Lock()
	defer r.backends.mu.Unlock()
	if r.current.Transactional {
		return r.dropBackends(ctx)
	}
	name := backendName(row)
	if slices.Contains(r.backends.list, name) {
		return nil
	}
	ours, err := r.part.state.Connections.Add(ctx, r.db, r.id, name)
	if err != nil {
		return r.part.stateError(ctx, err)
	}
	r.backends.list = append(r.backends.list, name)
	return r.stillOurs(ours)
}

// dropBackends is called with the list locked.
func (r *run) dropBackends(ctx context.Context) error {
	if err := r.part.state.Connections.Drop(ctx, r.db, r.id, r.backends.list...); err != nil {
		return r.part.stateError(ctx, err)
	}
	r.backends.list = nil
	return nil
}

func backendName(row []driver.Value) string { return fmt.Sprint(row[0]) }

// stillOurs is the error of a run that was declared dead. Whoever did that has the lock: so nothing is undone either.
func (r *run) stillOurs(ours bool) error {
	if ours {
		return nil
	}
	err := fmt.Errorf("%w: another runner has declared this one dead", ErrLockLost)
	if r.lock != nil {
		r.lock.end(err)
	}
	return err
}
