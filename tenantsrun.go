package gooseplus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/fleet"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/redact"
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
		c.db, c.keeper, c.found = db, new(session.Keeper), newFoundPath()
		c.close = func() {
			c.keeper.Close()
			leave()
		}
	}
	return c, nil
}

// once leaves out a schema that the source names again, as a query with a join does, whatever the tenant is called: two runs of
// this call would be at it, and what undoes one migration would undo two.
func (c *tenantsCall) once(source iter.Seq2[Tenant, error]) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		seen := make(map[string]bool)
		for t, err := range source {
			if err == nil && t.shares() && t.Schema != "" {
				if seen[t.Schema] {
					c.m.events.share(t.name(), "").send(Warning{Message: fmt.Sprintf("the source names the schema %q more than once: it counts once", redact.Text(t.Schema))})
					continue
				}
				seen[t.Schema] = true
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// limits are the limits that the options and the pool set. Without a look every tenant gets a run.
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
	case errors.Is(err, ErrDirty):
		return TenantDirty
	case errors.Is(err, ErrRollBack):
		return TenantFailed
	case errors.Is(err, ErrRollForward): // whatever the migration has found missing, or locked
		return TenantFailedAndUndone
	case errors.Is(err, ErrTenantMissing), c.known.whole.dialect.NoDatabase(err):
		return TenantMissing
	case errors.Is(err, ErrLocked):
		return TenantLocked
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
		err = fmt.Errorf("the source of tenants panicked: %w", failure.Tidy{Err: &drive.PanicError{Value: panicked.Value, Stack: panicked.Stack}})
	case source != nil:
		err = fmt.Errorf("the source of tenants: %w", failure.Tidy{Err: source})
	}
	if ctx.Err() != nil && !all {
		err = failure.Join(err, failure.Stopped(ctx, nil))
	}
	return err
}

// MigrateTenants is [Migrator.Migrate] for every tenant of a source, each with its own lock if the lock
// is enabled, and its own way back. It looks at many schemas at once and makes a run only for those that
// have anything to do: first the canaries, one by one, then the others, several at a time. A tenant that
// another process has locked is taken up again at the end. A tenant that fails doesn't stop the others,
// unless an option says so; [WithWayBack] undoes what the call did to the others. Only the end of the context interrupts a
// tenant that is being migrated.
//
// The source is ranged over once, ahead of the work. The report is never nil, and has every tenant that the source gave. A
// schema that the source gives again counts once, also under another name, with a [Warning]. A source without tenants is a
// [Warning] too. The error is a [*TenantsError] if any tenant failed; the source's own error, or the error of a context that
// ended, is in it as well. A fault of the configuration or of the options is returned before the source is asked.
func (m *Migrator) MigrateTenants(ctx context.Context, source iter.Seq2[Tenant, error], opts ...TenantsOption) (*TenantsReport, error) {
	return m.eachTenant(ctx, source, nil, opts)
}

// EachTenant calls do with the Migrator of every tenant of a source, several at a time, like
// [Migrator.MigrateTenants], with the same options, report and error; there is no look ahead. do is called for every
// tenant, once, unless a stop rule or the end of the context comes first; if it returns [ErrLocked], it is called
// again at the end. The report says that the tenant is migrated if do returns nil. A panic of do is its
// tenant's failure. do must not keep the Migrator.
func (m *Migrator) EachTenant(ctx context.Context, source iter.Seq2[Tenant, error], do func(context.Context, *Migrator) error, opts ...TenantsOption) (*TenantsReport, error) {
	if do == nil {
		return new(TenantsReport), errors.New("EachTenant: the function is nil")
	}
	return m.eachTenant(ctx, source, do, opts)
}

// eachTenant is EachTenant, or MigrateTenants if do is nil.
func (m *Migrator) eachTenant(ctx context.Context, source iter.Seq2[Tenant, error], do func(context.Context, *Migrator) error, opts []TenantsOption) (report *TenantsReport, err error) {
	c, err := m.newTenantsCall(ctx, source, opts)
	if err == nil && c.options.wayBack && do != nil {
		c.close()
		err = errors.New("WithWayBack is for MigrateTenants only: EachTenant doesn't know what its function did")
	}
	if err != nil {
		return new(TenantsReport), m.refuse(ctx, err)
	}
	defer c.close()
	ctx, end := c.m.events.begin(ctx, TenantsStarted{})
	defer func() {
		c.m.events.send(TenantsFinished{Report: report, Err: err})
		end()
	}()
	limits := c.limits()
	if do == nil {
		limits.Lookers = c.lookers()
	}
	f := fleet.New(limits, fleet.Work[Tenant, TenantResult]{
		Skipped: func(t Tenant) TenantResult { return skipped(t.name(), nil) },
		Shares:  Tenant.shares,
		Look:    c.upToDate,
		Do: func(ctx context.Context, t Tenant, last bool) (TenantResult, fleet.Outcome) {
			return c.work(ctx, t, do, last)
		},
		Progress: func(p fleet.Progress) { c.progress(p, c.started) },
	})
	sourceErr := f.Run(ctx, c.once(source))
	r := new(TenantsReport)
	for result := range f.Results() {
		r.Tenants = append(r.Tenants, result)
	}
	if c.options.wayBack && f.GaveUp() {
		c.wayBack(ctx, r.Tenants)
	}
	for i := range r.Tenants {
		r.Tenants[i].undo = nil
	}
	r.Duration = time.Since(c.started)
	r.count()
	if r.Total == 0 && sourceErr == nil && ctx.Err() == nil {
		c.m.events.send(Warning{Message: "the source gave no tenant: nothing was done"})
	}
	return r, failure.Join(r.err(), c.ended(ctx, sourceErr, r.Skipped == 0 && f.Complete()))
}

