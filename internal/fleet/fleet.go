// Package fleet schedules the work on many tenants: it decides which tenants are looked at, which are worked on and when,
// and when to stop. It knows no database.
//
// A look at a batch of tenants that have arrived finds those that need no work. The others are worked on in the order of
// the source: no tenant overtakes an earlier one that is still to be looked at. The first of them are the canaries, one by
// one. A tenant that another replica has locked is put aside and worked on once more after all others.
//
// In the end every tenant that the source yielded has exactly one result, in the order of the source. After a stop no
// tenant is begun; work that has begun comes to its end.
package fleet

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
)

// Limits bound the work. Workers has to be positive.
type Limits struct {
	Workers  int // tenants that are worked on at once
	Sharers  int // workers that share a resource at once, see Work.Shares; 0: any number
	Lookers  int // batches that are looked at at once; 0: every tenant is worked on
	Batch    int // tenants in a batch at most
	Canaries int

	MaxFailures    int     // this many failures stop the work; 0: no number does
	MaxFailureRate float64 // a higher share of failures stops the work; 0: no share does
}

// rateSample tenants have to be done before MaxFailureRate counts.
const rateSample = 20

// Outcome is how the work on a tenant ended.
type Outcome int

const (
	Done   Outcome = iota
	Failed         // counts for the limits
	Locked         // another replica has locked the tenant: it is put aside the first time, and a failure the second time
)

// Work is the work on tenants of type T, which has a result of type R for each. Several goroutines call the functions.
type Work[T, R any] struct {
	// Skipped is the result of a tenant that is not begun.
	Skipped func(T) R
	// Shares says whether the work on a tenant takes a part of a shared resource. Only these tenants are looked at.
	Shares func(T) bool
	// Look returns the result of each tenant of a batch, in its order; nil for a tenant that needs work.
	Look func(context.Context, []T) []*R
	// Do works on one tenant. last is true for a tenant that was Locked the first time; the first result counts if a stop
	// prevents the second time.
	Do func(ctx context.Context, tenant T, last bool) (R, Outcome)
	// Progress is called when tenants are done, and when the source has ended. One goroutine at a time calls it, with
	// numbers that never fall.
	Progress func(Progress)
}

// Progress is how far a fleet is.
type Progress struct {
	Done, Failed int
	Total        int  // tenants that the source has yielded so far
	Counted      bool // the source has ended
}

// Fleet is the work on the tenants of one source.
type Fleet[T, R any] struct {
	limits Limits
	work   Work[T, R]

	told told

	mu      sync.Mutex
	changed *sync.Cond // of anything below
	// All below is guarded by mu.
	records []record[T, R] // in the order of the source
	next    int            // no tenant before this one can be begun
	arrived []int          // the tenants that no looker has taken yet
	lookers int            // the goroutines that may take some
	sharers int            // how many tenants that share are worked on
	count   Progress
	stopped bool  // no tenant is begun
	gaveUp  bool  // a canary failed, or the failures were too many, before the context ended
	over    bool  // Run has returned, or is about to: nothing that the source yields counts
	err     error // of the source
}

// record is what is kept of a tenant.
type record[T, R any] struct {
	state  state
	tenant T
	result R // unless the state is done, the result for the case that nothing more happens
}

type state uint8

const (
	toLook  state = iota
	waiting       // to be worked on
	begun
	aside // locked by another replica
	done
)

// New makes a fleet, for one call of Run.
func New[T, R any](limits Limits, work Work[T, R]) *Fleet[T, R] {
	f := &Fleet[T, R]{limits: limits, work: work, lookers: limits.Lookers}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// Run works on all tenants of the source and returns when each has its result. It returns the error of the source. The
// end of the context is a stop; Run doesn't wait for a source that hangs.
func (f *Fleet[T, R]) Run(ctx context.Context, source iter.Seq2[T, error]) error {
	defer f.finish()
	defer context.AfterFunc(ctx, f.stop)()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		f.collect(ctx, source)
	}()
	var lookers sync.WaitGroup
	for range f.limits.Lookers {
		lookers.Go(func() { f.look(ctx) })
	}
	f.canaries(ctx)
	f.workers(ctx, false)
	lookers.Wait()
	select {
	case <-collected:
	case <-ctx.Done():
		f.stop()
	}
	f.resume()
	f.workers(ctx, true)
	f.tell()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// finish ends the fleet: nothing that the source yields counts, and Results waits for nothing.
func (f *Fleet[T, R]) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.changed.Broadcast()
}

