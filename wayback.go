package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// wayBack returns a failed run to its starting point and says, in the error that the run ends
// with, how far that went. It runs on a context that outlives the run's.
func (r *run) wayBack(ctx context.Context, cause error) (err error) {
	if r.progress.elsewhere && !r.working.touched() {
		r.progress.begun = false
		return cause // it was refused, a little later than others
	}
	ctx, cancel := r.holding.detached(ctx, r.options.rollbackTimeout)
	defer cancel()
	if r.options.rollback != RollbackNone {
		started := time.Now()
		var end func()
		ctx, end = r.events.begin(ctx, WayBackStarted{Cause: cause})
		defer func() {
			r.events.send(WayBackFinished{Duration: time.Since(started), Err: err})
			end()
		}()
	}
	undone := r.undo(ctx)
	var stuck, left []*RollbackError
	for _, p := range slices.Backward(r.working) {
		p.end.err = wayBack{p}.conclude(ctx, cause, undone[p])
		var incomplete *RollbackError
		switch {
		case !errors.As(p.end.err, &incomplete):
		case undone[p] != nil:
			stuck = append(stuck, incomplete)
		default:
			left = append(left, incomplete) // untouched, because the part before it is stuck
		}
	}
	return mergeRollbackErrors(append(stuck, left...), cause)
}

// mergeRollbackErrors joins the errors of the parts that are not back at their starting points. The first
// says why.
func mergeRollbackErrors(incomplete []*RollbackError, cause error) error {
	if len(incomplete) == 0 {
		return rolledForward(cause)
	}
	first := *incomplete[0]
	for _, e := range incomplete[1:] {
		first.Err = fmt.Errorf("%w; namespace %q is %s, started from %d: %w", first.Err, e.Namespace, e.reached(), e.Start, e.Err)
	}
	return &first
}

func rolledForward(cause error) error { return fmt.Errorf("%w: %w", ErrRollForward, cause) }

// undo takes back what each part did, the last one first, up to the first that can't be undone. The step that failed
// came after everything else, so it is cleared away before.
func (r *run) undo(ctx context.Context) map[*part]error {
	undone := make(map[*part]error)
	switch r.options.rollback {
	case RollbackNone:
		for _, p := range r.working {
			undone[p] = wayBack{p}.stay(ctx)
		}
		return undone
	case RollbackTransaction:
		for _, p := range r.working {
			undone[p] = wayBack{p}.abandon(ctx)
		}
		return undone
	}
	cleared := make(map[*part]history.Rows)
	clear := func(p *part) (err error) {
		if _, done := cleared[p]; !done {
			cleared[p], err = wayBack{p}.clear(ctx)
		}
		return err
	}
	if r.failed != nil {
		if undone[r.failed] = clear(r.failed); undone[r.failed] != nil {
			return undone
		}
	}
	for _, p := range slices.Backward(r.working) {
		if len(r.working) > 1 && p != r.failed && len(p.ledger.Owed()) == 0 {
			continue
		}
		err := clear(p)
		if err == nil {
			err = wayBack{p}.undoRecorded(ctx, cleared[p])
		}
		p.driver.Rest()
		if undone[p] = err; err != nil {
			return undone
		}
	}
	return undone
}

// wayBack is the way back of one part.
type wayBack struct{ *part }

var errRollbackOff = errors.New("RollbackNone leaves the database where the run failed")

// stay is the way back of RollbackNone: it says whether there is anything that was not undone.
func (w wayBack) stay(ctx context.Context) error {
	if w.ledger.HalfDone() {
		if w.failed.Transactional {
			w.mark.left = w.failed
		}
		return fmt.Errorf("%w: %s: %w", ErrDirty, ref(w.failed.Version, w.failed.Source), errRollbackOff)
	}
	rows, err := w.read(ctx)
	if err != nil {
		return err
	}
	if lost := w.ledger.Lost(rows); lost != nil {
		return w.lostFault(lost[0])
	}
	if b := w.ledger.Balance(rows); len(b.Kept)+len(b.Undone) > 0 {
		return errRollbackOff
	}
	return nil
}

