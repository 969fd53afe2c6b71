package gooseplus

import (
	"context"
	"errors"
	"iter"
	"runtime/debug"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/fleet"
)

// MigrateTenants is [Migrator.Migrate] for every tenant of a source, each with its own lock if the lock
// is enabled, and its own way back. It looks at many schemas at once and makes a run only for those that
// have anything to do: first the canaries, one by one, then the others, several at a time. A tenant that
// another process has locked is taken up again at the end. A tenant that fails doesn't stop the others,
// unless an option says so; [WithWayBack] undoes what the call did to the others. Only the end of the context interrupts a tenant that is being migrated.
//
// The source is ranged over once, ahead of the work. The report is never nil, and has every tenant that
// the source gave; if there are none, the observers get a [Warning]. The error is a [*TenantsError] if any of them
// failed; the source's own error, or the error of a context that ended, is in it as well. A fault of the configuration
// or of the options is returned before the source is asked.
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
	sourceErr := f.Run(ctx, source)
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

// guarded calls do, whose panic is an error.
func (m *Migrator) guarded(ctx context.Context, do func(context.Context, *Migrator) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = m.named(&drive.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	return do(ctx, m)
}
