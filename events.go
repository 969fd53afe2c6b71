package gooseplus

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// An Event is something that happened in a run: [LockWaiting], [RunStarted], [MigrationStarted],
// [MigrationFinished], [WayBackStarted], [VersionForced], [RunFinished],
// [TenantsProgress] or [Warning].
type Event interface {
	of(tenant, namespace string) Event
}

// A Step is one migration in one direction, as a run plans it.
type Step struct {
	Namespace   string // "" when the run has no namespace
	Version     int64
	Source      string // as in [MigrationStatus]
	Environment string // the folder it is in; "" if it is in none
	Direction   string // "up" or "down"
	// Transactional says that the step is applied as a whole or not at all. It is false for NO
	// TRANSACTION files and Go migrations without a transaction, and for every step on a database
	// where DDL commits by itself.
	Transactional bool
	// Reversible says that there is a Down that does something.
	Reversible bool
}

// LockWaiting is sent once, when another runner has the lock, or the server still works for one that was
// cut off, and this one begins to wait.
type LockWaiting struct {
	Tenant    string    // "" when the run has no tenant; so in the other events
	Namespace string    // "" when the run has no namespace, or is for all of them and this event too; so in the other events
	Holder    string    // host/process id/run, "" while the other one has not said so yet
	Since     time.Time // when its run began
}

// RunStarted is sent when a run has read its starting point and has something to do. A run over several
// namespaces sends it before the first step of each.
type RunStarted struct {
	Tenant    string
	Namespace string
	From      int64 // the highest version applied
	Steps     []Step
}

// MigrationStarted is sent before a migration runs, on the way back too.
type MigrationStarted struct {
	Tenant    string
	Namespace string
	Step      Step
}

// MigrationFinished is sent when a migration has run. Err is nil or a [*MigrationError].
type MigrationFinished struct {
	Tenant    string
	Namespace string
	Step      Step
	Duration  time.Duration
	Err       error
}

// WayBackStarted is sent when a run failed and is about to take back what it did.
type WayBackStarted struct {
	Tenant    string
	Namespace string
	Cause     error
}

// RunFinished is the last event of a run. Without a [RunStarted] before it nothing was pending, or
// the run could not start: after a fault of the configuration it is the only event. A run over several
// namespaces ends with one for each, in their order.
type RunFinished struct {
	Tenant    string
	Namespace string
	From, To  int64 // the highest version applied before and after; -1 when it can't be read
	Applied   int   // how many migrations the run applied and kept
	Undone    int   // how many it undid and left undone
	Duration  time.Duration
	Err       error // what the run returns; of several namespaces, what is true of this one, if it says more
}

// VersionForced is sent when [Migrator.Force] has rewritten the version table.
type VersionForced struct {
	Tenant         string
	Namespace      string
	Version        int64
	Added, Removed []int64
}

// TenantsProgress is sent by [Migrator.MigrateTenants] and [Migrator.EachTenant] when tenants have come
// to their end.
type TenantsProgress struct {
	Tenant  string // always ""
	Done    int    // how many tenants have come to their end
	Total   int    // how many the source has given so far
	Counted bool   // it gives no more
	Failed  int
	Rate    float64 // tenants a second, since the call began
}

// Warning is something that a person should know and that stops nothing.
type Warning struct {
	Tenant    string
	Namespace string
	Message   string
}

func (e LockWaiting) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}
func (e RunStarted) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}
func (e MigrationStarted) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}
func (e MigrationFinished) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}
func (e WayBackStarted) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}
func (e RunFinished) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}
func (e VersionForced) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}
func (e TenantsProgress) of(_, _ string) Event { return e }
func (e Warning) of(tenant, namespace string) Event {
	e.Tenant, e.Namespace = tenant, namespace
	return e
}

// observerGrace is how long the end of a run waits for observers that are behind.
const observerGrace = time.Second

// observer is a function that is told of events.
type observer struct {
	observe func(context.Context, Event)
	behind  *backlog // shared by all runs of a Migrator
}

// backlog counts the runs that ended before an observer had taken their events. While there are
// any, no further run waits for it.
type backlog struct {
	mu   sync.Mutex
	runs int // guarded by mu
}

func (b *backlog) add(runs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs += runs
}

func (b *backlog) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.runs == 0
}

// stream carries the events of one run to its observers.
type stream struct {
	tenant, namespace string
	inboxes           []*inbox
	grace             time.Duration // how long close waits
	shared            bool
}

func newStream(ctx context.Context, observers []observer, grace time.Duration, onPanic func(string)) *stream {
	ctx = context.WithoutCancel(ctx)
	s := &stream{grace: grace}
	for _, o := range observers {
		s.inboxes = append(s.inboxes, startInbox(o.behind, func(e Event) {
			defer func() {
				if v := recover(); v != nil {
					onPanic(fmt.Sprintf("observer panicked: %v\n%s", v, debug.Stack()))
				}
			}()
			o.observe(ctx, e)
		}))
	}
	return s
}

// silent is true when there is nobody to hear.
func (s *stream) silent() bool { return len(s.inboxes) == 0 }

func (s *stream) send(e Event) {
	if s.silent() {
		return
	}
	e = e.of(s.tenant, s.namespace)
	for _, in := range s.inboxes {
		in.put(e)
	}
}

// share is the stream for the run of a tenant or a namespace, which somebody else closes.
func (s *stream) share(tenant, namespace string) *stream {
	return &stream{tenant: tenant, namespace: namespace, inboxes: s.inboxes, shared: true}
}

// close lets the observers finish. One that is stuck keeps its goroutine, not the run, and not the
// next one either.
func (s *stream) close() {
	if s.silent() || s.shared {
		return
	}
	for _, in := range s.inboxes {
		in.end()
	}
	grace, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	for _, in := range s.inboxes {
		if in.behind.empty() {
			select {
			case <-in.done:
			case <-grace.Done():
			}
		}
		in.leave()
	}
}

// inbox queues events for one observer. It has no limit: a run has a few events a migration, and
// dropping any would make the stream useless for counting.
type inbox struct {
	mu    sync.Mutex
	queue []Event // guarded by mu
	ended bool    // guarded by mu; no put follows
	left  bool    // guarded by mu; behind counts this inbox
	more  *sync.Cond
	// done is closed when the observer has taken everything. To close it takes mu, so that leave
	// counts no inbox that nobody would take off the count again.
	done   chan struct{}
	behind *backlog // the observer's
}

func startInbox(behind *backlog, deliver func(Event)) *inbox {
	in := &inbox{done: make(chan struct{}), behind: behind}
	in.more = sync.NewCond(&in.mu)
	go func() {
		defer in.finish()
		for {
			events := in.take()
			if events == nil {
				return
			}
			for _, e := range events {
				deliver(e)
			}
		}
	}()
	return in
}

func (in *inbox) put(e Event) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.queue = append(in.queue, e)
	in.more.Signal()
}

func (in *inbox) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	in.more.Signal()
}

// leave is for a run that waits no longer.
func (in *inbox) leave() {
	in.mu.Lock()
	defer in.mu.Unlock()
	select {
	case <-in.done:
	default:
		in.left = true
		in.behind.add(1)
	}
}

func (in *inbox) finish() {
	in.mu.Lock()
	defer in.mu.Unlock()
	close(in.done)
	if in.left {
		in.behind.add(-1)
	}
}

// take waits for events; nil means that there will be none.
func (in *inbox) take() []Event {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.queue) == 0 && !in.ended {
		in.more.Wait()
	}
	events := in.queue
	in.queue = nil
	return events
}