// clear removes what the failed step may have left, and reads the applied versions.
func (w wayBack) clear(ctx context.Context) (history.Rows, error) {
	if err := context.Cause(ctx); err != nil {
		return history.Rows{}, w.dirtyIfHalf(err) // the lock was lost
	}
	rows, err := w.read(ctx)
	if err != nil {
		return rows, w.dirtyIfHalf(err)
	}
	if err := w.onlyOurs(ctx, rows); err != nil {
		if lost := w.ledger.Lost(rows); lost != nil && !w.ledger.HalfDone() {
			return rows, fmt.Errorf("%w; %w", w.lostFault(lost[0]), err)
		}
		return rows, w.dirtyIfHalf(err)
	}
	if !w.ledger.HalfDone() {
		return rows, nil
	}
	if _, err := w.run.restore(ctx); err != nil { // the step may have removed the mark that tells of it
		return rows, w.dirtyIfHalf(w.target.stateError(ctx, err))
	}
	if w.failed.Transactional { // which it ended by itself, so that nothing is marked
		w.mark.left = w.failed
	}
	if err := w.undoFailed(ctx, *w.failed, rows); err != nil {
		return rows, err
	}
	w.mark.left = nil
	if rows, err = w.read(ctx); err != nil {
		return rows, err
	}
	if err := w.onlyOurs(ctx, rows); err != nil {
		return rows, fmt.Errorf("%w: %w", ErrDirty, err) // it was at the step that was cleared away here
	}
	return rows, nil
}

// undoRecorded takes back the steps that the run recorded, including those whose rows were lost.
func (w wayBack) undoRecorded(ctx context.Context, rows history.Rows) error {
	back := w.ledger.WayBack(rows)
	for i, u := range back.Undo {
		if err := w.belowCheckpoint(back.Undo[i:]); err != nil {
			return err
		}
		undo := w.down
		if u.Lost {
			undo = w.undoLost
		}
		if err := undo(ctx, u.Version); err != nil {
			return err
		}
	}
	if back.Stuck != nil {
		return w.lostFault(*back.Stuck)
	}
	for i, version := range back.Reapply {
		if _, known := w.target.set.Find(version); !known {
			return w.lacksUps(back.Reapply[i:])
		}
		if err := w.reapply(ctx, version); err != nil {
			return err
		}
	}
	return nil
}

// onlyOurs refuses to go back while another runner is at work: that runner may have built on migrations of this run, and
// a version that both recorded is its own too.
func (w wayBack) onlyOurs(ctx context.Context, rows history.Rows) error {
	if added := w.ledger.Strangers(rows); len(added) > 0 {
		return w.otherRunner(fmt.Sprintf("it applied %v", added))
	}
	if w.run.holding != nil || w.target.state == nil || !w.ledger.Touched() {
		return nil
	}
	facts, err := w.target.state.Read(ctx, w.run.db.own)
	if err != nil {
		return w.target.stateError(ctx, err)
	}
	for _, s := range unfinished(w.target.own(facts), rows.Applied) {
		if s.Run != w.row.id {
			return w.otherRunner("it is at migration " + ref(s.Version, s.Source) + ", or left it half-applied")
		}
	}
	return nil
}

// dirtyIfHalf marks err as ErrDirty if the run's last step may have been left half-applied.
func (w wayBack) dirtyIfHalf(err error) error {
	if !w.ledger.HalfDone() {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrDirty, ref(w.failed.Version, w.failed.Source), err)
}

// undoFailed takes back the step that has just failed half-way. A step up was not recorded, so only its own Down, whose
// statements should say IF EXISTS, can find what is there.
func (w wayBack) undoFailed(ctx context.Context, step plannedStep, rows history.Rows) error {
	applied := slices.Contains(rows.Applied, step.Version)
	switch {
	case step.checkpoint != nil && applied: // only the answer was lost, and its versions are undone one by one
		return nil
	case step.checkpoint != nil:
		return w.halfCheckpoint(step)
	case step.Direction == directionDown:
		return w.halfUndone(step, applied)
	}
	if !step.Reversible {
		return fmt.Errorf("%w: %w", ErrDirty, w.target.irreversible(step))
	}
	if err := w.run.looking.others.mayTakeHalf(w.part, step); err != nil {
		return fmt.Errorf("%w: %w", ErrDirty, err)
	}
	if err := w.takeMarked(ctx, step.down(), !applied).Err; err != nil {
		return fmt.Errorf("%w: %w", ErrDirty, err)
	}
	return nil
}

