package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/session"
)

// MigrateTenants is [Migrator.Migrate] for every tenant of a source, each with its own lock if the lock
// is enabled, and its own way back. It looks at many schemas at once and makes a run only for those that
// have anything to do: first the canaries, one by one, then the others, several at a time. A tenant that
// another process has locked is taken up again at the end. A tenant that fails doesn't stop the others,
// unless an option says so; what is under way is never interrupted but by the context.
//
// The source is ranged over once, ahead of the work. The report is never nil, and has every tenant that
// the source gave; if that is none, the observers get a [Warning]. The error is a [*TenantsError] if any of them failed; the source's own error, or that
// of a context that ended, is in it as well. A fault of the configuration or of the options is returned
// before the source is asked.
func (m *Migrator) MigrateTenants(ctx context.Context, source iter.Seq2[Tenant, error], opts ...TenantsOption) (*TenantsReport, error) {
	return m.fleet(ctx, source, opts, nil)
}

// EachTenant calls do with the Migrator of every tenant of a source, several at a time, like
// [Migrator.MigrateTenants], with the same options, report and error; there is no look ahead. The
// tenant is migrated, as the report says, if do returns nil. A panic of do is its tenant's failure. do
// must not keep the Migrator.
func (m *Migrator) EachTenant(ctx context.Context, source iter.Seq2[Tenant, error], do func(context.Context, *Migrator) error, opts ...TenantsOption) (*TenantsReport, error) {
	if do == nil {
		return new(TenantsReport), errors.New("EachTenant: the function is nil")
	}
	return m.fleet(ctx, source, opts, do)
}

// fleet is one call of MigrateTenants or EachTenant.
type fleet struct {
	m       *Migrator
	options tenantsOptions
	do      func(context.Context, *Migrator) error // nil: Migrate
	known   *targets
	keeper  *session.Keeper // of the connections of the tenants there
	db      site            // the Migrator's own, if there is one
	slots   chan struct{}   // for tenants in the Migrator's own database, as many as its pool allows
	look    bool            // at many schemas at once
	survey  *survey         // that the command line wants; nil: no
	started time.Time

	mu       sync.Mutex
	more     *sync.Cond     // of the queues
	results  []TenantResult // guarded by mu; in the order of the source
	arrived  []job          // guarded by mu: to be looked at
	looking  []int          // guarded by mu: the first of each batch that is looked at
	waiting  []job          // guarded by mu: to be worked on, in the order of the source
	locked   []job          // guarded by mu: to be taken up again
	ended    bool           // guarded by mu: the source has no more
	left     bool           // guarded by mu: nobody waits for it any more
	lookers  int            // guarded by mu: who still look at some
	done     int            // guarded by mu
	failures int            // guarded by mu
	stopped  bool           // guarded by mu: no tenant is begun any more
	err      error          // guarded by mu: of the source
}

// job is a tenant that something is to be done for.
type job struct {
	index  int
	tenant Tenant
}

func (m *Migrator) fleet(ctx context.Context, source iter.Seq2[Tenant, error], opts []TenantsOption, do func(context.Context, *Migrator) error) (*TenantsReport, error) {
	options, err := newTenantsOptions(opts)
	if err != nil {
		return new(TenantsReport), err
	}
	known, err := m.resolve()
	if err != nil {
		return new(TenantsReport), m.refuse(ctx, err)
	}
	if source == nil {
		return new(TenantsReport), errors.New("the source of tenants is nil")
	}
	events := m.newStream(ctx)
	shared := *m
	shared.events, shared.options.createSchema = events, options.createSchema
	if options.timeout > 0 {
		shared.options.timeout, shared.options.timeoutSet = 0, true // that of the tenant counts instead
	}
	f := &fleet{m: &shared, options: options, do: do, known: known, started: time.Now()}
	f.more = sync.NewCond(&f.mu)
	f.slots = make(chan struct{}, f.room())
	f.survey = newSurvey(ctx)
	f.look = (do == nil || f.survey != nil) && m.db != nil && known.whole.dialect.Schemas()
	if m.db != nil {
		var leave func()
		f.db, leave = reach(known.whole.dialect, m.db)
		defer leave()
		f.keeper = new(session.Keeper)
		defer f.keeper.Close()
	}
	f.run(ctx, source)
	if len(f.results) == 0 && f.err == nil && ctx.Err() == nil {
		events.send(Warning{Message: "the source gave no tenant: nothing was done"})
	}
	return f.report(ctx)
}

