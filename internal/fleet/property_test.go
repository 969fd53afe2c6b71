package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tenant is one of a schedule: what there is to do for it, and how long it takes.
type tenant struct {
	index    int
	shares   bool
	settled  bool       // a look finds that there is nothing to do
	outcomes [2]Outcome // of the first time, and of the second if the first is Locked
	takes    [2]time.Duration
	after    time.Duration // how long the source takes to yield it
}

// sourceEnd is how a source ends.
type sourceEnd int

const (
	sourceEnds sourceEnd = iota
	sourceErrs
	sourcePanics
	sourceHangs // until the test is over, as a query does that nobody can interrupt
)

// schedule is everything that decides how a fleet goes.
type schedule struct {
	limits    Limits
	tenants   []tenant
	end       sourceEnd
	lookTakes time.Duration
	cancel    time.Duration // when the context ends; 0: never
}

var errSource = errors.New("the source is torn")

func between(r *rand.Rand, low, high int) int { return low + r.IntN(high-low+1) }

// random makes a schedule. Rare things are common in it.
func random(seed uint64) schedule {
	r := rand.New(rand.NewPCG(seed, 16))
	s := schedule{lookTakes: time.Duration(r.IntN(300))}
	s.limits = Limits{Workers: between(r, 1, 8), Lookers: r.IntN(5), Batch: between(r, 1, 20)}
	if r.IntN(2) == 0 {
		s.limits.Sharers = between(r, 1, s.limits.Workers)
	}
	if r.IntN(3) == 0 {
		s.limits.Canaries = between(r, 1, 5)
	}
	switch r.IntN(4) {
	case 0:
		s.limits.MaxFailures = between(r, 1, 10)
	case 1:
		s.limits.MaxFailureRate = r.Float64() / 2
	}
	share, settled, fails, locks := r.Float64(), r.Float64(), r.Float64()/2, r.Float64()/2
	if r.IntN(4) == 0 {
		fails = 0
	}
	outcome := func() Outcome {
		switch x := r.Float64(); {
		case x < fails:
			return Failed
		case x < fails+locks:
			return Locked
		}
		return Done
	}
	slow := time.Duration(1 + r.IntN(2)*300)
	for i := range r.IntN(80) {
		s.tenants = append(s.tenants, tenant{
			index: i, shares: r.Float64() < share, settled: r.Float64() < settled, outcomes: [2]Outcome{outcome(), outcome()},
			takes: [2]time.Duration{time.Duration(1 + r.IntN(1000)), time.Duration(1 + r.IntN(1000))}, after: time.Duration(r.Int64N(int64(slow))),
		})
	}
	if r.IntN(3) == 0 {
		s.cancel = time.Duration(1 + r.IntN(3000))
	}
	s.end = sourceEnd(r.IntN(4))
	if s.end == sourceHangs && s.cancel == 0 {
		s.end = sourceEnds
	}
	return s
}

// work is one call of Do.
type work struct {
	index      int
	last       bool
	start, end time.Duration
	outcome    Outcome
}

// history is what a fleet did.
type history struct {
	mu       sync.Mutex
	yielded  int
	works    []work
	looked   map[int]int
	progress []Progress
	running  int // works
	sharing  int
	errs     []error
}

func (h *history) fault(format string, args ...any) {
	h.errs = append(h.errs, fmt.Errorf(format, args...))
}

