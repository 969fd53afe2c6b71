package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/state"
	"github.com/gooseplus/gooseplus/internal/versions"
)

// view is what a look at one part has found.
type view struct {
	applied []int64 // in the order in which they were applied
	// flagged is true when the state table may have something to say about them: with the lock, that another run is
	// recorded as running or that a step was not finished; otherwise, that the table is there.
	flagged bool
	ready   bool // the version table is there
	absent  bool // it isn't
	// blind is true when there was no answer in time.
	blind bool
	// schemaMissing is true when the schema that the run is bound to is to be created.
	schemaMissing bool
}

// look reads what is applied, in one statement unless a table is missing, and plans from it: whatever is wrong with the
// plan is found before anything is written. It says whether there is something to do, or another run to wait for. A run
// that waits for the lock looks again, and plans again when the other run has ended: that one may have left a migration
// that this process doesn't know.
func (r *run) look(ctx context.Context, goal goal) (needed bool, err error) {
	if err := r.lookSoon(ctx); err != nil {
		// A writer can keep others from reading, but not from trying to get the lock.
		if r.parts[0].view.blind {
			return true, nil
		}
		return false, err
	}
	flagged := r.flagged()
	same := r.progress.looked && !slices.ContainsFunc(r.parts, func(p *part) bool { return !slices.Equal(p.planned, p.view.applied) })
	if r.progress.waited && (flagged || same) {
		return flagged || r.hasSteps(), nil
	}
	r.progress.looked = true
	var faults []error
	for _, p := range r.parts {
		faults = append(faults, p.target.named(p.plan(ctx, p.view.applied, goal)))
	}
	if err := allOf(faults); err != nil {
		return false, err
	}
	needed = r.hasSteps()
	if needed && r.empty() {
		if err := r.vet(ctx); err != nil {
			return false, err
		}
	}
	r.progress.vetted = true
	if flagged && !needed && !r.options.globalLock {
		return false, r.dirtyNow(ctx)
	}
	return needed || flagged, nil
}

// flagged says whether the state table may have something to say.
func (r *run) flagged() bool {
	return slices.ContainsFunc(r.parts, func(p *part) bool { return p.view.flagged })
}

// empty says whether nothing is applied. A part that has nothing applied beside one that has is only new.
func (r *run) empty() bool {
	return !slices.ContainsFunc(r.parts, func(p *part) bool { return len(p.view.applied) > 0 })
}

// lookSoon looks at all parts. What keeps a run that is to have the lock from an answer, such as the holder's ALTER
// TABLE, it would wait for without knowing whom it waits for.
func (r *run) lookSoon(ctx context.Context) error {
	if !r.options.globalLock || r.whole.state == nil {
		return r.lookAtAll(ctx)
	}
	soon, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	err := r.lookAtAll(soon)
	if err != nil && (r.whole.oneWriter() || soon.Err() != nil && ctx.Err() == nil) {
		for _, p := range r.parts {
			p.view.blind = true
		}
	}
	return err
}

func (r *run) lookAtAll(ctx context.Context) error {
	if together, err := r.lookTogether(ctx); together || err != nil {
		return err
	}
	for _, p := range r.parts {
		if err := p.look(ctx); err != nil {
			return p.target.named(p.target.tableError(ctx, err))
		}
	}
	return nil
}

// lookTogether looks at all parts in one statement, if there are several whose tables are there.
func (r *run) lookTogether(ctx context.Context) (together bool, err error) {
	if len(r.parts) == 1 || r.whole.state == nil || slices.ContainsFunc(r.parts, func(p *part) bool { return p.view.absent }) {
		return false, nil
	}
	var tables []*versions.Table
	var flags []string
	for _, p := range r.parts {
		tables, flags = append(tables, p.target.table), append(flags, p.flag().Query)
	}
	looks, err := versions.AppliedTogether(ctx, r.db.own, tables, flags)
	if err != nil {
		return false, nil // each may say what is wrong
	}
	for i, p := range r.parts {
		p.view = view{applied: looks[i].Applied, flagged: looks[i].Flagged, ready: looks[i].Ready}
		p.end.to = plan.Newest(p.view.applied)
		p.end.from = p.end.to
	}
	if slices.ContainsFunc(r.parts, func(p *part) bool { return p.view.ready && !p.view.flagged }) {
		if err := r.hidden(ctx); err != nil {
			return true, r.whole.stateError(ctx, err)
		}
	}
	return true, nil
}

