package gooseplus

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/watch"
)

// lookersRoom is how many look at once, with a connection each.
func (f *fleet) lookersRoom() int {
	if f.m.db == nil {
		return 1
	}
	most := min(runtime.GOMAXPROCS(0), maxLookers)
	if limit := f.m.db.Stats().MaxOpenConnections; limit > 0 {
		most = min(most, limit-f.room()*f.m.options.mostConnections())
	}
	return max(1, most)
}

// maxLookers bounds the look: what it takes is the server's work.
const maxLookers = 4

// lookAtAll sorts out the tenants that have nothing to do, many at once, while others are worked on.
func (f *fleet) lookAtAll(ctx context.Context) {
	for {
		batch := f.batch()
		if batch == nil {
			return
		}
		f.lookAt(ctx, batch)
	}
}

// batch waits for tenants that have arrived. nil means that there are no more.
func (f *fleet) batch() []job {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.arrived) == 0 && !f.ended && !f.stopped {
		f.more.Wait()
	}
	if len(f.arrived) == 0 || f.stopped {
		f.lookers--
		f.more.Broadcast()
		return nil
	}
	share := max((len(f.arrived)+f.lookers-1)/f.lookers, history.SweepBatch/4)
	n := min(len(f.arrived), share, history.SweepBatch)
	batch := f.arrived[:n:n]
	f.arrived = f.arrived[n:]
	f.looking = append(f.looking, batch[0].index)
	return batch
}

// inTurn says whether the next tenant to be worked on is known: the canaries are the first of the source, whoever
// is the first to have looked at some.
func (f *fleet) inTurn() bool {
	if len(f.waiting) == 0 {
		return false
	}
	next := f.waiting[0].index
	return (len(f.arrived) == 0 || next < f.arrived[0].index) &&
		!slices.ContainsFunc(f.looking, func(first int) bool { return first < next })
}

func (f *fleet) lookAt(ctx context.Context, batch []job) {
	names := make([]string, len(batch))
	for i, j := range batch {
		names[i] = j.tenant.Schema
	}
	var found [][]*history.Swept // of each namespace
	version, err := f.known.whole.dialect.ParseName(f.m.options.versionTable)
	if err == nil && version.Schema != "" {
		err = errors.New("the version table has a schema of its own") // a fault, of which the runs tell
	}
	for _, part := range f.known.parts {
		if err == nil {
			var swept []*history.Swept
			table := inTable(version.Table, part.set.Namespace)
			swept, err = history.Sweep(ctx, f.db.own, f.known.whole.state, table, f.question(part), names)
			found = append(found, swept)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		f.looking = slices.DeleteFunc(f.looking, func(first int) bool { return first == batch[0].index })
		slices.SortFunc(f.waiting, func(a, b job) int { return cmp.Compare(a.index, b.index) })
		f.more.Broadcast()
	}()
	if err != nil { // each run says what is wrong by itself
		f.waiting = append(f.waiting, batch...)
		return
	}
	have := make(map[int64]bool)
	for i, j := range batch {
		newest, pending := int64(0), 0
		for n, part := range f.known.parts {
			s := found[n][i]
			if s == nil || !s.Schema || !s.Ready || s.Flagged {
				pending = unsettled
			} else if !part.set.UpToDate(have, s.Applied) {
				pending = f.survey.count(ctx, f, s.Applied)
			}
			if pending == unsettled {
				break
			}
			newest = max(newest, plan.Newest(s.Applied))
		}
		switch {
		case pending == unsettled:
			f.waiting = append(f.waiting, j)
		case f.survey != nil:
			f.survey.found(watch.Found{Tenant: j.tenant.name(), Version: newest, Pending: pending})
			f.finish(j, TenantResult{Name: j.tenant.name(), State: TenantMigrated, From: newest, To: newest})
		default:
			f.finish(j, TenantResult{Name: j.tenant.name(), State: TenantUpToDate, From: newest, To: newest})
		}
	}
	f.progress()
}

// question is what the look asks of the state table: an answer makes a tenant one to look at more closely. A run that was
// cut off has to be declared dead, as by a run alone.
func (f *fleet) question(part *target) history.Question {
	q := history.Question{Runs: f.m.options.globalLock, Namespace: part.set.Namespace}
	if f.survey != nil {
		q.Environments = f.m.options.refusing()
	}
	return q
}
