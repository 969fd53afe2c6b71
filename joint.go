package gooseplus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/session"
)

// joint is one run over several namespaces: a run on each, which has its own row in the state table and its
// own starting point, under one lock, one deadline, and with one way back. It is used by one goroutine.
type joint struct {
	lead    *run           // looks after the lock, and has no migrations
	parts   []*run         // in the order of the namespaces
	working []*run         // those of them that have something to do, or to undo if another one fails
	failed  *run           // the one that ended the run, nil if none did by itself
	ended   map[*run]error // how the way back ended for each
	begun   bool           // the first step is next
}

// migrateAll is migrate over all namespaces. Its numbered lines are the same stages.
func (m *Migrator) migrateAll(ctx context.Context, to goal) error {
	// 1. Resolve.
	return m.runAll(ctx, func(ctx context.Context, j *joint) error {
		// 2. Look.
		look := func(ctx context.Context) (bool, error) { return j.look(ctx, to) }
		if needed, err := look(ctx); err != nil || !needed {
			return err
		}
		// 3. Hold the lock, and under it make sure of the version tables.
		return j.alone(ctx, look, func(ctx context.Context) error {
			if err := j.makeTables(ctx); err != nil {
				return err
			}
			// 4. Read the starting points and plan from them: nothing is begun before all are found to be in order.
			if err := j.begin(ctx, to); err != nil || len(j.working) == 0 {
				return j.settle(ctx, err)
			}
			// 5. Apply one namespace after the other, and verify all.
			err := j.apply(ctx)
			if err == nil {
				err = j.verify(ctx)
			}
			// 6. and 7. On failure, the way back of all, which is verified too.
			if err != nil {
				err = j.wayBack(ctx, err)
			}
			return j.settle(ctx, err)
		})
		// 8. Record the outcomes and release.
	})
}

// runAll is run for all namespaces.
func (m *Migrator) runAll(ctx context.Context, what func(context.Context, *joint) error) (err error) {
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return m.refuse(ctx, err)
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	j := m.newJoint(known, db, m.newStream(ctx))
	for _, w := range known.warnings {
		j.lead.events.send(Warning{Message: w})
	}
	for _, r := range j.parts {
		for _, w := range r.part.set.Warnings {
			r.events.send(Warning{Message: w})
		}
	}
	defer func() {
		j.finish(ctx, err)
		if m.ended != nil {
			m.ended(j.lead.ending())
		}
	}()
	return m.named(what(ctx, j))
}

func (m *Migrator) newJoint(known *targets, db site, events *stream) *joint {
	j := &joint{lead: m.newRun(known.whole, db, events), ended: make(map[*run]error)}
	for i, part := range known.parts {
		r := m.newRun(part, db, events.share(m.options.tenant, part.set.Namespace))
		r.started = j.lead.started.Add(time.Duration(i) * time.Microsecond) // what is recorded of them is in their order
		j.parts = append(j.parts, r)
	}
	return j
}

// of is what is true of one part when the run ends with err.
func (j *joint) of(r *run, err error) error {
	if ended, ok := j.ended[r]; ok {
		return ended
	}
	return err
}

// finish tells the observers how the run ended, and sums up.
func (j *joint) finish(ctx context.Context, err error) {
	unread, unfound := false, false
	for _, r := range j.parts {
		r.disconnect(ctx)
		r.finish(j.of(r, err))
		j.lead.from, unread = max(j.lead.from, r.from), unread || r.to < 0
		unfound = unfound || r.from < 0
		j.lead.to, j.lead.begun = max(j.lead.to, r.to), j.begun
		j.lead.kept, j.lead.off = j.lead.kept+r.kept, j.lead.off+r.off
	}
	if unread {
		j.lead.to = -1
	}
	if unfound {
		j.lead.from = -1
	}
	j.lead.disconnect(ctx)
}

