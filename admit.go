package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// admission is what the state table says of a part that may begin.
type admission struct {
	part       *part
	unfinished []history.Step // that were cut off with their run, and that this one clears away
	protected  []history.Mark // the versions below which nothing goes
	adopted    bool           // a person has decided what the history of another tool means
	warned     bool           // the observers know of unknown versions
	told       []string       // what the observers know of edited files
}

// admit refuses what must not be done on this database, for all parts, and forgets the marks of steps that were finished.
func (r *run) admit(ctx context.Context) error {
	facts, err := r.looking.facts(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, p := range r.parts {
		if len(facts.Running) > 0 {
			p.warnOther("it is recorded as running, with the lock")
		}
		faults = append(faults, p.target.named(p.admission.judge(ctx, p.target.own(facts))))
	}
	return allOf(faults)
}

// judge refuses a part that must not begin. Otherwise it removes the marks of steps that were finished.
func (a *admission) judge(ctx context.Context, facts history.Facts) error {
	p := a.part
	if err := a.admit(ctx, facts, p.found.Applied); err != nil {
		return err
	}
	for _, s := range facts.Dirty {
		if !finished(s, p.found.Applied) {
			continue
		}
		if err := a.forget(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// admit refuses what must not be done on this database. Steps that were not finished, and that the run
// can clear away, are left to it.
func (a *admission) admit(ctx context.Context, facts history.Facts, applied []int64) error {
	p := a.part
	dirty := unfinished(facts, applied)
	if p.run.holding == nil && p.run.options.globalLock { // a step of the running run is no fault
		dirty = slices.DeleteFunc(dirty, func(s history.Step) bool { return slices.Contains(facts.Running, s.Run) })
	}
	a.unfinished = slices.DeleteFunc(slices.Clone(dirty), func(s history.Step) bool { return !a.clearable(ctx, s) })
	if len(a.unfinished) < len(dirty) {
		return a.dirty(ctx, dirty, applied)
	}
	if len(p.steps) == 0 {
		return nil
	}
	if err := p.run.stamps.unfamiliar(p.run.options, facts); err != nil {
		return err
	}
	return a.protect(facts)
}

// protect refuses steps that go below a protected version.
func (a *admission) protect(facts history.Facts) error {
	a.protected, a.adopted = facts.Protected, facts.Adopted
	var faults []error
	for _, s := range a.part.steps {
		if s.Direction == directionDown {
			faults = append(faults, a.versionLocked(s, a.part.planned))
		}
	}
	return errors.Join(faults...)
}

// versionLocked refuses a step down that goes below one of the applied versions, if that is
// protected.
func (a *admission) versionLocked(down plannedStep, applied []int64) error {
	for _, mark := range a.protected {
		if v := mark.Version; v >= down.Version && slices.Contains(applied, v) {
			return a.part.target.migrationError(down, "", fmt.Errorf("%w: version %d (UnlockVersion(%d) ends that)", ErrVersionLocked, v, v))
		}
	}
	return nil
}

// unfinished returns the steps that were not finished, of all that the state table remembers.
func unfinished(facts history.Facts, applied []int64) []history.Step {
	return slices.DeleteFunc(slices.Clone(facts.Dirty), func(s history.Step) bool { return finished(s, applied) })
}

// finished says whether the version table shows that a step ended: a step writes its row there last.
func finished(s history.Step, applied []int64) bool {
	return !s.Failed && slices.Contains(applied, s.Version) != s.Down
}

// dirty returns the refusal to work on a database with steps that were not finished.
func (a *admission) dirty(ctx context.Context, steps []history.Step, applied []int64) error {
	p := a.part
	var faults []error
	for _, s := range steps {
		if !s.Failed {
			p.warnOther("it is at migration " + ref(s.Version, s.Source) + ", or was cut off in it")
		}
		direction := directionUp
		if s.Down {
			direction = directionDown
		}
		how := "was cut off"
		if p.run.holding == nil {
			how += ", unless another process is at it just now"
		}
		if s.Failed {
			how = "failed and could not be undone"
		}
		faults = append(faults, fmt.Errorf("%w: migration %s %s %s: repair the database, then call %s",
			ErrDirty, ref(s.Version, s.Source), direction, how, a.wayOut(s, applied)))
	}
	if len(faults) == 0 {
		return nil
	}
	if invalid := p.target.state.InvalidIndexes(ctx, p.run.db.own); len(invalid) > 0 {
		faults = append(faults, fmt.Errorf("INVALID indexes are there: %s; DROP INDEX CONCURRENTLY removes each", strings.Join(invalid, ", ")))
	}
	return errors.Join(faults...)
}

// wayOut names the versions that a person can choose from.
func (a *admission) wayOut(s history.Step, applied []int64) string {
	t, version := a.part.target, s.Version
	if cutOffCheckpoint(t.set, s) != nil {
		return fmt.Sprintf("Force(0) if nothing of the checkpoint is left, as after a DROP and a CREATE of all, or Force(%d) if it is complete", version)
	}
	if newest := plan.Newest(applied); newest > version {
		return fmt.Sprintf("Force(%d), the newest version applied, once the migration is complete", newest)
	}
	var before int64
	for _, v := range slices.Concat(t.set.Versions(), applied) {
		if v < version {
			before = max(before, v)
		}
	}
	return fmt.Sprintf("Force(%d) if nothing of the migration is left, or Force(%d) if it is complete", before, version)
}

// clearable says whether clearCutOff can find out what a step left, and clear it away. It can for two kinds of steps on MySQL
// and MariaDB, where every step is marked:
//
//   - a step whose transaction committed nothing, if all tables have transactions: it left nothing;
//   - a step up that ends in its only DDL statement, and whose Down is a single statement. If that statement succeeds, nothing
//     of the step is left; if the server refuses it, there was nothing.
//
// Without the lock no step is clearable: another process may still be executing it.
func (a *admission) clearable(ctx context.Context, s history.Step) bool {
	p, t, db := a.part, a.part.target, a.part.run.db.own
	_, known := t.set.Find(s.Version)
	if _, restored := p.files.restored[s.Version]; !known && restored && s.Down {
		known = true
	}
	if !known || s.Failed || p.run.holding == nil || t.dialect.TransactionalDDL {
		return false
	}
	if cutOffCheckpoint(t.set, s) != nil {
		return s.Untouched && t.table.Transactional(ctx, db)
	}
	if err := p.files.load(ctx, []int64{s.Version}, directionDown); err != nil {
		return false
	}
	sections := p.files.step(s.Version).sections
	inTransaction, downInTransaction := sections[0].InTransaction, sections[1].InTransaction
	if s.Down {
		return s.Untouched && downInTransaction && t.table.Transactional(ctx, db)
	}
	if s.Untouched && inTransaction {
		return t.table.Transactional(ctx, db)
	}
	if !p.run.looking.others.mayClear(p, s) {
		return false
	}
	script := p.files.read[s.Version]
	return inTransaction && drive.Retractable(script.Up, script.Down)
}

// clearCutOff clears away what a clearable step left that was cut off with its run.
func (a *admission) clearCutOff(ctx context.Context, s history.Step) error {
	p := a.part
	step := p.files.step(s.Version)
	if !s.Untouched {
		p.events.send(Warning{Message: fmt.Sprintf("migration %s was cut off: its Down is executed before it is applied again",
			ref(step.Version, step.Source))})
		if result := p.takeMarked(ctx, step.down(), true); result.Err != nil && !(result.LeftNothing && p.target.dialect.Unneeded(result.Err)) {
			return fmt.Errorf("%w: %w", ErrDirty, result.Err)
		}
	}
	return a.forget(ctx, s)
}

// forget forgets the mark of a step.
func (a *admission) forget(ctx context.Context, s history.Step) error {
	p := a.part
	if err := p.target.state.Steps.Clear(ctx, p.run.db.own, s); err != nil {
		return p.target.stateError(ctx, err)
	}
	return nil
}