// collect ranges over the source ahead of the work: a query should not stay open as long as the work on all tenants takes.
func (f *Fleet[T, R]) collect(ctx context.Context, source iter.Seq2[T, error]) {
	cut := false
	defer func() {
		v := recover()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.over {
			return
		}
		if v != nil {
			f.err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		f.count.Counted = !cut
		f.changed.Broadcast()
	}()
	for tenant, err := range source {
		if !f.arrive(tenant, err) {
			return
		}
		if cut = ctx.Err() != nil; cut {
			return
		}
	}
}

// PanicError is a panic of the source.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// arrive takes a tenant or the error of the source. It returns whether the source may yield more.
func (f *Fleet[T, R]) arrive(tenant T, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	if err != nil {
		f.err = err
		return false
	}
	r := record[T, R]{state: waiting, tenant: tenant, result: f.work.Skipped(tenant)}
	if f.limits.Lookers > 0 && f.work.Shares(tenant) {
		r.state = toLook
		f.arrived = append(f.arrived, len(f.records))
	}
	f.records = append(f.records, r)
	f.count.Total++
	f.changed.Broadcast()
	return true
}

// look looks at batches until there are no more.
func (f *Fleet[T, R]) look(ctx context.Context) {
	for {
		batch, tenants := f.batch()
		if batch == nil {
			return
		}
		results := f.work.Look(ctx, tenants)
		f.mu.Lock()
		settled := false
		for i, at := range batch {
			if results[i] == nil {
				f.records[at].state = waiting
				continue
			}
			f.end(ctx, at, *results[i], Done)
			settled = true
		}
		f.changed.Broadcast()
		f.mu.Unlock()
		if settled {
			f.tell()
		}
	}
}

// batch waits for tenants that have arrived. Each looker takes its share of them, so that all have something to do, but
// at least a quarter of a batch.
func (f *Fleet[T, R]) batch() (batch []int, tenants []T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.arrived) == 0 && !f.count.Counted && !f.stopped {
		f.changed.Wait()
	}
	if len(f.arrived) == 0 || f.stopped {
		f.lookers--
		return nil, nil
	}
	share := max((len(f.arrived)+f.lookers-1)/f.lookers, f.limits.Batch/4, 1)
	n := min(len(f.arrived), share, max(f.limits.Batch, 1))
	batch, f.arrived = f.arrived[:n:n], f.arrived[n:]
	for _, at := range batch {
		tenants = append(tenants, f.records[at].tenant)
	}
	return batch, tenants
}

// canaries works on the first tenants one by one, and stops if one of them fails.
func (f *Fleet[T, R]) canaries(ctx context.Context) {
	for range f.limits.Canaries {
		if outcome, ok := f.workOnNext(ctx, false); !ok {
			return
		} else if outcome == Failed {
			f.giveUp(ctx)
			return
		}
	}
}

// workers works on the tenants that wait, until there are no more.
func (f *Fleet[T, R]) workers(ctx context.Context, last bool) {
	var all sync.WaitGroup
	for range f.limits.Workers {
		all.Go(func() {
			for more := true; more; {
				_, more = f.workOnNext(ctx, last)
			}
		})
	}
	all.Wait()
}

// workOnNext waits for a tenant and works on it. It says whether there was one.
func (f *Fleet[T, R]) workOnNext(ctx context.Context, last bool) (outcome Outcome, ok bool) {
	at, tenant, ok := f.begin(ctx)
	if !ok {
		return outcome, false
	}
	result, outcome := f.work.Do(ctx, tenant, last)
	f.mu.Lock()
	if f.work.Shares(tenant) {
		f.sharers--
	}
	locked := outcome == Locked && !last
	if locked {
		f.records[at].state, f.records[at].result = aside, result
	} else {
		f.end(ctx, at, result, outcome)
	}
	f.changed.Broadcast()
	f.mu.Unlock()
	if !locked {
		f.tell()
	}
	return outcome, true
}

// begin waits for a tenant that may be worked on. A tenant that is still to be looked at, or has to wait for a shared
// resource, holds up all later ones.
func (f *Fleet[T, R]) begin(ctx context.Context) (at int, tenant T, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.stopped && ctx.Err() == nil { // stop may not have been called yet
		for f.next < len(f.records) && f.records[f.next].state >= begun {
			f.next++
		}
		if f.next < len(f.records) {
			r := &f.records[f.next]
			shares := f.work.Shares(r.tenant)
			if r.state == waiting && (f.limits.Sharers == 0 || f.sharers < f.limits.Sharers || !shares) {
				r.state = begun
				if shares {
					f.sharers++
				}
				return f.next, r.tenant, true
			}
		} else if f.count.Counted {
			break
		}
		f.changed.Wait()
	}
	return 0, tenant, false
}

// end records the result of a tenant, and stops if it was one failure too many. f.mu is held.
func (f *Fleet[T, R]) end(ctx context.Context, at int, result R, outcome Outcome) {
	f.records[at] = record[T, R]{state: done, result: result}
	c, l := &f.count, f.limits
	c.Done++
	if outcome != Done {
		c.Failed++
	}
	if l.MaxFailures > 0 && c.Failed >= l.MaxFailures ||
		l.MaxFailureRate > 0 && c.Done >= rateSample && float64(c.Failed) > l.MaxFailureRate*float64(c.Done) {
		f.stopped, f.gaveUp = true, f.gaveUp || ctx.Err() == nil
	}
}

// giveUp stops because a canary failed.
func (f *Fleet[T, R]) giveUp(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped, f.gaveUp = true, f.gaveUp || ctx.Err() == nil
	f.changed.Broadcast()
}

// resume has the tenants that were put aside wait again.
func (f *Fleet[T, R]) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = 0
	for i := range f.records {
		if f.records[i].state == aside {
			f.records[i].state = waiting
		}
	}
}

func (f *Fleet[T, R]) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.changed.Broadcast()
}
