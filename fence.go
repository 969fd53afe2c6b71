package gooseplus

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/session"
)

// fence configures the session through which a run with the lock does all its work. Each transaction begins
// with the run's own row, which stays locked until it ends: nobody can declare the run dead
// meanwhile. What the server does outside a transaction, or in one that DDL has committed, no row
// lock can show; so the run's row says which connection it is on.
func (r *run) fence() session.Config {
	cfg := session.Config{OnBegin: []session.Statement{{
		Query: r.known.state.Fence(r.id),
		Check: func(rows int64) error { return r.stillOurs(rows > 0) },
	}}}
	if !r.oneWriter() && r.leavesFence() {
		cfg.Backend = session.Backend{
			Query: r.known.state.BackendQuery(), Found: r.onBackend,
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

// onBackend is told what the server calls a connection before goose gets it. A name that is not needed any
// more is taken back: behind a pooler the connection outlives this process, and whoever comes after it
// would wait.
func (r *run) onBackend(ctx context.Context, row []driver.Value) error {
	backend := ""
	switch {
	case len(row) != 1 || r.current.Transactional && !r.named.Load():
		return nil
	case !r.current.Transactional:
		backend = backendName(row)
	}
	r.named.Store(backend != "")
	ours, err := r.known.state.SetBackend(ctx, r.db, r.id, backend)
	if err != nil {
		return err
	}
	return r.stillOurs(ours)
}

func backendName(row []driver.Value) string { return fmt.Sprintf("%s", row[0]) }

func (r *run) stillOurs(ours bool) error {
	if ours {
		return nil
	}
	return fmt.Errorf("%w: another runner has declared this one dead", ErrLockLost)
}