// play runs a fleet in a bubble whose time is the schedule's.
func play(s schedule) (h *history, results []string, complete bool, runErr error) {
	began := time.Now()
	h = &history{looked: make(map[int]int)}
	over, left := make(chan struct{}), make(chan struct{})
	defer func() {
		close(over)
		<-left
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.cancel > 0 {
		defer time.AfterFunc(s.cancel, cancel).Stop()
	}
	var source iter.Seq2[tenant, error] = func(yield func(tenant, error) bool) {
		defer close(left)
		for _, t := range s.tenants {
			time.Sleep(t.after)
			h.mu.Lock()
			h.yielded++ // before it is known that somebody listens
			h.mu.Unlock()
			if !yield(t, nil) {
				return
			}
		}
		switch s.end {
		case sourceErrs:
			yield(tenant{}, errSource)
		case sourcePanics:
			panic(errSource)
		case sourceHangs:
			<-over
		}
	}
	f := New(s.limits, Work[tenant, string]{
		Skipped: func(t tenant) string { return fmt.Sprint(t.index, " skipped") },
		Shares:  func(t tenant) bool { return t.shares },
		Look: func(_ context.Context, batch []tenant) []*string {
			h.mu.Lock()
			if len(batch) == 0 || len(batch) > s.limits.Batch {
				h.fault("a batch has %d tenants", len(batch))
			}
			found := make([]*string, len(batch))
			for i, t := range batch {
				h.looked[t.index]++
				if !t.shares {
					h.fault("tenant %d is looked at", t.index)
				}
				if t.settled {
					text := fmt.Sprint(t.index, " settled")
					found[i] = &text
				}
			}
			h.mu.Unlock()
			time.Sleep(s.lookTakes)
			return found
		},
		Do: func(_ context.Context, t tenant, last bool) (string, Outcome) {
			n := map[bool]int{true: 1}[last]
			h.mu.Lock()
			w := work{index: t.index, last: last, start: time.Since(began), outcome: t.outcomes[n]}
			h.running++
			if t.shares {
				h.sharing++
			}
			if h.running > s.limits.Workers || s.limits.Sharers > 0 && h.sharing > s.limits.Sharers {
				h.fault("%d at once, of which %d share", h.running, h.sharing)
			}
			h.mu.Unlock()
			time.Sleep(t.takes[n])
			h.mu.Lock()
			defer h.mu.Unlock()
			w.end = time.Since(began)
			h.works = append(h.works, w)
			h.running--
			if t.shares {
				h.sharing--
			}
			return fmt.Sprintf("%d outcome %d, last %t", t.index, w.outcome, last), w.outcome
		},
		Progress: func(p Progress) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.progress = append(h.progress, p)
		},
	})
	ranged := make(chan struct{})
	go func() {
		defer close(ranged)
		for r := range f.Results() {
			results = append(results, r)
		}
	}()
	runErr = f.Run(ctx, source)
	<-ranged
	return h, results, f.Complete(), runErr
}

// check says what is wrong with a history. Instants are compared strictly: what happens at one instant has no order.
func (s schedule) check(h *history, results []string, complete bool, runErr error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, second := make(map[int]work), make(map[int]work)
	slices.SortFunc(h.works, func(a, b work) int { return cmp.Compare(a.start, b.start) })
	firstEnded := time.Duration(0)
	for _, w := range h.works {
		in := map[bool]map[int]work{false: first, true: second}[w.last]
		if _, twice := in[w.index]; twice {
			h.fault("tenant %d is worked on twice in one round", w.index)
		}
		in[w.index] = w
		if !w.last {
			firstEnded = max(firstEnded, w.end)
		}
	}
	stop := s.stops(h, first)

	// Every tenant that was yielded has exactly one result, in the order of the source.
	heard := len(results)
	if heard > h.yielded || stop < 0 && heard != len(s.tenants) {
		h.fault("%d results for %d tenants that the source yielded", heard, h.yielded)
	}
	final, failed := 0, 0
	for i, t := range s.tenants[:min(heard, len(s.tenants))] {
		one, worked := first[i]
		two, again := second[i]
		settled := s.limits.Lookers > 0 && t.shares && t.settled
		want := fmt.Sprint(i, " skipped")
		switch {
		case again:
			want = fmt.Sprintf("%d outcome %d, last true", i, two.outcome)
			if !worked || one.outcome != Locked || two.start < firstEnded {
				h.fault("tenant %d is taken up again at %v; the first time ended at %v with %d, the first round at %v", i, two.start, one.end, one.outcome, firstEnded)
			}
		case worked:
			want = fmt.Sprintf("%d outcome %d, last false", i, one.outcome)
			if one.outcome == Locked && stop < 0 {
				h.fault("tenant %d is not taken up again", i)
			}
		case settled && h.looked[i] > 0 && results[i] != want: // else the stop came first
			want = fmt.Sprint(i, " settled")
		case stop < 0:
			want = "something, for nothing stopped it"
		}
		if results[i] != want {
			h.fault("result %d is %q, want %q", i, results[i], want)
		}
		if worked && settled {
			h.fault("tenant %d is worked on, and there was nothing to do", i)
		}
		if h.looked[i] > 1 {
			h.fault("tenant %d is looked at %d times", i, h.looked[i])
		}
		if again || worked && one.outcome != Locked || results[i] == fmt.Sprint(i, " settled") {
			final++
		}
		if again && two.outcome != Done || worked && one.outcome == Failed {
			failed++
		}
	}

	// Nobody overtakes an earlier tenant of the source.
	before := time.Duration(0)
	for i := range s.tenants {
		if w, worked := first[i]; worked {
			if w.start < before {
				h.fault("tenant %d begins at %v, and an earlier one at %v", i, w.start, before)
			}
			before = w.start
		}
	}

	// The canaries go one by one, before all others.
	canaryEnds, canaries := time.Duration(0), 0
	for i := range s.tenants {
		w, worked := first[i]
		if !worked {
			continue
		}
		if w.start < canaryEnds {
			h.fault("tenant %d begins at %v, before the end of a canary at %v", i, w.start, canaryEnds)
		}
		if canaries++; canaries <= s.limits.Canaries {
			canaryEnds = w.end
		}
	}

	// After a stop no tenant is begun, and what fails then was under way.
	for _, w := range h.works {
		if stop >= 0 && w.start > stop {
			h.fault("tenant %d begins at %v, after the stop at %v", w.index, w.start, stop)
		}
	}
	if most := s.limits.MaxFailures; most > 0 && failed >= most+s.limits.Workers {
		h.fault("%d failed: more than were under way when it were %d", failed, most)
	}

	// What Progress is told.
	var last Progress
	for _, p := range h.progress {
		if p.Done < last.Done || p.Failed < last.Failed || p.Total < last.Total || last.Counted && !p.Counted || p == last {
			h.fault("progress %+v after %+v", p, last)
		}
		last = p
	}
	if last != (Progress{Done: final, Failed: failed, Total: heard, Counted: complete}) {
		h.fault("the last progress is %+v; %d of %d are done, %d failed", last, final, heard, failed)
	}

	// What Run returns.
	var panicked *PanicError
	switch {
	case !complete && !(stop >= 0 && s.cancel > 0):
		h.fault("the source was not heard to its end, and nothing cut it off")
	case complete && heard != len(s.tenants):
		h.fault("%d results, and the source yielded all its %d tenants", heard, len(s.tenants))
	case complete && (errors.Is(runErr, errSource) != (s.end == sourceErrs) || errors.As(runErr, &panicked) != (s.end == sourcePanics)):
		h.fault("Run = %v", runErr)
	}
}