// room is how many tenants the Migrator's own pool has connections for, with one to spare for the look.
func (f *fleet) room() int {
	if f.m.db == nil {
		return f.options.concurrency
	}
	limit := f.m.db.Stats().MaxOpenConnections
	if limit == 0 {
		return f.options.concurrency
	}
	return max(1, min(f.options.concurrency, (limit-1)/f.m.options.mostConnections()))
}

// mostConnections is how many connections a run can need at once, see steps.connections.
func (o *options) mostConnections() int {
	need := 2 // the migrations', which stays from step to step, and the run's own
	if o.globalLock {
		need++
	}
	return need
}

// run returns when every tenant has come to its end.
func (f *fleet) run(ctx context.Context, source iter.Seq2[Tenant, error]) {
	defer context.AfterFunc(ctx, f.stop)()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		f.collect(ctx, source)
	}()
	var all sync.WaitGroup
	f.lookers = f.lookersRoom()
	for range f.lookers {
		all.Go(func() { f.lookAtAll(ctx) })
	}
	f.canaries(ctx)
	f.workers(ctx, func() (job, bool) { return f.next() }, true)
	all.Wait()
	select {
	case <-collected:
	case <-ctx.Done(): // the source may hang, in a query that nobody can interrupt
	}
	f.mu.Lock()
	f.left = true
	again := f.locked
	f.locked = nil
	f.mu.Unlock()
	f.workers(ctx, func() (job, bool) { return f.take(&again) }, false)
}

// collect ranges over the source, ahead of the work: an open query would keep its snapshot as long as
// that takes.
func (f *fleet) collect(ctx context.Context, source iter.Seq2[Tenant, error]) {
	defer func() {
		v := recover()
		f.mu.Lock()
		defer f.mu.Unlock()
		if v != nil && !f.left {
			f.err = fmt.Errorf("the source of tenants panicked: %w", &drive.PanicError{Value: v, Stack: debug.Stack()})
		}
		f.ended = true
		f.more.Broadcast()
	}()
	for t, err := range source {
		if !f.collected(t, err) || ctx.Err() != nil {
			return
		}
	}
}

func (f *fleet) collected(t Tenant, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left {
		return false
	}
	if err != nil {
		f.err = fmt.Errorf("the source of tenants: %w", err)
		return false
	}
	j := job{index: len(f.results), tenant: t}
	f.results = append(f.results, TenantResult{Name: t.name(), State: TenantSkipped, From: -1, To: -1})
	if f.look && t.Open == nil {
		f.arrived = append(f.arrived, j)
	} else {
		f.waiting = append(f.waiting, j)
	}
	f.more.Broadcast()
	return true
}

// canaries works on the first tenants one by one, and stops if one of them fails.
func (f *fleet) canaries(ctx context.Context) {
	for range f.options.canary {
		j, ok := f.next()
		if !ok || ctx.Err() != nil {
			return
		}
		f.work(ctx, j, true)
		f.mu.Lock()
		failed := f.results[j.index].State.failed()
		f.mu.Unlock()
		if failed {
			f.stop()
			return
		}
	}
}

func (f *fleet) workers(ctx context.Context, next func() (job, bool), first bool) {
	var all sync.WaitGroup
	for range f.options.concurrency {
		all.Go(func() {
			for {
				j, ok := next()
				if !ok || ctx.Err() != nil { // f.stop may not have been called yet
					return
				}
				f.work(ctx, j, first)
			}
		})
	}
	all.Wait()
}

