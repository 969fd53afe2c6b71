package gooseplus

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/redact"
)

// An Event is something that happened in a run: [RunRequested], [LockWaiting], [LockWaitFinished], [RunStarted],
// [MigrationStarted], [MigrationFinished], [BatchStarted], [BatchFinished], [WayBackStarted], [WayBackFinished],
// [VersionForced], [RunFinished], [TenantsStarted], [TenantsProgress], [TenantsWayBackStarted],
// [TenantsFinished] or [Warning].
type Event interface {
	in(Scope) Event
	place() Scope
}

// Scope says where an event happened.
type Scope struct {
	Tenant    string // "" for a run without a tenant
	Namespace string // "" for a run without namespaces, and for events of a run over all of them
}

func (s Scope) place() Scope { return s }

// A Step is one migration in one direction, as a run plans it.
type Step struct {
	Namespace   string // "" when the run has no namespace
	Version     int64
	Source      string // as in [MigrationStatus]; the checkpoint's path for a checkpoint
	Environment string // the folder it is in; "" if it is in none
	Direction   string // "up" or "down"
	// Transactional says that the step is applied as a whole or not at all. It is false for NO
	// TRANSACTION files and Go migrations without a transaction, and for every step on a database
	// where DDL commits by itself.
	Transactional bool
	// Reversible says that there is a Down that does something.
	Reversible bool
	// Covers is how many versions a checkpoint stands for ([WithCheckpoints]); 0 for a migration.
	Covers int
}

// RunRequested is the first event of a run, before it looks at the database. Every run has one, also the run that has
// nothing to do, and the run of [Migrator.Force] and the methods like it.
type RunRequested struct {
	Scope
	// Namespaces are the names in a run over several namespaces: a [RunFinished] follows for each. nil means that there is one.
	Namespaces []string
}

// LockWaiting is sent once per run, when the run begins to wait for another runner: for its lock, or for a
// statement that the server still executes for a runner that was cut off.
type LockWaiting struct {
	Scope
	Holder string    // host/process id/run; "" until the holder has recorded its run
	Since  time.Time // the start of the holder's run
}

// LockWaitFinished is sent when the wait that [LockWaiting] began is over. Err is nil if the run has the lock, or if
// nothing was left to do.
type LockWaitFinished struct {
	Scope
	Duration time.Duration
	Err      error
}

// RunStarted is sent when a run has read its starting point and has something to do. A run over several
// namespaces sends it before the first step of each.
type RunStarted struct {
	Scope
	From  int64 // the highest version applied
	Steps []Step
}

// MigrationStarted is sent before a migration runs, on the way back too.
type MigrationStarted struct {
	Scope
	Step Step
}

// MigrationFinished is sent when a migration has run. Err is nil or a [*MigrationError].
type MigrationFinished struct {
	Scope
	Step     Step
	Duration time.Duration
	Err      error
}

// BatchStarted is sent before several migrations run together, as one text in one transaction: see [Migrator.Provision].
type BatchStarted struct {
	Scope
	Steps []Step
}

// BatchFinished is sent when the migrations of a [BatchStarted] have run. If Err is nil, all are applied, and none of them gets a
// [MigrationStarted] or [MigrationFinished]: nobody knows how long each took. Otherwise nothing of them is left, and they run
// one by one, each with its own events, unless the run ends, as when the lock is lost.
type BatchFinished struct {
	Scope
	Steps    []Step
	Duration time.Duration
	Err      error
}

// WayBackStarted is sent when a run failed and is about to undo its steps.
type WayBackStarted struct {
	Scope
	Cause error
}

// WayBackFinished is sent when the way back has ended. Err wraps [ErrRollForward] if the database is back at its starting
// point, and is a [*RollbackError] otherwise.
type WayBackFinished struct {
	Scope
	Duration time.Duration
	Err      error
}

// RunFinished is the last event of a run. Without a [RunStarted] before it nothing was pending, or
// the run could not start. A run over several namespaces ends with one for each, in their order.
type RunFinished struct {
	Scope
	From, To int64 // the highest version applied before and after; -1 if it can't be read
	Applied  int   // how many migrations the run applied and kept
	Undone   int   // how many migrations the run undid and left undone
	Duration time.Duration
	Err      error // what the run returns, or what is true of this namespace if that says more
}

// VersionForced is sent when [Migrator.Force] has rewritten the version table.
type VersionForced struct {
	Scope
	Version        int64
	Added, Removed []int64
}

// TenantsStarted is sent by [Migrator.MigrateTenants] and [Migrator.EachTenant] before they ask the source.
type TenantsStarted struct{}

// TenantsFinished is sent by [Migrator.MigrateTenants] and [Migrator.EachTenant] at their end, with what they return.
type TenantsFinished struct {
	Report *TenantsReport // don't change it
	Err    error
}

// TenantsProgress is sent by [Migrator.MigrateTenants], [Migrator.EachTenant] and [Migrator.TenantsStatus] when
// tenants are done. After [TenantsWayBackStarted] it counts again from 0: the tenants that are to be undone.
type TenantsProgress struct {
	Done    int  // tenants that are done
	Total   int  // tenants that the source has yielded so far
	Counted bool // the source has ended: Total is final
	Failed  int
	Rate    float64 // tenants per second since the call began
}