// stops is when the fleet was stopped, -1 if it wasn't.
func (s schedule) stops(h *history, first map[int]work) time.Duration {
	stop := time.Duration(-1)
	at := func(when time.Duration) {
		if stop < 0 || when < stop {
			stop = when
		}
	}
	if s.cancel > 0 {
		at(s.cancel)
	}
	canaries := 0
	for i := range s.tenants {
		if w, worked := first[i]; worked {
			if canaries++; canaries <= s.limits.Canaries && w.outcome == Failed {
				at(w.end)
			}
		}
	}
	ends := slices.Clone(h.works)
	slices.SortFunc(ends, func(a, b work) int { return cmp.Compare(a.end, b.end) })
	failed, done := 0, 0
	for _, w := range ends {
		if w.outcome == Locked && !w.last {
			continue
		}
		done++
		if w.outcome != Done {
			failed++
		}
		if s.limits.MaxFailures > 0 && failed == s.limits.MaxFailures {
			at(w.end)
		}
		// Nobody knows here when the settled ones were done; without a look it is exact.
		if s.limits.MaxFailureRate > 0 && s.limits.Lookers == 0 && done >= rateSample && float64(failed) > s.limits.MaxFailureRate*float64(done) {
			at(w.end)
		}
	}
	if s.limits.MaxFailureRate > 0 && s.limits.Lookers > 0 && failed > 0 && stop < 0 {
		return time.Hour // it may have been stopped
	}
	return stop
}

// TestEverySchedule plays many fleets, and asserts of each what is promised of all.
func TestEverySchedule(t *testing.T) {
	const seeds = 4000
	for seed := range uint64(seeds) {
		s := random(seed)
		synctest.Test(t, func(t *testing.T) {
			h, results, complete, err := play(s)
			s.check(h, results, complete, err)
			if len(h.errs) > 0 {
				t.Errorf("seed %d, %+v, %d tenants:\n%v", seed, s.limits, len(s.tenants), errors.Join(h.errs...))
			}
		})
		if t.Failed() {
			return
		}
	}
}
