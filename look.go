package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// view is what a look at one part has found.
type view struct {
	applied []int64 // in the order in which they were applied
	// flagged is true when the state table may have something to say about them: with the lock, that another run is
	// recorded as running or that a step was not finished; otherwise, that the table is there.
	flagged bool
	state   bool         // the state table is there, as far as the look can tell
	sums    history.Sums // of the rows of the applied versions in it
	ready   bool         // the version table is there
	absent  bool         // it isn't
	// blind is true when there was no answer in time.
	blind bool
	// schemaMissing is true when the schema that the run is bound to is to be created.
	schemaMissing bool
}

// looking is how a run finds out what there is to do.
type looking struct {
	run     *run
	planned bool // the steps are planned from a look
	held    bool // the run has the lock, or had it: it looks for as long as it may take
	vetted  bool // under the lock
	others  others
	preview bool // the run wants no lock: nothing but its context limits its look
}

// look reads what is applied, in one statement unless a table is missing, and plans from it: whatever is wrong with the
// plan is found before anything is written. It says whether there is something to do, or another run to wait for. A run
// that waits for the lock looks again, and plans again when the other run has ended: that one may have left a migration
// that this process doesn't know.
func (l *looking) look(ctx context.Context, goals goals) (needed bool, err error) {
	r := l.run
	summed := l.sumFiles()
	err = l.soon(ctx)
	summed()
	if err != nil {
		// A writer can keep others from reading, but not from trying to get the lock.
		if r.parts[0].view.blind {
			return true, nil
		}
		return false, err
	}
	flagged := r.parts.flagged()
	same := l.planned && !r.parts.any(func(p *part) bool { return !slices.Equal(p.planned, p.view.applied) })
	if r.progress.waited && (flagged && !l.held || same) {
		return flagged || r.parts.haveSteps(), nil
	}
	l.planned = true
	var faults []error
	for _, p := range r.parts {
		faults = append(faults, p.target.named(p.plan(ctx, p.view.applied, goals.of(p))))
	}
	if err := allOf(faults); err != nil {
		return false, err
	}
	needed = r.parts.haveSteps()
	if err := r.parts.compareSums(ctx); err != nil {
		return false, err
	}
	if needed && r.parts.empty() && (!r.options.globalLock || l.preview) {
		if err := l.vet(ctx); err != nil {
			return false, err
		}
	}
	if needed || !flagged || r.options.globalLock {
		return needed || flagged, nil
	}
	// Even a run that has nothing to do is refused on a database that is dirty.
	facts, err := l.facts(ctx)
	if err != nil {
		return false, err
	}
	faults = nil
	for _, p := range r.parts {
		faults = append(faults, p.target.named(p.admission.dirty(ctx, unfinished(p.target.own(facts), p.view.applied), p.view.applied)))
	}
	return false, allOf(faults)
}

// sumFiles makes the sums of the files that will be compared, while the server answers. wait returns when they are made.
func (l *looking) sumFiles() (wait func()) {
	var all sync.WaitGroup
	for _, p := range l.run.parts {
		if (memory{p}).remembers() && l.run.options.checksums != Ignore {
			all.Go(func() {
				defer func() { _ = recover() }() // of the application's file system, which is asked again
				p.target.set.SumAll()
			})
		}
	}
	return all.Wait
}

// soon looks at all parts. A run that wants the lock gives up after lookLimit: the holder's ALTER TABLE may block the
// version table, and the waiting run could not say for whom it waits.
func (l *looking) soon(ctx context.Context) error {
	r := l.run
	if !r.options.globalLock || r.whole.state == nil || l.preview || l.held {
		for began := time.Now(); ; { // where one writes, all others may have to wait for a moment
			err := l.all(ctx)
			if err == nil || !r.whole.oneWriter() || !r.whole.dialect.Contention(err) || time.Since(began) > upgradeLimit {
				return err
			}
			if !wait.Sleep(ctx, wait.Poll(time.Since(began))) {
				return err
			}
		}
	}
	soon, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	err := l.all(soon)
	if err != nil && (r.whole.oneWriter() || soon.Err() != nil && ctx.Err() == nil) {
		for _, p := range r.parts {
			p.view.blind = true
		}
	}
	return err
}

func (l *looking) all(ctx context.Context) error {
	if together, err := l.together(ctx); together || err != nil {
		return err
	}
	for _, p := range l.run.parts {
		if err := p.look(ctx); err != nil {
			return p.target.named(p.target.tableError(ctx, err))
		}
	}
	return nil
}

