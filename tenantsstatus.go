package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/fleet"
	"github.com/gooseplus/gooseplus/internal/history"
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

// TenantsStatus ranges over the states of all tenants of a source, in its order. It looks at many schemas at once. Tenants
// that need a closer look get one of their own, several at a time. It writes nothing, creates nothing, and neither takes a
// lock nor waits for one. [WithCanary], [WithMaxFailures] and [WithMaxFailureRate] stop it as they stop
// [Migrator.MigrateTenants]; the remaining tenants are skipped.
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
		go func() { ended <- f.Run(working, c.once(source)) }()
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

// look answers for the tenants whose version tables tell everything: no row of their state tables calls for a closer look.
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

// ask looks closer at one tenant.
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

// lookers is how many goroutines look at batches of tenants, with a connection each.
func (c *tenantsCall) lookers() int {
	if c.m.db == nil || !c.known.whole.dialect.Schemas() {
		return 0
	}
	most := min(runtime.GOMAXPROCS(0), maxLookers)
	if limit := c.m.db.Stats().MaxOpenConnections; limit > 0 {
		most = min(most, limit-c.sharers()*c.m.options.mostConnections())
	}
	return max(1, most)
}

// maxLookers bounds the look, which is the server's work.
const maxLookers = 4

// upToDate finds the tenants that have nothing to do, and warns of what their runs would warn of.
func (c *tenantsCall) upToDate(ctx context.Context, tenants []Tenant) []*TenantResult {
	list := make([]*TenantResult, len(tenants))
	found := c.sweep(ctx, tenants, nil)
	for i, t := range tenants {
		version, pending, unknown, ok := found.of(i, c.known, c.m.options.checksums == Refuse)
		if ok && pending == 0 && (unknown == 0 || c.m.options.unknown != Refuse) && c.warn(ctx, t, found, i) {
			list[i] = &TenantResult{Name: t.name(), State: TenantUpToDate, From: version, To: version}
		}
	}
	return list
}

// warn warns of unknown versions and of edited files. It is false if it can't find out which files they are.
func (c *tenantsCall) warn(ctx context.Context, t Tenant, found swept, tenant int) bool {
	o := c.m.options
	warnings := make([][]error, len(c.known.parts))
	for n, part := range c.known.parts {
		s := found[n][tenant]
		if unknown, _ := plan.Diff(s.Applied, part.set.Versions()); o.unknown == Warn && len(unknown) > 0 {
			warnings[n] = append(warnings[n], unknownError(part.set.Versions(), unknown))
		}
		if o.checksums != Warn {
			continue
		}
		edited, err := c.edited(ctx, t, n, s)
		if err != nil {
			return false
		}
		if len(edited) > 0 {
			warnings[n] = append(warnings[n], editedError(part.set, edited))
		}
	}
	for n, list := range warnings {
		for _, warning := range list {
			c.m.events.share(t.name(), c.known.parts[n].set.Namespace).send(Warning{Message: warning.Error()})
		}
	}
	return true
}

// edited returns the applied versions of a tenant whose files were edited. There are many tenants, and few sets of versions and
// sums: it asks the database once for each.
func (c *tenantsCall) edited(ctx context.Context, t Tenant, part int, s *history.Swept) ([]int64, error) {
	set := c.known.parts[part].set
	if same, err := sameSums(set, s.Applied, s.Sums); same || err != nil {
		return nil, err
	}
	key := fmt.Sprint(part, s.Sums, versionsKey(s.Applied))
	c.mu.Lock()
	defer c.mu.Unlock()
	if edited, known := c.editedAt[key]; known {
		return edited, nil
	}
	bound, err := c.m.tenant(t).resolve()
	if err != nil {
		return nil, err
	}
	rows, err := bound.parts[part].state.Versioned.List(ctx, c.db.own, set.Namespace)
	if err != nil {
		return nil, err
	}
	edited, err := editedFiles(set, rows, s.Applied)
	if err == nil {
		c.editedAt[key] = edited
	}
	return edited, err
}

// versionsKey is the same for the same versions, whatever their order.
func versionsKey(versions []int64) string {
	return fmt.Sprint(slices.Sorted(slices.Values(versions)))
}

// swept is what a sweep found: for each namespace, one for each tenant. It is nil if the sweep failed.
type swept [][]*history.Swept

// sweep reads the version tables of many tenants at once. It flags the tenants whose state table calls for a closer look: as
// for a run, and for stamps of the environments.
func (c *tenantsCall) sweep(ctx context.Context, tenants []Tenant, environments []string) (found swept) {
	version, err := c.known.whole.dialect.ParseName(c.m.options.versionTable)
	if err != nil || version.Schema != "" {
		return nil // a fault, which each run tells of
	}
	names := make([]string, len(tenants))
	for i, t := range tenants {
		names[i] = t.Schema
	}
	for _, part := range c.known.parts {
		// A run that was cut off has to be declared dead, as by a run alone.
		question := history.Question{Runs: c.m.options.globalLock, Namespace: part.set.Namespace, Environments: environments, Sums: c.m.options.keepsHistory()}
		one, err := history.Sweep(ctx, c.db.own, c.known.whole.state, inTable(version.Table, part.set.Namespace), question, names)
		if err != nil {
			return nil // each run says what is wrong by itself
		}
		found = append(found, one)
	}
	return found
}

// of says where a tenant is: the highest version that is applied, and how many are pending and unknown, in all namespaces. ok
// is false if the tenant needs a closer look: also if this program is too old for it, or, with edits, if a file may be edited.
func (found swept) of(tenant int, known *targets, edits bool) (version int64, pending, unknown int, ok bool) {
	if found == nil {
		return 0, 0, 0, false
	}
	for n, part := range known.parts {
		s := found[n][tenant]
		if s == nil || !s.Schema || !s.Ready || s.Flagged || s.Bare() {
			return 0, 0, 0, false
		}
		if s.Sums.Requires > plan.Newest(part.set.Versions()) {
			return 0, 0, 0, false
		}
		if edits {
			if same, err := sameSums(part.set, s.Applied, s.Sums); err != nil || !same {
				return 0, 0, 0, false
			}
		}
		missing, strangers := part.set.Compare(s.Applied)
		version, pending, unknown = max(version, plan.Newest(s.Applied)), pending+missing, unknown+strangers
	}
	return version, pending, unknown, true
}

// refusing are the environments because of which a run that has something to do might be refused, see environments.unfamiliar. A
// run with one environment is not refused by a database that has seen it.
func (o *options) refusing() (refusing []string) {
	stamps := o.stamps()
	for _, e := range o.protectedEnvironments {
		if len(stamps) > 1 || len(stamps) == 1 && e != stamps[0] {
			refusing = append(refusing, e)
		}
	}
	return refusing
}