// look is run.look at all of them, in one statement unless a table is missing.
func (j *joint) look(ctx context.Context, to goal) (needed bool, err error) {
	if err := j.quickly(ctx); err != nil {
		if j.lead.blind {
			return true, nil // as in run.look
		}
		return false, err
	}
	j.lead.flagged, j.lead.schemaMissing = false, false
	var faults []error
	for _, r := range j.parts {
		j.lead.flagged = j.lead.flagged || r.flagged
		j.lead.schemaMissing = j.lead.schemaMissing || r.schemaMissing
	}
	if waits := j.lead.announced; waits && j.lead.flagged {
		return true, nil // as in run.look
	}
	for _, r := range j.parts {
		faults = append(faults, r.part.named(r.plan(ctx, r.seen, to)))
		needed = needed || len(r.steps) > 0
	}
	if err := errors.Join(faults...); err != nil {
		return false, err
	}
	if err := j.vet(ctx, needed); err != nil {
		return false, err
	}
	switch {
	case needed || !j.lead.flagged:
		return needed, nil
	case j.lead.options.globalLock:
		return true, nil
	}
	return false, j.dirtyNow(ctx)
}

// vet is run.vet for all. One that has nothing applied beside one that has is only new.
func (j *joint) vet(ctx context.Context, needed bool) error {
	for _, r := range j.parts {
		r.vetted = true
		needed = needed && len(r.seen) == 0
	}
	if !needed {
		return nil
	}
	return j.lead.vet(ctx)
}

// quickly is run.quickly for all of them.
func (j *joint) quickly(ctx context.Context) error {
	if !j.lead.options.globalLock || j.lead.part.state == nil {
		return j.applied(ctx)
	}
	soon, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	err := j.applied(soon)
	j.lead.blind = err != nil && (j.lead.oneWriter() || soon.Err() != nil && ctx.Err() == nil)
	for _, r := range j.parts {
		r.blind = j.lead.blind
	}
	return err
}

// applied reads what is applied in each.
func (j *joint) applied(ctx context.Context) error {
	var tables []*history.Versions
	var questions []history.Question
	for _, r := range j.parts {
		if r.part.state == nil || r.absent {
			return j.appliedOneByOne(ctx)
		}
		tables, questions = append(tables, r.part.table), append(questions, r.question())
	}
	looks, err := history.AppliedTogether(ctx, j.lead.db, j.lead.part.state, tables, questions)
	if err != nil {
		return j.appliedOneByOne(ctx)
	}
	for i, r := range j.parts {
		r.seen, r.flagged, r.ready, r.schemaMissing = looks[i].Applied, looks[i].Flagged, looks[i].Ready, false
		r.to = plan.Newest(r.seen)
		r.from = r.to
	}
	if i := slices.IndexFunc(j.parts, func(r *run) bool { return r.ready && !r.flagged }); i >= 0 {
		if err := j.parts[i].hidden(ctx); err != nil {
			return j.lead.part.stateError(ctx, err)
		}
	}
	return nil
}

func (j *joint) appliedOneByOne(ctx context.Context) (err error) {
	for _, r := range j.parts {
		if r.seen, r.flagged, err = r.applied(ctx); err != nil {
			return r.part.named(r.part.tableError(ctx, err))
		}
		r.from = r.to
	}
	return nil
}

// dirtyNow is the refusal to do even nothing while one of them is dirty.
func (j *joint) dirtyNow(ctx context.Context) error {
	facts, err := j.lead.part.state.ReadThere(ctx, j.lead.db)
	if err != nil {
		return j.lead.part.stateError(ctx, err)
	}
	var faults []error
	for _, r := range j.parts {
		faults = append(faults, r.part.named(r.dirty(unfinished(r.part.own(facts), r.seen))))
	}
	return errors.Join(faults...)
}