func skipped(name string, err error) TenantResult {
	return TenantResult{Name: name, State: TenantSkipped, From: -1, To: -1, Err: err}
}

// work brings one tenant to its end. It waits for the lock of another process only the last time.
func (c *tenantsCall) work(ctx context.Context, t Tenant, do func(context.Context, *Migrator) error, last bool) (TenantResult, fleet.Outcome) {
	tm, done := c.tenant(t)
	defer done()
	if !last {
		tm.options.lockWait = 0
	}
	result, end := c.attempt(ctx, tm, do)
	if do == nil && result.State == TenantMigrated && end != nil {
		result.Applied = end.trail.applied()
		if c.options.wayBack && len(result.Applied) > 0 {
			result.undo = &undoing{t, end.trail, c.turns.Add(1)}
		}
	}
	switch {
	case result.State == TenantLocked && !last:
		return skipped(result.Name, result.Err), fleet.Locked
	case result.State.failed():
		return result, fleet.Failed
	}
	return result, fleet.Done
}

// attempt returns the outcome of the last run too, nil if there was none.
func (c *tenantsCall) attempt(ctx context.Context, tm *Migrator, do func(context.Context, *Migrator) error) (result TenantResult, end *outcome) {
	started := time.Now()
	limited, cancel := failure.Limit(ctx, c.options.timeout, "tenant timeout")
	defer cancel()
	tm.ended = func(o outcome) { end = &o }
	tm.options.batches = do == nil
	var err error
	if do == nil {
		err = tm.Migrate(limited)
	} else {
		err = tm.guarded(limited, do)
	}
	result = TenantResult{Name: tm.options.tenant, Err: err, Duration: time.Since(started)}
	if end != nil {
		result.From, result.To = end.from, end.to
	} else if err != nil {
		result.From, result.To = -1, -1 // nobody has looked
	}
	switch touched := end != nil && end.touched; {
	case err != nil:
		result.State = c.failed(err)
		if result.State == TenantFailed && do == nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) && !touched {
			result.State = TenantSkipped
		}
	case do == nil && end != nil && end.applied+end.undone == 0:
		result.State = TenantUpToDate
	default:
		result.State = TenantMigrated
	}
	return result, end
}

// guarded calls do, whose panic is an error. The error of do can have the DSN in it.
func (m *Migrator) guarded(ctx context.Context, do func(context.Context, *Migrator) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = m.named(failure.Tidy{Err: &drive.PanicError{Value: v, Stack: debug.Stack()}})
		}
	}()
	return failure.Tidied(do(ctx, m))
}

// undoing is what the way back of a call needs of a tenant that the call has migrated.
type undoing struct {
	tenant Tenant
	trail  trail
	turn   int64 // the higher, the later the tenant was migrated
}

// wayBack undoes what the call did to the tenants that it migrated, the last one first, and changes their results. It outlives
// the caller's context, and nothing stops it.
func (c *tenantsCall) wayBack(ctx context.Context, results []TenantResult) {
	var order []int // in results
	for i, result := range results {
		if result.undo != nil {
			order = append(order, i)
		}
	}
	if len(order) == 0 {
		return
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(results[b].undo.turn, results[a].undo.turn) })
	c.m.events.send(TenantsWayBackStarted{Tenants: len(order)})
	limits := c.limits()
	limits.Canaries, limits.MaxFailures, limits.MaxFailureRate = 0, 0, 0
	began := time.Now()
	f := fleet.New(limits, fleet.Work[int, TenantResult]{
		Skipped: func(i int) TenantResult { return results[i] },
		Shares:  func(i int) bool { return results[i].undo.tenant.shares() },
		Do: func(ctx context.Context, i int, last bool) (TenantResult, fleet.Outcome) {
			return c.undo(ctx, results[i], last)
		},
		Progress: func(p fleet.Progress) { c.progress(p, began) },
	})
	_ = f.Run(context.WithoutCancel(ctx), func(yield func(int, error) bool) { // which has no error
		for _, i := range order {
			if !yield(i, nil) {
				return
			}
		}
	})
	n := 0
	for result := range f.Results() {
		results[order[n]] = result
		n++
	}
}

// undo undoes what the call did to one tenant. Like the work on a tenant, it waits for the lock only the last time.
func (c *tenantsCall) undo(ctx context.Context, result TenantResult, last bool) (TenantResult, fleet.Outcome) {
	started := time.Now()
	tm, done := c.tenant(result.undo.tenant)
	defer done()
	if !last {
		tm.options.lockWait = 0
	}
	tm.options.timeout, tm.options.timeoutSet = 0, true // the way back has a limit of its own
	limited, cancel := failure.Limit(ctx, c.m.options.rollbackTimeout, "rollback timeout")
	defer cancel()
	var end *outcome
	tm.ended = func(o outcome) { end = &o }
	err := tm.undo(limited, result.undo.trail)
	if !last && errors.Is(err, ErrLocked) {
		return result, fleet.Locked
	}
	result.Err = err
	result.Duration += time.Since(started)
	if end != nil && end.to >= 0 {
		result.To = end.to
	}
	switch {
	case err == nil:
		result.State, result.Applied = TenantUndone, nil
		return result, fleet.Done
	case errors.Is(err, ErrDirty):
		result.State = TenantDirty
	default:
		result.State = TenantNotUndone
	}
	return result, fleet.Failed
}

// outcome is how a run ended, for whoever has started many.
type outcome struct {
	from, to        int64 // the highest version applied before and after; -1 when it can't be read
	applied, undone int   // how many migrations stay applied, and undone
	touched         bool  // the run got as far as its first step, or had to clear one away
	trail           trail // of a run without an error that applied something
}
