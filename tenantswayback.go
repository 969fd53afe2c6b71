package gooseplus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/fleet"
)

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