// TenantsWayBackStarted is sent when failures have stopped [Migrator.MigrateTenants], which is about to undo what it did to
// the tenants that had succeeded, see [WithWayBack].
type TenantsWayBackStarted struct {
	Tenants int // how many are to be undone
}

// Warning is something that a person should know and that stops nothing.
type Warning struct {
	Scope
	Message string
}

func (e RunRequested) in(s Scope) Event        { e.Scope = s; return e }
func (e LockWaiting) in(s Scope) Event         { e.Scope = s; return e }
func (e LockWaitFinished) in(s Scope) Event    { e.Scope = s; return e }
func (e RunStarted) in(s Scope) Event          { e.Scope = s; return e }
func (e MigrationStarted) in(s Scope) Event    { e.Scope = s; return e }
func (e MigrationFinished) in(s Scope) Event   { e.Scope = s; return e }
func (e BatchStarted) in(s Scope) Event        { e.Scope = s; return e }
func (e BatchFinished) in(s Scope) Event       { e.Scope = s; return e }
func (e WayBackStarted) in(s Scope) Event      { e.Scope = s; return e }
func (e WayBackFinished) in(s Scope) Event     { e.Scope = s; return e }
func (e RunFinished) in(s Scope) Event         { e.Scope = s; return e }
func (e VersionForced) in(s Scope) Event       { e.Scope = s; return e }
func (e TenantsStarted) in(Scope) Event        { return e }
func (e TenantsStarted) place() Scope          { return Scope{} }
func (e TenantsFinished) in(Scope) Event       { return e }
func (e TenantsFinished) place() Scope         { return Scope{} }
func (e TenantsProgress) in(Scope) Event       { return e }
func (e TenantsProgress) place() Scope         { return Scope{} }
func (e TenantsWayBackStarted) in(Scope) Event { return e }
func (e TenantsWayBackStarted) place() Scope   { return Scope{} }
func (e Warning) in(s Scope) Event             { e.Scope = s; return e }

// stream carries the events of one run to its observers. The zero value has none.
type stream struct {
	scope     Scope
	current   *current   // shared by the streams of the run's parts
	observers *observers // shared by the runs of the same call
}

// current is what a run is at, for its observers.
type current struct {
	ctx context.Context // has the values of the caller's and of the context hooks, and never ends
}

// observers are the functions that hear the events of one call: of one run, or of the runs of many tenants.
type observers struct {
	turns *sync.Mutex // held while one of them is called: one event at a time
	list  []func(context.Context, Event) context.Context

	warn    func(string) // is told of an observer that panics
	accused map[int]bool // guarded by turns; the observers whose panic was told
}

// replaced takes the place of the observers in the same call.
func (o *observers) replaced(by *observers) *observers {
	by.turns = o.turns
	return by
}

// silent says whether nobody listens.
func (s *stream) silent() bool { return s.observers == nil || len(s.observers.list) == 0 }

// send returns when all observers have had the event.
func (s *stream) send(e Event) {
	if s.silent() {
		return
	}
	s.observers.turns.Lock()
	defer s.observers.turns.Unlock()
	e = e.in(s.scope)
	for i := range s.observers.list {
		s.observers.call(i, s.current.ctx, e)
	}
}

// begin is send for an event that begins something. The context that it returns has the values that the context hooks
// add, and otherwise is ctx. The observers have them until end is called, after the event that ends the same thing.
func (s *stream) begin(ctx context.Context, e Event) (inner context.Context, end func()) {
	if s.silent() {
		return ctx, func() {}
	}
	s.observers.turns.Lock()
	defer s.observers.turns.Unlock()
	outer := s.current.ctx
	e = e.in(s.scope)
	for i := range s.observers.list {
		if hooked := s.observers.call(i, s.current.ctx, e); hooked != nil {
			s.current.ctx, inner = context.WithoutCancel(hooked), valuesOf{ctx, context.WithoutCancel(hooked)}
		}
	}
	if inner == nil {
		return ctx, func() {}
	}
	return inner, func() {
		s.observers.turns.Lock()
		defer s.observers.turns.Unlock()
		s.current.ctx = outer
	}
}

// call calls one observer, whose panic must not end the run. o.turns is held.
func (o *observers) call(i int, ctx context.Context, e Event) context.Context {
	defer func() {
		if v := recover(); v != nil && !o.accused[i] {
			o.accused[i] = true
			o.warn(fmt.Sprintf("observer panicked: %v\n%s", redact.Text(fmt.Sprint(v)), debug.Stack()))
		}
	}()
	return o.list[i](ctx, e)
}

// share is the stream of a part of the same run.
func (s *stream) share(tenant, namespace string) *stream {
	return &stream{scope: Scope{tenant, namespace}, current: s.current, observers: s.observers}
}

// valuesOf is a context with the values of another one, which must have no end of its own.
type valuesOf struct {
	context.Context
	values context.Context
}

func (v valuesOf) Value(key any) any {
	if value := v.values.Value(key); value != nil {
		return value
	}
	return v.Context.Value(key)
}
