package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/fleet"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/session"
)

// tenantsCall is one call of MigrateTenants, EachTenant or TenantsStatus.
type tenantsCall struct {
	m       *Migrator // as it was given, with the options of the call
	known   *targets
	options tenantsOptions
	started time.Time
	db      site            // the database of m, if it has one
	keeper  *session.Keeper // of the connections of the tenants there
	found   *foundPath
	turns   atomic.Int64 // counts the tenants that were migrated
	close   func()

	mu       sync.Mutex
	editedAt map[string][]int64 // guarded by mu; by the applied versions and their sums
}

func (m *Migrator) newTenantsCall(ctx context.Context, source iter.Seq2[Tenant, error], opts []TenantsOption) (*tenantsCall, error) {
	options, err := newTenantsOptions(opts)
	if err != nil {
		return nil, err
	}
	known, err := m.resolve()
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, errors.New("the source of tenants is nil")
	}
	shared := *m
	shared.events, shared.options.createSchema = m.newStream(ctx), options.createSchema
	if options.timeout > 0 {
		shared.options.timeout, shared.options.timeoutSet = 0, true // WithTenantTimeout counts instead
	}
	c := &tenantsCall{m: &shared, known: known, options: options, started: time.Now(), close: func() {}, editedAt: make(map[string][]int64)}
	if m.db != nil {
		db, leave := known.whole.reach(m.db)
		c.db, c.keeper, c.found = db, new(session.Keeper), new(foundPath)
		c.close = func() {
			c.keeper.Close()
			leave()
		}
	}
	return c, nil
}

// limits are those of the options and of the pool. Without a look every tenant is worked on.
func (c *tenantsCall) limits() fleet.Limits {
	o := c.options
	return fleet.Limits{
		Workers: o.concurrency, Sharers: c.sharers(), Batch: history.SweepBatch, Canaries: o.canary,
		MaxFailures: o.maxFailures, MaxFailureRate: o.maxFailureRate,
	}
}

// sharers is how many tenants the pool of m has connections for, with one to spare for the look.
func (c *tenantsCall) sharers() int {
	if c.m.db == nil {
		return c.options.concurrency
	}
	limit := c.m.db.Stats().MaxOpenConnections
	if limit == 0 {
		return c.options.concurrency
	}
	return max(1, min(c.options.concurrency, (limit-1)/c.m.options.mostConnections()))
}

// mostConnections is how many connections a run can need at once, see steps.connections.
func (o *options) mostConnections() int {
	need := 2 // for the migrations, kept from step to step, and for the run's own statements
	if o.globalLock {
		need++
	}
	return need
}

// tenant is the Migrator of one tenant, whose database stays open until the tenant is done.
func (c *tenantsCall) tenant(t Tenant) (tm *Migrator, done func()) {
	tm = c.m.tenant(t)
	if t.shares() {
		tm.keeper, tm.found = c.keeper, c.found
	}
	return tm, tm.own.keep()
}

// failed is the state of a tenant with an error.
func (c *tenantsCall) failed(err error) TenantState {
	switch {
	case errors.Is(err, ErrTenantMissing), c.known.whole.dialect.NoDatabase(err):
		return TenantMissing
	case errors.Is(err, ErrLocked):
		return TenantLocked
	case errors.Is(err, ErrDirty):
		return TenantDirty
	case errors.Is(err, ErrRollForward) && !errors.Is(err, ErrRollBack):
		return TenantFailedAndUndone
	}
	return TenantFailed
}

func (c *tenantsCall) progress(p fleet.Progress, began time.Time) {
	c.m.events.send(TenantsProgress{
		Done: p.Done, Total: p.Total, Counted: p.Counted, Failed: p.Failed,
		Rate: float64(p.Done) / max(time.Since(began).Seconds(), 1e-9),
	})
}

// ended is the error of a source, and of a context that ended before all tenants had.
func (c *tenantsCall) ended(ctx context.Context, source error, all bool) (err error) {
	var panicked *fleet.PanicError
	switch {
	case errors.As(source, &panicked):
		err = fmt.Errorf("the source of tenants panicked: %w", &drive.PanicError{Value: panicked.Value, Stack: panicked.Stack})
	case source != nil:
		err = fmt.Errorf("the source of tenants: %w", source)
	}
	if ctx.Err() != nil && !all {
		err = failure.Join(err, failure.Stopped(ctx, nil))
	}
	return err
}
