// Package fleet schedules the work on many tenants: which of them are looked at, which are worked on and when, and
// when to stop. It knows no database.
//
// The tenants of a source go through three places. Batches of arrived tenants are looked at, which finds the tenants that
// need no work. The others wait, and are worked on in the order of the source: nobody overtakes an earlier tenant
// that is still to be looked at. The first of them are the canaries, one by one. A tenant that another replica has
// locked is put aside and worked on once more when all others are done.
//
// Every tenant that the source yielded has exactly one result in the end, in the order of the source. After a stop no
// tenant is begun; work that is under way comes to its end.
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
	Workers  int // how many tenants are worked on at once
	Sharers  int // how many of them at most share a resource, see Work.Shares; 0: any number
	Lookers  int // how many batches are looked at at once; 0: every tenant is worked on
	Batch    int // how many tenants a batch has at most
	Canaries int

	MaxFailures    int     // the failure that stops; 0: none does
	MaxFailureRate float64 // the share of failures that has to be exceeded to stop; 0: none does
}

// rateSample is how many tenants have to be done before MaxFailureRate counts.
const rateSample = 20

// Outcome is how the work on a tenant ended.
type Outcome int

const (
	Done   Outcome = iota
	Failed         // counts for the limits
	Locked         // by another replica: it is put aside the first time, and a failure the second time
)

// Work is what is to be done for tenants of type T. A result of type R is kept of each. The functions are called by
// several goroutines.
type Work[T, R any] struct {
	// Skipped is the result of a tenant that is not begun.
	Skipped func(T) R
	// Shares says whether the work on a tenant takes a part of a shared resource. Only these tenants are looked at.
	Shares func(T) bool
	// Look returns the results of tenants that need no work, nil for those that need some, in the order of the batch.
	Look func(context.Context, []T) []*R
	// Do works on one tenant. If it is Locked for the first time, the result is the one for the case that there is no
	// second time. The last time is the second one.
	Do func(ctx context.Context, tenant T, last bool) (R, Outcome)
	// Progress is called when tenants are done, and when the source has ended: by one goroutine at a time, with numbers
	// that never fall.
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

	mu      sync.Mutex
	changed *sync.Cond // of anything below
	// All below is guarded by mu.
	records []record[R] // of the tenants, in the order of the source
	looks   looks[T]
	waiting queue[job[T]] // to be worked on
	locked  []job[T]      // put aside
	sharers int           // how many tenants that share are worked on
	count   Progress
	stopped bool  // no tenant is begun
	over    bool  // Run has returned, or is about to: nothing that the source yields counts
	err     error // of the source
	told    told
}

// record is what is kept of a tenant.
type record[R any] struct {
	result R
	final  bool // unless the fleet is over
}

// job is a tenant that something is to be done for.
type job[T any] struct {
	index  int // in the source
	tenant T
}

// looks are the tenants before and in the batches that are looked at.
type looks[T any] struct {
	arrived []job[T]
	begun   []int // the first tenant of each batch that is looked at
	lookers int   // the goroutines that may begin another one
}

// told has a mutex of its own, so that nobody waits for an observer who has nothing to tell it.
type told struct {
	mu   sync.Mutex // taken before Fleet.mu
	last Progress   // guarded by mu
}

// New makes a fleet, for one call of Run.
func New[T, R any](limits Limits, work Work[T, R]) *Fleet[T, R] {
	f := &Fleet[T, R]{limits: limits, work: work}
	f.changed = sync.NewCond(&f.mu)
	f.looks.lookers = limits.Lookers
	return f
}

// Run works on all tenants of the source and returns when each has its result. It returns the error of the source. If
// the context ends, that is a stop, and a source that hangs is left alone.
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

// finish ends the fleet for the source and for Results.
func (f *Fleet[T, R]) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.changed.Broadcast()
}

// collect ranges over the source, ahead of the work: the work on all tenants may take longer than a query should be open.
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

// arrive says whether there may be more.
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
	j := job[T]{len(f.records), tenant}
	f.records = append(f.records, record[R]{result: f.work.Skipped(tenant)})
	f.count.Total++
	if f.limits.Lookers > 0 && f.work.Shares(tenant) {
		f.looks.arrived = append(f.looks.arrived, j)
	} else {
		f.waiting.push(j.index, j)
	}
	f.changed.Broadcast()
	return true
}

// look looks at batches until there are no more.
func (f *Fleet[T, R]) look(ctx context.Context) {
	for {
		batch := f.batch()
		if batch == nil {
			return
		}
		tenants := make([]T, len(batch))
		for i, j := range batch {
			tenants[i] = j.tenant
		}
		f.looked(batch, f.work.Look(ctx, tenants))
	}
}

// batch waits for tenants that have arrived. Each looker takes its share of them, so that all have something to do, but
// no small change.
func (f *Fleet[T, R]) batch() []job[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.looks
	for len(l.arrived) == 0 && !f.count.Counted && !f.stopped {
		f.changed.Wait()
	}
	if len(l.arrived) == 0 || f.stopped {
		l.lookers--
		f.changed.Broadcast()
		return nil
	}
	share := max((len(l.arrived)+l.lookers-1)/l.lookers, f.limits.Batch/4, 1)
	n := min(len(l.arrived), share, max(f.limits.Batch, 1))
	batch := l.arrived[:n:n]
	l.arrived = l.arrived[n:]
	l.begun = append(l.begun, batch[0].index)
	return batch
}