// halfUndone is the end of a step down that failed half-way. Its Up is no cure: it can be
// expected to fail on what is still there, and where it doesn't, to do a part of its work twice.
func (w wayBack) halfUndone(step plannedStep, applied bool) error {
	if w.ledger.Failed().MaybeRecorded && !applied {
		return nil // it was committed after all, and its version is the last thing to go
	}
	return fmt.Errorf("%w: %s: its Down ended half-way", ErrDirty, ref(step.Version, step.Source))
}

// down undoes a step that is applied.
func (w wayBack) down(ctx context.Context, version int64) error {
	step := w.files.step(version).down()
	if !step.Reversible {
		return w.target.irreversible(step)
	}
	if err := w.versionLockedOnTheWayBack(step); err != nil {
		return err
	}
	if err := w.run.looking.others.mayTake(w.part, step); err != nil {
		return err
	}
	result := w.take(ctx, step)
	if result.Err == nil {
		return nil
	}
	if result.MaybeRecorded {
		w.ledger.Doubt()
		if rows, readErr := w.read(ctx); readErr == nil && !slices.Contains(rows.Applied, version) {
			return nil // nothing but the answer to its COMMIT was lost
		}
	}
	if !result.LeftNothing {
		return fmt.Errorf("%w: %w", ErrDirty, result.Err)
	}
	return result.Err
}

// reapply applies a version again that the run took back. If that fails half-way, its Down clears
// away what it left.
func (w wayBack) reapply(ctx context.Context, version int64) error {
	step := w.files.step(version)
	result := w.take(ctx, step)
	err := result.Err
	if err == nil {
		return nil
	}
	if result.MaybeRecorded {
		w.ledger.Doubt()
	}
	rows, readErr := w.read(ctx)
	switch {
	case readErr == nil && result.MaybeRecorded && slices.Contains(rows.Applied, version):
		return nil // nothing but the answer was lost
	case result.LeftNothing:
		return err
	case readErr != nil:
		return fmt.Errorf("%w: %w: %w", err, ErrDirty, readErr)
	}
	if undoErr := w.undoFailed(ctx, step, rows); undoErr != nil {
		return fmt.Errorf("%w: %w", err, undoErr)
	}
	return err
}

// undoLost executes the Down of a step up whose row is gone, as if the step had failed half-way.
func (w wayBack) undoLost(ctx context.Context, version int64) error {
	step := w.files.step(version)
	if err := w.versionLockedOnTheWayBack(step.down()); err != nil {
		return err
	}
	if err := w.mark.put(ctx, step); err != nil {
		return err
	}
	w.mark.left = &step
	if err := w.undoFailed(ctx, step, history.Rows{}); err != nil {
		return err
	}
	w.mark.left = nil
	return nil
}

// lostFault is the end of a way back that can't know the state of a migration.
func (w wayBack) lostFault(c plan.Change) error {
	s := w.files.step(c.Version)
	if c.Down {
		s = s.down()
	}
	w.mark.left = &s
	is := "its row in the version table is missing"
	if s.Direction == directionDown {
		is = "its row is still in the version table"
	}
	return fmt.Errorf("%w: %s: its %s was executed, and %s", ErrDirty, ref(s.Version, s.Source), s.Direction, is)
}

// abandon is the way back of RollbackTransaction.
func (w wayBack) abandon(ctx context.Context) error {
	if err := w.driver.Disconnect(ctx); err != nil {
		w.events.send(Warning{Message: err.Error()}) // its connection was closed, which has the same effect
	}
	_, err := w.read(ctx)
	if err == nil && w.failed != nil && w.driver.EndedTransaction() {
		w.mark.left = w.failed
		return fmt.Errorf("%w: %s: it has ended the transaction of the run", ErrDirty, ref(w.failed.Version, w.failed.Source))
	}
	return err
}

// versionLockedOnTheWayBack is versionLocked of what the run applied: to return to a starting point
// that has a protected version is not to go below it.
func (w wayBack) versionLockedOnTheWayBack(down plannedStep) error {
	return w.admission.versionLocked(down, w.ledger.Added())
}
