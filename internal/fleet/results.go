package fleet

import (
	"iter"
	"sync"
)

// told is the progress that was told last.
type told struct {
	mu   sync.Mutex // taken before Fleet.mu: nobody waits for an observer without anything to tell it
	last Progress   // guarded by mu
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

// Results ranges over the results in the order of the source. It waits for each until it is final. When Run has returned,
// it yields the results of tenants that were not begun as well.
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
	for !f.over && (i >= len(f.records) || f.records[i].state != done) {
		f.changed.Wait()
	}
	if i >= len(f.records) {
		return result, false
	}
	return f.records[i].result, true
}

// Complete says whether the source yielded all that it has. It is for a fleet that is over.
func (f *Fleet[T, R]) Complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count.Counted
}

// GaveUp says whether a failed canary, or too many failures, stopped the work. Failures that the end of the context brings
// don't count. It is for a fleet that is over.
func (f *Fleet[T, R]) GaveUp() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gaveUp
}