// look looks at this part alone.
func (p *part) look(ctx context.Context) (err error) {
	v, t, db := view{}, p.target, p.run.db.own
	if t.state == nil {
		v.applied, v.ready, err = t.table.Applied(ctx, db)
	} else {
		v.applied, v.flagged, v.ready, err = t.table.AppliedAndFlag(ctx, db, p.flag(), p.view.absent)
		if err == nil && v.ready && !v.flagged {
			err = p.run.hidden(ctx)
		}
	}
	v.absent = err == nil && !v.ready
	if v.absent && t.state != nil && !p.run.options.globalLock {
		v.flagged, err = t.state.IsThere(ctx, db) // which a version table without rows can't tell
	}
	if err == nil && v.absent && p.run.options.bound {
		v.schemaMissing, err = t.schemaMissing(ctx, db)
	}
	p.view, p.end.to = v, -1
	if err == nil {
		p.end.to = plan.Newest(v.applied)
		p.end.from = p.end.to
	}
	return err
}

// hidden is the refusal to read the state table where, without the lock, the look has not found one.
func (r *run) hidden(ctx context.Context) error {
	if r.options.globalLock {
		return nil // the look has read it
	}
	return r.whole.state.Hidden(ctx, r.db.own)
}

// flag is what a look asks of the state table.
func (p *part) flag() versions.Flag {
	if !p.run.options.globalLock {
		return versions.Flag{Query: p.target.state.There()}
	}
	return versions.Flag{Query: p.target.busy(), Missing: func(ctx context.Context) (bool, error) {
		return p.target.state.Missing(ctx, p.run.db.own)
	}}
}

// dirtyNow refuses even a run that has nothing to do on a database that is dirty.
func (r *run) dirtyNow(ctx context.Context) error {
	facts, err := r.whole.state.ReadThere(ctx, r.db.own)
	if err != nil {
		return r.whole.stateError(ctx, err)
	}
	var faults []error
	for _, p := range r.parts {
		faults = append(faults, p.target.named(p.dirty(unfinished(p.target.own(facts), p.view.applied))))
	}
	return allOf(faults)
}

// preview returns the steps of all parts, in order, and the errors of a run before it touches anything.
func (r *run) preview(ctx context.Context, goal goal) (steps []Step, err error) {
	defer r.disconnect(ctx)
	if _, err := r.look(ctx, goal); err != nil {
		return nil, err
	}
	facts, err := r.facts(ctx)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, p := range r.parts {
		faults = append(faults, p.target.named(p.admit(ctx, p.target.own(facts), p.planned)))
		steps = append(steps, p.publicSteps()...)
	}
	if err := allOf(faults); err != nil {
		return nil, err
	}
	return steps, nil
}

// makeTables makes sure of the version tables.
func (r *run) makeTables(ctx context.Context) error {
	for _, p := range r.parts {
		if p.view.blind { // now nobody is in the way
			if err := p.look(ctx); err != nil {
				return p.target.named(p.target.tableError(ctx, err))
			}
		}
	}
	missing := slices.ContainsFunc(r.parts, func(p *part) bool { return !p.view.ready })
	if missing && !r.progress.vetted && r.empty() { // the look has failed
		if err := r.vet(ctx); err != nil {
			return err
		}
	}
	for _, p := range r.parts {
		if p.view.ready {
			continue
		}
		if err := p.target.table.Create(ctx, r.db.own); err != nil {
			return p.target.named(p.target.tableError(ctx, err))
		}
	}
	return nil
}