// planAll returns the steps of all, in order.
func (j *joint) planAll(ctx context.Context, to goal) (steps []Step, err error) {
	defer func() {
		for _, r := range j.parts {
			r.disconnect(ctx)
		}
	}()
	if _, err := j.look(ctx, to); err != nil {
		return nil, err
	}
	facts, err := j.lead.facts(ctx)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, r := range j.parts {
		faults = append(faults, r.part.named(r.admit(ctx, r.part.own(facts), r.seen)))
		steps = append(steps, r.planned()...)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return steps, nil
}

// alone is run.alone: the lead takes the lock, and all of them have it.
func (j *joint) alone(ctx context.Context, needed func(context.Context) (bool, error), what func(context.Context) error) error {
	return j.lead.alone(ctx, needed, func(ctx context.Context) (err error) {
		for _, r := range j.parts {
			r.lock, r.stateReady, r.schemaMissing = j.lead.lock, j.lead.stateReady, false
			if r.lock != nil {
				r.locate(r.lock.held)
			}
			r.inherited = slices.DeleteFunc(slices.Clone(j.lead.inherited), func(dead history.Run) bool { return dead.Namespace != r.part.set.Namespace })
		}
		if j.lead.lock != nil {
			defer func() { err = j.recordOutcomes(j.lead.lock, err) }()
		}
		return what(ctx)
	})
}

func (j *joint) makeTables(ctx context.Context) error {
	for _, r := range j.parts {
		if err := r.makeTable(ctx); err != nil {
			return r.part.named(err)
		}
	}
	return nil
}

// begin is run.begin for all, each stage before the next. One with nothing to do takes over the starting point
// of its own runs that were cut off, if there are such: if another one fails now, what these did is undone too.
func (j *joint) begin(ctx context.Context, to goal) error {
	if err := j.judge(ctx, to); err != nil {
		return err
	}
	needed := slices.ContainsFunc(j.parts, func(r *run) bool { return len(r.steps)+len(r.unfinished) > 0 })
	for _, r := range j.parts {
		switch {
		case !needed:
			if err := r.giveUp(ctx); err != nil {
				return r.part.named(err)
			}
		case len(r.steps)+len(r.unfinished)+len(r.inherited) > 0 && len(r.part.set.List) > 0:
			j.working = append(j.working, r)
		}
	}
	for _, stage := range []func(*run) error{
		func(r *run) error { return r.enter(ctx) },
		func(r *run) error { return j.connect(ctx, r) },
		func(r *run) error { return r.resume(ctx) },
	} {
		for _, r := range j.working {
			if err := stage(r); err != nil {
				return r.part.named(err)
			}
		}
	}
	j.begun = true
	return nil
}

// judge reads all starting points, then what the state table remembers, and reports every refusal.
func (j *joint) judge(ctx context.Context, to goal) error {
	var faults []error
	for _, r := range j.parts {
		err := r.part.named(r.readStart(ctx, to))
		if errors.Is(err, ErrMigrationTable) {
			return err
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	facts, err := j.lead.facts(ctx)
	if err != nil {
		return err
	}
	for _, r := range j.parts {
		faults = append(faults, r.part.named(r.judge(ctx, facts)))
	}
	return errors.Join(faults...)
}

// connect gives one of them its session. With RollbackTransaction all have the same one, whose transaction
// locks the rows of all.
func (j *joint) connect(ctx context.Context, r *run) error {
	if !r.options.oneTransaction() {
		return r.connect(ctx)
	}
	if j.lead.session == nil {
		var cfg session.Config
		for _, r := range j.working {
			if r.lock != nil {
				cfg.OnBegin = append(cfg.OnBegin, r.fence().OnBegin...)
			}
		}
		s, err := j.lead.newSession(ctx, cfg)
		if err != nil {
			return err
		}
		j.lead.session = s
	}
	return r.use(j.lead.session)
}

// apply runs the steps of each, up to the first that fails.
func (j *joint) apply(ctx context.Context) error {
	for _, r := range j.working {
		if len(r.steps) == 0 {
			continue
		}
		if err := r.apply(ctx); err != nil {
			j.failed = r
			return r.part.named(err)
		}
	}
	return nil
}

// verify is run.verifyAll for all.
func (j *joint) verify(ctx context.Context) error {
	db := j.lead.db
	if j.lead.session != nil {
		db = j.lead.session.DB()
	}
	for _, r := range j.working {
		if err := r.verify(ctx, db); err != nil {
			return r.part.named(err)
		}
	}
	if j.lead.session == nil {
		return nil
	}
	// If the answer is lost, any of them that has applied something tells of all.
	i := max(0, slices.IndexFunc(j.working, func(r *run) bool { return len(r.mine) > 0 }))
	return j.working[i].part.named(j.working[i].commit(ctx))
}