func (f *Fleet[T, R]) looked(batch []job[T], results []*R) {
	f.mu.Lock()
	settled := false
	for i, j := range batch {
		if results[i] == nil {
			f.waiting.push(j.index, j)
			continue
		}
		f.end(j, *results[i], Done)
		settled = true
	}
	f.looks.begun = without(f.looks.begun, batch[0].index)
	f.changed.Broadcast()
	f.mu.Unlock()
	if settled {
		f.tell()
	}
}

// without removes one element.
func without(list []int, one int) []int {
	kept := list[:0]
	for _, i := range list {
		if i != one {
			kept = append(kept, i)
		}
	}
	return kept
}

// canaries works on the first tenants one by one, and stops if one of them fails.
func (f *Fleet[T, R]) canaries(ctx context.Context) {
	for range f.limits.Canaries {
		j, ok := f.next(ctx)
		if !ok {
			return
		}
		if f.do(ctx, j, false) == Failed {
			f.stop()
			return
		}
	}
}

// workers works on the tenants that wait, until there are no more.
func (f *Fleet[T, R]) workers(ctx context.Context, last bool) {
	var all sync.WaitGroup
	for range f.limits.Workers {
		all.Go(func() {
			for {
				j, ok := f.next(ctx)
				if !ok {
					return
				}
				f.do(ctx, j, last)
			}
		})
	}
	all.Wait()
}

// next waits for a tenant to work on.
func (f *Fleet[T, R]) next(ctx context.Context) (j job[T], ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.stopped || ctx.Err() != nil: // stop may not have been called yet
			return j, false
		case f.waiting.empty() && f.count.Counted && f.looks.lookers == 0:
			return j, false
		case f.ready():
			_, j = f.waiting.pop()
			if f.work.Shares(j.tenant) {
				f.sharers++
			}
			return j, true
		}
		f.changed.Wait()
	}
}

// ready says whether the next tenant is known, and can be begun. f.mu is held.
func (f *Fleet[T, R]) ready() bool {
	if f.waiting.empty() {
		return false
	}
	index, j := f.waiting.first()
	if len(f.looks.arrived) > 0 && f.looks.arrived[0].index < index {
		return false
	}
	for _, first := range f.looks.begun {
		if first < index {
			return false
		}
	}
	return f.limits.Sharers == 0 || f.sharers < f.limits.Sharers || !f.work.Shares(j.tenant)
}

// do works on one tenant.
func (f *Fleet[T, R]) do(ctx context.Context, j job[T], last bool) Outcome {
	result, outcome := f.work.Do(ctx, j.tenant, last)
	f.mu.Lock()
	if f.work.Shares(j.tenant) {
		f.sharers--
	}
	aside := outcome == Locked && !last
	if aside {
		f.records[j.index].result = result
		f.locked = append(f.locked, j)
	} else {
		f.end(j, result, outcome)
	}
	f.changed.Broadcast()
	f.mu.Unlock()
	if !aside {
		f.tell()
	}
	return outcome
}

// end records the result of a tenant, and stops if it was one failure too many. f.mu is held.
func (f *Fleet[T, R]) end(j job[T], result R, outcome Outcome) {
	f.records[j.index] = record[R]{result, true}
	c, l := &f.count, f.limits
	c.Done++
	if outcome != Done {
		c.Failed++
	}
	if l.MaxFailures > 0 && c.Failed >= l.MaxFailures ||
		l.MaxFailureRate > 0 && c.Done >= rateSample && float64(c.Failed) > l.MaxFailureRate*float64(c.Done) {
		f.stopped = true
	}
}

// resume has the tenants that were put aside wait again.
func (f *Fleet[T, R]) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.locked {
		f.waiting.push(j.index, j)
	}
	f.locked = nil
}

func (f *Fleet[T, R]) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.changed.Broadcast()
}

// tell calls Progress if there is something new.
func (f *Fleet[T, R]) tell() {
	f.told.mu.Lock()
	defer f.told.mu.Unlock()
	f.mu.Lock()
	now := f.count
	f.mu.Unlock()
	if now != f.told.last {
		f.told.last = now
		f.work.Progress(now)
	}
}

// Results ranges over the results in the order of the source. Each is yielded when it and all before it are there; the
// results of tenants that were not begun, when Run has returned.
func (f *Fleet[T, R]) Results() iter.Seq[R] {
	return func(yield func(R) bool) {
		for i := 0; ; i++ {
			result, ok := f.await(i)
			if !ok || !yield(result) {
				return
			}
		}
	}
}

func (f *Fleet[T, R]) await(i int) (result R, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.over && !(i < len(f.records) && f.records[i].final) {
		f.changed.Wait()
	}
	if i >= len(f.records) {
		return result, false
	}
	return f.records[i].result, true
}

// Complete says whether the source was heard to its end. It is for a fleet that is over.
func (f *Fleet[T, R]) Complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count.Counted
}