// next waits for a tenant to work on.
func (f *fleet) next() (job, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.inTurn() && !(f.ended && f.lookers == 0) && !f.stopped {
		f.more.Wait()
	}
	if len(f.waiting) == 0 || f.stopped {
		return job{}, false
	}
	j := f.waiting[0]
	f.waiting = f.waiting[1:]
	return j, true
}

func (f *fleet) take(list *[]job) (job, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(*list) == 0 || f.stopped {
		return job{}, false
	}
	j := (*list)[0]
	*list = (*list)[1:]
	return j, true
}

// work brings one tenant to its end. In the first round it doesn't wait for another runner's lock.
func (f *fleet) work(ctx context.Context, j job, first bool) {
	if j.tenant.Open == nil {
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return // it stays skipped
		}
		defer func() { <-f.slots }()
	}
	tm := f.m.tenant(j.tenant)
	if j.tenant.Open == nil {
		tm.keeper = f.keeper
	}
	if first {
		tm.options.lockWait = 0
	}
	defer tm.own.keep()()
	result := f.attempt(ctx, tm)
	f.mu.Lock()
	defer f.mu.Unlock()
	if result.State == TenantLocked && first {
		f.results[j.index].Err = result.Err // if it isn't taken up again
		f.locked = append(f.locked, j)
		return
	}
	f.finish(j, result)
	f.progress()
}

func (f *fleet) attempt(ctx context.Context, tm *Migrator) (result TenantResult) {
	started := time.Now()
	limited, cancel := limit(ctx, f.options.timeout, "tenant timeout")
	defer cancel()
	var last *outcome
	tm.ended = func(o outcome) { last = &o }
	err := f.call(limited, tm)
	result = TenantResult{Name: tm.options.tenant, Err: err, Duration: time.Since(started)}
	if last != nil {
		result.From, result.To = last.from, last.to
	} else if err != nil {
		result.From, result.To = -1, -1 // nobody has looked
	}
	result.State = f.state(last, err)
	if result.State == TenantFailed && f.do == nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) &&
		(last == nil || !last.touched) {
		result.State = TenantSkipped
	}
	return result
}

func (f *fleet) call(ctx context.Context, tm *Migrator) (err error) {
	if f.do == nil {
		return tm.Migrate(ctx)
	}
	defer func() {
		if v := recover(); v != nil {
			err = tm.named(&drive.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	return f.do(ctx, tm)
}

func (f *fleet) state(last *outcome, err error) TenantState {
	switch {
	case err == nil && f.do == nil && last != nil && last.applied+last.undone == 0:
		return TenantUpToDate
	case err == nil:
		return TenantMigrated
	case errors.Is(err, ErrTenantMissing), f.known.whole.dialect.NoDatabase(err):
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

// finish records the end of a tenant, and stops if it was one failure too many. f.mu is held.
func (f *fleet) finish(j job, result TenantResult) {
	f.results[j.index] = result
	f.done++
	if result.State.failed() {
		f.failures++
	}
	o := f.options
	if o.maxFailures > 0 && f.failures >= o.maxFailures ||
		o.maxFailureRate > 0 && f.done >= rateSample && float64(f.failures) > o.maxFailureRate*float64(f.done) {
		f.stopped = true
		f.more.Broadcast()
	}
}

// progress tells the observers how far it is. f.mu is held.
func (f *fleet) progress() {
	f.m.events.send(TenantsProgress{
		Done: f.done, Total: len(f.results), Counted: f.ended, Failed: f.failures,
		Rate: float64(f.done) / max(time.Since(f.started).Seconds(), 1e-9),
	})
}

// stop begins no further tenant.
func (f *fleet) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.more.Broadcast()
}

func (f *fleet) report(ctx context.Context) (*TenantsReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &TenantsReport{Tenants: f.results, Duration: time.Since(f.started)}
	r.count()
	err := joined(r.err(), f.err)
	if ctx.Err() != nil && (r.Skipped > 0 || !f.ended) {
		err = joined(err, stopped(ctx, nil))
	}
	return r, err
}