// facts reads what the state table remembers.
func (r *run) facts(ctx context.Context) (facts state.Facts, err error) {
	switch {
	case r.whole.state == nil:
		return facts, nil
	case r.holding != nil || r.flagged() && !r.options.globalLock:
		facts, err = r.whole.state.ReadThere(ctx, r.db.own)
	case r.options.globalLock:
		facts, err = r.whole.state.Read(ctx, r.db.own)
	} // Without a lock, a table that was not there at the first look has nothing to say.
	if err != nil {
		return facts, r.whole.stateError(ctx, err)
	}
	return facts, nil
}

// A goal says what a run has to do, of the known and the applied versions: which to undo, in that
// order, and which to apply after that, lowest first. Its error refuses the run.
type goal func(known, applied []int64) (down, up []int64, err error)

// plan decides the steps that lead from the applied versions to the goal: down first, then up.
func (p *part) plan(ctx context.Context, applied []int64, goal goal) error {
	p.planned, p.end.from = applied, plan.Newest(applied)
	known := p.target.set.Versions()
	down, pending, err := goal(known, applied)
	if err != nil {
		return err
	}
	if unknown, _ := plan.Diff(down, known); len(unknown) > 0 {
		return fmt.Errorf("%w: versions %v are applied, and no migration of this configuration has them", ErrIrreversible, unknown)
	}
	remaining, _ := plan.Diff(applied, down)
	if late := plan.Late(pending, remaining); p.run.options.strictOrder && len(late) > 0 {
		return fmt.Errorf("%w: versions %v are pending and lower than %d, the newest applied (WithStrictOrder)",
			ErrMergeMigrations, late, plan.Newest(remaining))
	}
	if err := errors.Join(p.load(ctx, down, directionDown), p.load(ctx, pending, directionUp)); err != nil {
		return fmt.Errorf("%w: %w", ErrRollForward, err)
	}
	p.steps = nil
	for _, v := range down {
		p.steps = append(p.steps, p.step(v).down())
	}
	for _, v := range pending {
		p.steps = append(p.steps, p.step(v))
	}
	return errors.Join(p.reversible(), p.transactional(), p.connections())
}

// reversible refuses steps down that goose would report as a success and that would undo nothing.
func (p *part) reversible() error {
	var faults []error
	for _, s := range p.steps {
		if s.Direction == directionDown && !s.Reversible {
			faults = append(faults, p.irreversible(s))
		}
	}
	return errors.Join(faults...)
}

// transactional refuses steps that can't be part of the run's one transaction.
func (p *part) transactional() error {
	if !p.run.options.oneTransaction() {
		return nil
	}
	var faults []error
	for _, s := range p.steps {
		if !s.Transactional {
			faults = append(faults, fmt.Errorf("WithRollback(RollbackTransaction): migration %s %s doesn't run in a transaction",
				ref(s.Version, s.Source), s.Direction))
		}
	}
	return errors.Join(faults...)
}

// connections refuses a pool in which the run would wait for a connection for ever. The migrations work on one. The
// lock has one for itself, and notes on one more which connection a step is on that no row lock covers.
func (p *part) connections() error {
	limit := p.run.db.own.Stats().MaxOpenConnections
	need, why := 1, ""
	if p.run.options.globalLock && !p.target.oneWriter() && len(p.steps) > 0 {
		need, why = need+1, "the lock takes a connection for itself"
		if slices.ContainsFunc(p.steps, unfenced) {
			need, why = need+1, "the lock takes a connection for itself, and one for steps that are not transactional"
		}
	}
	if limit == 0 || limit >= need {
		return nil
	}
	return fmt.Errorf("this run needs %d connections, and the pool has SetMaxOpenConns(%d): %s", need, limit, why)
}
