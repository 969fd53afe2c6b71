package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// mark remembers, in the state table, the step that is about to start, if no transaction makes it
// whole or absent. One row serves a run: that it is at the next step says that the one before is
// finished.
func (r *run) mark(ctx context.Context, step plannedStep) error {
	if step.Transactional || r.part.state == nil {
		return nil
	}
	ctx, cancel := limit(ctx, r.options.migrationTimeout, "migration timeout")
	defer cancel()
	if !r.marked {
		if err := r.ensureStateAlone(ctx); err != nil {
			return err
		}
	}
	// The server may have executed what ctx interrupts: so it is given time to answer, and what it may have been told
	// counts as told.
	ctx, cancelAnswer := outlive(ctx, markGrace)
	defer cancelAnswer()
	claimed := r.marked
	r.marked, r.atStep = true, step
	err := r.putMark(ctx, step, claimed)
	if err != nil {
		if gone, restored := r.restore(ctx); gone && restored == nil {
			err = r.putMark(ctx, step, false)
		}
	}
	return err
}

// putMark writes the mark. Without the lock somebody else may be at such a step.
func (r *run) putMark(ctx context.Context, step plannedStep, claimed bool) error {
	if r.lock == nil {
		return r.claim(ctx, step, claimed)
	}
	ours, err := r.part.state.Steps.MarkFenced(ctx, r.db, r.at(step))
	if err != nil {
		return r.part.stateError(ctx, err)
	}
	return r.stillOurs(ours)
}

// markGrace is how long the answer to a mark is waited for after the end of the run's time.
const markGrace = 2 * time.Second

// outlive is a context that ends a while after ctx.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}

// claim is the mark of a run without the lock, for which nobody else may be at such a step: its Down would take
// away what the other one is about to record.
func (r *run) claim(ctx context.Context, step plannedStep, claimed bool) error {
	if claimed {
		if still, err := r.part.state.Steps.Move(ctx, r.db, r.at(step)); err != nil {
			return r.part.stateError(ctx, err)
		} else if still {
			return nil
		}
	}
	others, err := r.part.state.Steps.Claim(ctx, r.db, r.at(step))
	if err != nil {
		return r.part.stateError(ctx, err)
	}
	if len(others) > 0 {
		r.marked, r.elsewhere = false, true
		return r.dirty(others)
	}
	// What another one has finished before the claim, it has recorded.
	rows, err := r.owned(ctx, r.db, false)
	if err != nil {
		return r.part.tableError(ctx, err)
	}
	expected, _ := plan.Diff(slices.Concat(r.start, r.mine), r.undone)
	if missing, extra := plan.Diff(expected, rows.Applied); len(missing)+len(extra) > 0 {
		return r.otherRunner(fmt.Sprintf("it added %v and removed %v", extra, missing))
	}
	return nil
}

// otherRunner is the error of a run that has found another one at work, of which the observers hear once.
func (r *run) otherRunner(what string) error {
	r.warnOther(what)
	return fmt.Errorf("%w: %s", errOtherRunner, what)
}

func (r *run) warnOther(what string) {
	if r.lock == nil && !r.warned {
		r.warned = true
		r.events.send(Warning{Message: "this run is without the global lock (WithGlobalLock) and has found another one at work: " + what})
	}
}

func (r *run) at(step plannedStep) history.Step {
	return history.Step{
		Mark: history.Mark{Namespace: r.part.set.Namespace, Version: step.Version, Source: step.Source},
		Run:  r.id, Down: step.Direction == directionDown,
	}
}

// settle decides, at the end of a run, what the state table keeps of it. What a run which lost its
// lock has left there stays: the next holder finds out what is true.
func (r *run) settle(ctx context.Context, err error) error {
	return joined(err, r.settleAs(ctx, err, errors.Is(err, ErrRollForward) || !r.begun))
}

// settleAs is settle of a run that may be one of several; nothing says that none of them has left anything.
// If what it leaves there will have later runs refused for nothing, that is its error.
func (r *run) settleAs(ctx context.Context, err error, nothing bool) error {
	if errors.Is(err, ErrLockLost) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	var stuck *RollbackError
	dirty := errors.As(err, &stuck) && errors.Is(stuck.Err, ErrDirty)
	var marked, stamped error
	if r.marked || dirty && r.left != nil {
		marked = persist(ctx, func() error { return r.settleMark(ctx, dirty) })
	}
	if nothing {
		stamped = persist(ctx, func() error { return r.unstamp(ctx) })
	}
	if marked == nil && stamped == nil {
		return nil
	}
	failed := r.part.stateError(ctx, errors.Join(marked, stamped))
	r.events.send(Warning{Message: failed.Error()})
	switch {
	case err == nil || dirty: // it is marked, but for a failed one or for none
		return nil
	case marked != nil:
		return fmt.Errorf("the mark of migration %s may be there still: later runs are refused then, until Force is called with the version that the database is at: %w",
			ref(r.atStep.Version, r.atStep.Source), failed)
	}
	return fmt.Errorf("the database may remember the environments %q: %w", r.stamped, failed)
}