// together looks at all parts in one statement, if there are several whose tables are there.
func (l *looking) together(ctx context.Context) (together bool, err error) {
	r := l.run
	if len(r.parts) == 1 || r.whole.state == nil || r.parts.any(func(p *part) bool { return p.view.absent }) {
		return false, nil
	}
	var tables []*history.Versions
	var questions []history.Question
	for _, p := range r.parts {
		tables, questions = append(tables, p.target.table), append(questions, p.target.question(r.options))
	}
	looks, err := history.AppliedTogether(ctx, r.db.own, r.whole.state, tables, questions)
	if err != nil {
		return false, nil // a look at each part says which one is wrong
	}
	for i, p := range r.parts {
		p.view = viewOf(looks[i])
		p.end.to = plan.Newest(p.view.applied)
		p.end.from = p.end.to
	}
	for i, p := range r.parts {
		if p.view.ready && !p.view.flagged {
			if err := r.whole.hidden(ctx, r.db.own, r.options, looks[i]); err != nil {
				return true, r.whole.stateError(ctx, err)
			}
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
		var look history.Look
		look, err = t.table.AppliedAndFlag(ctx, db, t.state, t.question(p.run.options), p.view.absent)
		v = viewOf(look)
		if err == nil && v.ready && !v.flagged {
			err = t.hidden(ctx, db, p.run.options, look)
		}
	}
	v.absent = err == nil && !v.ready
	if v.absent && t.state != nil && !p.run.options.globalLock {
		v.flagged, err = t.state.IsThere(ctx, db) // which a version table without rows can't tell
		v.state = v.flagged
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

func viewOf(l history.Look) view {
	return view{applied: l.Applied, flagged: l.Flagged, ready: l.Ready, state: l.State, sums: l.Sums}
}

// hidden is the refusal to read the state table where the look has asked only whether there is one, and has found none, or to show
// what is in it.
func (t *target) hidden(ctx context.Context, db *sql.DB, o *options, look history.Look) error {
	switch {
	case t.question(o).There:
		return t.state.Hidden(ctx, db)
	case look.Bare():
		return t.state.RowsHidden(ctx, db)
	}
	return nil
}

// steps returns the steps of all parts, in order, and the errors of a run before it touches anything.
func (l *looking) steps(ctx context.Context, goal goal) (steps []Step, err error) {
	r := l.run
	defer r.disconnect(ctx)
	l.preview = true // a look that was cut off must not be told as nothing to do
	if _, err := l.look(ctx, everywhere(goal)); err != nil {
		return nil, err
	}
	if r.parts.haveSteps() {
		if err := r.sessions.findPath(ctx); err != nil {
			return nil, err
		}
	}
	facts, err := l.facts(ctx)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, p := range r.parts {
		faults = append(faults, p.target.named(p.admission.admit(ctx, p.target.own(facts), p.planned)))
		steps = append(steps, p.steps.public()...)
	}
	if err := allOf(faults); err != nil {
		return nil, err
	}
	return steps, nil
}

// makeTables makes sure of the version tables.
func (l *looking) makeTables(ctx context.Context) error {
	r := l.run
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
func (l *looking) facts(ctx context.Context) (facts history.Facts, err error) {
	r := l.run
	there := r.holding != nil || !r.options.globalLock && r.parts.any(func(p *part) bool { return p.view.flagged || p.view.state })
	if r.whole.state == nil || !there && !r.options.globalLock || r.holding.isFresh() {
		return facts, nil // without a lock, a table that was not there at the first look has nothing to say
	}
	read := r.whole.state.Read
	if there {
		read = r.whole.state.ReadThere
	}
	if facts, err = read(ctx, r.db.own); err != nil {
		return facts, r.whole.stateError(ctx, err)
	}
	return facts, nil
}

func unknownError(known, unknown []int64) error {
	return fmt.Errorf("%w: %v; the program's newest is %d: is it an older release, or is an environment missing?", ErrUnknownVersion, unknown, plan.Newest(known))
}

// unknown warns of applied versions that have no migration here, once in a run, or refuses them.
func (p memory) unknown(known, applied []int64) error {
	policy := p.run.options.unknown
	unknown, _ := plan.Diff(applied, known)
	if policy == Ignore || len(unknown) == 0 {
		return nil
	}
	err := unknownError(known, unknown)
	if policy == Refuse {
		return fmt.Errorf("%w Nothing was touched (WithUnknownVersions)", err)
	}
	if !p.admission.warned {
		p.admission.warned = true
		p.events.send(Warning{Message: err.Error()})
	}
	return nil
}

// question is what a look asks of the state table.
func (t *target) question(o *options) history.Question {
	if !o.globalLock && !o.keepsHistory() {
		return history.Question{There: true}
	}
	return history.Question{Runs: o.globalLock, Namespace: t.set.Namespace, Sums: o.keepsHistory()}
}
