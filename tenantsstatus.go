package gooseplus

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/fleet"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// TenantStatus says where one tenant is, see [Migrator.TenantsStatus].
type TenantStatus struct {
	Name string
	// State is TenantUpToDate or TenantPending; TenantMissing, TenantDirty or TenantFailed if [Migrator.Migrate] would
	// return Err before it touches anything; or TenantSkipped.
	State TenantState
	// Version is the highest version applied, 0 for none. Pending is how many migrations Migrate would apply, and Unknown
	// how many applied versions have no migration in this configuration. With an Err all three are -1. With namespaces
	// Version is the highest of any of them, and the others are sums.
	Version          int64
	Pending, Unknown int
	Err              error
}

// TenantsStatus ranges over the states of all tenants of a source, in its order. It looks at many schemas at once, and
// asks a tenant by itself where that can't tell everything, several at a time. It writes nothing, creates
// nothing, and neither takes a lock nor waits for one. Of the options, those about failures stop it as they stop
// [Migrator.MigrateTenants]; the tenants that are left are skipped.
//
// An error of the source, and the end of ctx before all tenants are done, are yielded at the end, with a zero TenantStatus.
// A fault of the configuration or of the options is all that is yielded. Leaving the loop ends the work.
func (m *Migrator) TenantsStatus(ctx context.Context, source iter.Seq2[Tenant, error], opts ...TenantsOption) iter.Seq2[TenantStatus, error] {
	return func(yield func(TenantStatus, error) bool) {
		c, err := m.newTenantsCall(ctx, source, opts)
		if err != nil {
			yield(TenantStatus{}, err)
			return
		}
		defer c.close()
		if c.options.wayBack {
			yield(TenantStatus{}, errors.New("WithWayBack is for MigrateTenants only: TenantsStatus changes nothing"))
			return
		}
		limits := c.limits()
		limits.Lookers = c.lookers()
		s := &survey{call: c, plannable: make(map[string]bool)}
		f := fleet.New(limits, fleet.Work[Tenant, TenantStatus]{
			Skipped:  func(t Tenant) TenantStatus { return noStatus(t.name(), TenantSkipped, nil) },
			Shares:   Tenant.shares,
			Look:     s.look,
			Do:       s.ask,
			Progress: func(p fleet.Progress) { c.progress(p, c.started) },
		})
		working, cancel := context.WithCancel(ctx)
		defer cancel() // the loop's body may panic
		ended := make(chan error, 1)
		go func() { ended <- f.Run(working, source) }()
		all := true
		for status := range f.Results() {
			all = all && status.State != TenantSkipped
			if !yield(status, nil) {
				cancel()
				<-ended
				return
			}
		}
		if err := c.ended(ctx, <-ended, all && f.Complete()); err != nil {
			yield(TenantStatus{}, err)
		}
	}
}

func noStatus(name string, state TenantState, err error) TenantStatus {
	return TenantStatus{Name: name, State: state, Version: -1, Pending: -1, Unknown: -1, Err: err}
}

func newStatus(name string, version int64, pending, unknown int) TenantStatus {
	state := TenantUpToDate
	if pending > 0 {
		state = TenantPending
	}
	return TenantStatus{Name: name, State: state, Version: version, Pending: pending, Unknown: unknown}
}

// survey is the look of TenantsStatus.
type survey struct {
	call *tenantsCall

	mu        sync.Mutex
	plannable map[string]bool // guarded by mu; by the applied versions: there are many tenants, and few sets of versions
}

// look answers for the tenants of which the version tables, and no row of the state tables, say everything.
func (s *survey) look(ctx context.Context, tenants []Tenant) []*TenantStatus {
	list := make([]*TenantStatus, len(tenants))
	c := s.call
	found := c.sweep(ctx, tenants, c.m.options.refusing())
	for i, t := range tenants {
		version, pending, unknown, ok := found.of(i, c.known, c.m.options.checksums == Refuse)
		if ok && (unknown == 0 || c.m.options.unknown != Refuse) && (pending == 0 || !c.known.several() && s.planned(ctx, found[0][i].Applied)) {
			status := newStatus(t.name(), version, pending, unknown)
			list[i] = &status
		}
	}
	return list
}

// planned says whether nothing is wrong with a plan from these applied versions.
func (s *survey) planned(ctx context.Context, applied []int64) bool {
	key := versionsKey(applied)
	s.mu.Lock()
	defer s.mu.Unlock()
	ok, known := s.plannable[key]
	if !known {
		_, err := s.call.m.pendingAt(ctx, s.call.known.whole, s.call.db, applied)
		ok = err == nil
		s.plannable[key] = ok
	}
	return ok
}

// ask asks one tenant by itself.
func (s *survey) ask(ctx context.Context, t Tenant, _ bool) (TenantStatus, fleet.Outcome) {
	tm, done := s.call.tenant(t)
	defer done()
	limited, cancel := failure.Limit(ctx, s.call.options.timeout, "tenant timeout")
	defer cancel()
	version, pending, unknown, err := tm.position(limited)
	if err == nil {
		return newStatus(t.name(), version, pending, unknown), fleet.Done
	}
	state := s.call.failed(err)
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return noStatus(t.name(), TenantSkipped, err), fleet.Done
	case state == TenantFailedAndUndone: // a fault of the files: nothing was done
		state = TenantFailed
	}
	return noStatus(t.name(), state, err), fleet.Failed
}

// position is where a database is, in all namespaces.
func (m *Migrator) position(ctx context.Context) (version int64, pending, unknown int, err error) {
	steps, err := m.Plan(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	for _, part := range known.parts {
		applied, _, err := part.table.Applied(ctx, db.own)
		if err != nil {
			return 0, 0, 0, part.named(part.tableError(ctx, err))
		}
		_, strangers := part.set.Compare(applied)
		version, unknown = max(version, plan.Newest(applied)), unknown+strangers
	}
	return version, len(steps), unknown, nil
}