// persist tries what the server has to know some times more, with pauses.
func persist(ctx context.Context, try func() error) (err error) {
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		if err = try(); err == nil || pause > time.Second || !sleep(ctx, pause) {
			return err
		}
	}
}

func (r *run) settleMark(ctx context.Context, dirty bool) error {
	if !dirty {
		return r.part.state.Steps.Unmark(ctx, r.db, r.id)
	}
	step := r.at(r.atStep)
	if r.left != nil {
		if err := r.ensureStateAlone(ctx); err != nil {
			return err
		}
		step = r.at(*r.left)
	}
	step.Failed = true
	return r.part.state.Steps.Mark(ctx, r.db, step)
}

// unfinished returns the steps that were not finished, of all that the state table remembers.
func unfinished(facts history.Facts, applied []int64) []history.Step {
	return slices.DeleteFunc(slices.Clone(facts.Dirty), func(s history.Step) bool { return finished(s, applied) })
}

// finished says whether the version table tells that a step came to its end, of which the row there
// is the last thing.
func finished(s history.Step, applied []int64) bool {
	return !s.Failed && slices.Contains(applied, s.Version) != s.Down
}

// dirty returns the refusal to work on a database with steps that were not finished.
func (r *run) dirty(steps []history.Step) error {
	var faults []error
	for _, s := range steps {
		if !s.Failed {
			r.warnOther("it is at migration " + ref(s.Version, s.Source) + ", or was cut off in it")
		}
		direction := directionUp
		if s.Down {
			direction = directionDown
		}
		how := "was cut off"
		if r.lock == nil {
			how += ", unless another process is at it just now"
		}
		if s.Failed {
			how = "failed and could not be undone"
		}
		faults = append(faults, fmt.Errorf("%w: migration %s %s %s: put the database right, then call Force with the version that it is at",
			ErrDirty, ref(s.Version, s.Source), direction, how))
	}
	return errors.Join(faults...)
}

// dirtyNow is the refusal to do even nothing on a database that is dirty.
func (r *run) dirtyNow(ctx context.Context, applied []int64) error {
	facts, err := r.part.state.ReadThere(ctx, r.db)
	if err != nil {
		return r.part.stateError(ctx, err)
	}
	return r.dirty(unfinished(r.part.own(facts), applied))
}

// recoverable says whether recover can find out what a step left, and clear it away. That is so for
// some on MySQL and MariaDB, where every step is marked, but not every one is left half-applied: one of
// whose transaction nothing was committed left nothing, if all tables have transactions; and a step up
// that ends in its one DDL statement, and that a single statement takes back, is absent afterwards if that
// statement succeeds, and was before if the server refuses it. It takes the lock: without it, nobody
// knows that nobody is at the step.
func (r *run) recoverable(ctx context.Context, s history.Step) bool {
	m, known := r.part.set.Find(s.Version)
	if !known || s.Failed || r.lock == nil || r.part.dialect.TransactionalDDL {
		return false
	}
	if err := r.load(ctx, []int64{s.Version}, directionDown); err != nil {
		return false
	}
	step := r.step(s.Version)
	if s.Down {
		return s.Untouched && step.downInTransaction && r.part.table.Transactional(ctx, r.db)
	}
	if s.Untouched && step.inTransaction {
		return r.part.table.Transactional(ctx, r.db)
	}
	script := r.scripts[s.Version]
	return m.Go == nil && step.inTransaction && step.downInTransaction &&
		endsInDDL(script.Up) && len(script.Down) == 1 && single(script.Down[0]) && atomicDDL(script.Down[0])
}

// recover clears away what a recoverable step left that was cut off with its run.
func (r *run) recover(ctx context.Context, s history.Step) error {
	step := r.step(s.Version)
	if !s.Untouched {
		r.events.send(Warning{Message: fmt.Sprintf("migration %s was cut off: its Down is executed before it is applied again",
			ref(step.Version, step.Source))})
		r.recorder.Unrecorded()
		if err := r.drive(ctx, step.down()); err != nil && !r.leftNothing(ctx, step.down(), err) {
			return fmt.Errorf("%w: %w", ErrDirty, err)
		}
	}
	return r.forget(ctx, s)
}

func (r *run) forget(ctx context.Context, s history.Step) error {
	if err := r.part.state.Steps.Clear(ctx, r.db, s); err != nil {
		return r.part.stateError(ctx, err)
	}
	return nil
}

// reads matches statements that change nothing.
var reads = regexp.MustCompile(`(?i)^(select|do)\b`)

// endsInDDL says whether the last of the statements is atomic DDL, and those before it only read.
func endsInDDL(statements []string) bool {
	if len(statements) == 0 {
		return false
	}
	last := len(statements) - 1
	for _, s := range statements[:last] {
		if !single(s) || !reads.MatchString(uncommented(s)) {
			return false
		}
	}
	return single(statements[last]) && atomicDDL(statements[last])
}
