package gooseplus

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// An Event is something that happened in a run: [LockWaiting], [RunStarted], [MigrationStarted],
// [MigrationFinished], [BatchStarted], [BatchFinished], [WayBackStarted], [VersionForced], [RunFinished],
// [TenantsProgress], [TenantsWayBackStarted] or [Warning].
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

// LockWaiting is sent once per run, when the run begins to wait for another runner: for its lock, or for a
// statement that the server still executes for a runner that was cut off.
type LockWaiting struct {
	Scope
	Holder string    // host/process id/run; "" until the holder has recorded its run
	Since  time.Time // the start of the holder's run
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

// BatchFinished is sent when they have run. If Err is nil, all are applied, and there is neither a [MigrationStarted] nor a
// [MigrationFinished] of any of them: nobody knows how long each took. Otherwise nothing of them is left, and they run one by
// one, each with its own events; unless the run ends, as when the lock is lost.
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

// RunFinished is the last event of a run. Without a [RunStarted] before it nothing was pending, or
// the run could not start: after a fault of the configuration it is the only event. A run over several
// namespaces ends with one for each, in their order.
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

func (e LockWaiting) in(s Scope) Event         { e.Scope = s; return e }
func (e RunStarted) in(s Scope) Event          { e.Scope = s; return e }
func (e MigrationStarted) in(s Scope) Event    { e.Scope = s; return e }
func (e MigrationFinished) in(s Scope) Event   { e.Scope = s; return e }
func (e BatchStarted) in(s Scope) Event        { e.Scope = s; return e }
func (e BatchFinished) in(s Scope) Event       { e.Scope = s; return e }
func (e WayBackStarted) in(s Scope) Event      { e.Scope = s; return e }
func (e RunFinished) in(s Scope) Event         { e.Scope = s; return e }
func (e VersionForced) in(s Scope) Event       { e.Scope = s; return e }
func (e TenantsProgress) in(Scope) Event       { return e }
func (e TenantsProgress) place() Scope         { return Scope{} }
func (e TenantsWayBackStarted) in(Scope) Event { return e }
func (e TenantsWayBackStarted) place() Scope   { return Scope{} }
func (e Warning) in(s Scope) Event             { e.Scope = s; return e }

// stream carries the events of one run to its observers. The zero value has none.
type stream struct {
	scope     Scope
	observers *observers // shared by the runs of the same call
}

// observers are the functions that hear the events of one call: of one run, or of the runs of many tenants.
type observers struct {
	ctx   context.Context // has the values of the caller's, and never ends
	turns *sync.Mutex     // held while one of them is called: one event at a time
	list  []func(context.Context, Event)

	warn    func(string) // is told of an observer that panics
	accused map[int]bool // guarded by turns; the observers whose panic was told
}

// replaced takes the place of the observers in the same call.
func (o *observers) replaced(by *observers) *observers {
	by.ctx, by.turns = o.ctx, o.turns
	return by
}

// silent says whether nobody listens.
func (s *stream) silent() bool { return s.observers == nil || len(s.observers.list) == 0 }

// send returns when all observers have had the event.
func (s *stream) send(e Event) {
	if s.silent() {
		return
	}
	o := s.observers
	o.turns.Lock()
	defer o.turns.Unlock()
	e = e.in(s.scope)
	for i := range o.list {
		o.call(i, e)
	}
}

// call calls one observer, whose panic must not end the run. o.turns is held.
func (o *observers) call(i int, e Event) {
	defer func() {
		if v := recover(); v != nil && !o.accused[i] {
			o.accused[i] = true
			o.warn(fmt.Sprintf("observer panicked: %v\n%s", v, debug.Stack()))
		}
	}()
	o.list[i](o.ctx, e)
}

// share is the stream of a run of one tenant or namespace.
func (s *stream) share(tenant, namespace string) *stream {
	return &stream{scope: Scope{tenant, namespace}, observers: s.observers}
}
