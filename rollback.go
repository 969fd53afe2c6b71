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

// A Strategy says what a failed run does, see [WithRollback].
type Strategy int

const (
	// RollbackDown returns to the starting point: the Down of each migration that the run applied,
	// newest first, each in its own transaction as far as it was applied in one; and the Up of each
	// that it undid, the last one first. It is the default.
	RollbackDown Strategy = iota
	// RollbackNone stops where the run failed, as goose does. The error is [ErrRollBack] if that is
	// not the starting point, and [ErrRollForward] if it is: nothing had been applied yet.
	RollbackNone
	// RollbackTransaction does the whole run in one transaction, in which each migration has a
	// savepoint. A run that fails, is cancelled or is killed leaves nothing, whatever its Downs say; the
	// version table and the state table, which may have been created before it, stay. It is for
	// PostgreSQL and SQLite: on other dialects it is a configuration fault, and a run that has a step
	// outside a transaction to take is refused before anything is touched, with an error that names each
	// such step. The package documentation says when not to choose it.
	RollbackTransaction
)

func (s Strategy) known() bool { return s >= RollbackDown && s <= RollbackTransaction }

// String returns the name of the constant.
func (s Strategy) String() string {
	switch s {
	case RollbackDown:
		return "RollbackDown"
	case RollbackNone:
		return "RollbackNone"
	case RollbackTransaction:
		return "RollbackTransaction"
	}
	return fmt.Sprintf("Strategy(%d)", int(s))
}

// wayBack returns a failed run to its starting point and says, in the error that the run ends
// with, how far that went. It runs on a context that outlives the run's.
func (r *run) wayBack(ctx context.Context, cause error) error {
	if r.elsewhere && !r.touched() {
		r.begun = false
		return cause // it was refused, a little later than others
	}
	ctx, cancel := r.detached(ctx)
	defer cancel()
	var undone error
	switch r.options.rollback {
	case RollbackNone:
		undone = r.stay(ctx)
	case RollbackTransaction:
		r.events.send(WayBackStarted{Cause: cause})
		undone = r.abandon(ctx)
	default:
		r.events.send(WayBackStarted{Cause: cause})
		undone = r.undo(ctx)
	}
	return r.conclude(ctx, cause, undone)
}

// touched says whether the run has changed anything that a way back could be about.
func (r *run) touched() bool {
	return len(r.mine)+len(r.undone) > 0 || r.failed != nil && !r.failed.leftNothing
}

// detached is the context of the way back, which outlives the run's.
func (r *run) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	alive := context.WithoutCancel(ctx)
	if r.lock != nil {
		alive = r.lock.alive // nothing is undone without it
	}
	return limit(alive, r.options.rollbackTimeout, "rollback timeout")
}

// conclude reads where the way back got, and makes the error that the run ends with.
func (r *run) conclude(ctx context.Context, cause, undone error) error {
	err := r.back(context.WithoutCancel(ctx)) // its time may be over
	if undone == nil || err == nil && errors.Is(undone, ErrLockLost) && !errors.Is(undone, ErrDirty) {
		undone = err // with the lock lost, there may have been nothing to undo
	}
	if undone == nil {
		return rolledForward(cause)
	}
	return &RollbackError{Tenant: r.options.tenant, Namespace: r.part.set.Namespace, Start: plan.Newest(r.start), Reached: r.to, Cause: cause, Err: undone}
}

func rolledForward(cause error) error { return fmt.Errorf("%w: %w", ErrRollForward, cause) }

// stay is the way back of RollbackNone: it says whether there is anything that was not undone.
func (r *run) stay(ctx context.Context) error {
	if r.failed != nil && !r.failed.leftNothing {
		if r.failed.step.Transactional {
			r.left = &r.failed.step
		}
		return fmt.Errorf("%w: %s: %w", ErrDirty, ref(r.failed.step.Version, r.failed.step.Source), errRollbackOff)
	}
	rows, err := r.reread(ctx)
	if err != nil {
		return err
	}
	if lost := r.lost(rows); lost != nil {
		return r.lostFault(lost[0])
	}
	if len(plan.WayBack(r.start, rows.Applied, r.mine))+len(plan.Reapply(r.start, rows.Applied, r.undone)) > 0 {
		return errRollbackOff
	}
	return nil
}

// undo takes back what the run did: first what the step that failed may have left, which the
// version table doesn't know of; then, newest first, the steps up that the table says are applied;
// then, the last one first, the steps down: these came before any step up.
func (r *run) undo(ctx context.Context) error {
	rows, err := r.clear(ctx)
	if err != nil {
		return err
	}
	return r.undoRecorded(ctx, rows)
}

// clear takes back what the step that failed may have left, and reads what is applied besides.
func (r *run) clear(ctx context.Context) (history.Rows, error) {
	if err := context.Cause(ctx); err != nil {
		return history.Rows{}, r.dirtyIfHalf(err) // the lock was lost
	}
	rows, err := r.reread(ctx)
	if err != nil {
		return rows, r.dirtyIfHalf(err)
	}
	if err := r.onlyOurs(ctx, rows); err != nil {
		return rows, r.dirtyIfHalf(err)
	}
	if r.failed == nil || r.failed.leftNothing {
		return rows, nil
	}
	if r.failed.step.Transactional { // which it ended by itself, so that nothing is marked
		r.left = &r.failed.step
	}
	if err := r.undoFailed(ctx, r.failed.step, rows); err != nil {
		return rows, err
	}
	r.left = nil
	if rows, err = r.reread(ctx); err != nil {
		return rows, err
	}
	if err := r.onlyOurs(ctx, rows); err != nil {
		return rows, fmt.Errorf("%w: %w", ErrDirty, err) // it was at the step that was cleared away here
	}
	return rows, nil
}

// undoRecorded takes back what the version table says was done, and what it doesn't say any more.
func (r *run) undoRecorded(ctx context.Context, rows history.Rows) error {
	lost := r.lost(rows)
	for _, version := range r.inOrder(plan.WayBack(r.start, rows.Applied, r.mine), lost) {
		undo := r.down
		if slices.ContainsFunc(lost, func(s plannedStep) bool { return s.Version == version }) {
			undo = r.undoLost
		}
		if err := undo(ctx, version); err != nil {
			return err
		}
	}
	for _, s := range lost {
		if s.Direction == directionDown || slices.Contains(r.start, s.Version) {
			return r.lostFault(s)
		}
	}
	for _, version := range plan.Reapply(r.start, rows.Applied, r.undone) {
		if err := r.reapply(ctx, version); err != nil {
			return err
		}
	}
	return nil
}

// onlyOurs refuses to go back where another runner is at work: what it has built may rest on what this
// run applied, and what both applied is its too.
func (r *run) onlyOurs(ctx context.Context, rows history.Rows) error {
	_, extra := plan.Diff(r.start, rows.Applied)
	added, _ := plan.Diff(extra, r.mine)
	if added = append(added, r.foreign(rows, r.mine)...); len(added) > 0 {
		return r.otherRunner(fmt.Sprintf("it applied %v", added))
	}
	if r.lock != nil || r.part.state == nil || !r.touched() {
		return nil
	}
	facts, err := r.part.state.Read(ctx, r.db)
	if err != nil {
		return r.part.stateError(ctx, err)
	}
	for _, s := range unfinished(r.part.own(facts), rows.Applied) {
		if s.Run != r.id {
			return r.otherRunner("it is at migration " + ref(s.Version, s.Source) + ", or left it half-applied")
		}
	}
	return nil
}

// dirtyIfHalf marks err as that of a run whose last step may have been left half-applied.
func (r *run) dirtyIfHalf(err error) error {
	if r.failed == nil || r.failed.leftNothing {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrDirty, ref(r.failed.step.Version, r.failed.step.Source), err)
}

// undoFailed takes back what the step that has just failed left half-way. A step up was not
// recorded, so nothing but its own Down, which should say IF EXISTS, can find what is there.
func (r *run) undoFailed(ctx context.Context, step plannedStep, rows history.Rows) error {
	applied := slices.Contains(rows.Applied, step.Version)
	if step.Direction == directionDown {
		return r.halfUndone(step, applied)
	}
	if !step.Reversible {
		return fmt.Errorf("%w: %w", ErrDirty, r.irreversible(step))
	}
	r.recorder.Step(true)
	if !applied {
		r.recorder.Unrecorded()
	}
	if err := r.drive(ctx, step.down()); err != nil {
		return fmt.Errorf("%w: %w", ErrDirty, err)
	}
	return nil
}

// halfUndone is what becomes of a step down that failed half-way. Its Up is no cure: it can be
// expected to fail on what is still there, and where it doesn't, to do a part of its work twice.
func (r *run) halfUndone(step plannedStep, applied bool) error {
	if r.failed.maybeRecorded && !applied {
		return nil // it was committed after all, and its version is the last thing to go
	}
	return fmt.Errorf("%w: %s: its Down ended half-way", ErrDirty, ref(step.Version, step.Source))
}

// down undoes a step that is applied.
func (r *run) down(ctx context.Context, version int64) error {
	step := r.step(version).down()
	if !step.Reversible {
		return r.irreversible(step)
	}
	if err := r.versionLockedOnTheWayBack(step); err != nil {
		return err
	}
	err := r.do(ctx, step)
	if err == nil {
		return nil
	}
	leftNothing, maybeRecorded := r.leftNothing(ctx, step, err), r.maybeRecorded(step, err)
	if maybeRecorded {
		r.unsure = true
		if rows, readErr := r.reread(ctx); readErr == nil && !slices.Contains(rows.Applied, version) {
			return nil // nothing but the answer to its COMMIT was lost
		}
	}
	if !leftNothing {
		return fmt.Errorf("%w: %w", ErrDirty, err)
	}
	return err
}

// reapply applies a version again that the run took back. If that fails half-way, its Down clears
// away what it left.
func (r *run) reapply(ctx context.Context, version int64) error {
	step := r.step(version)
	err := r.do(ctx, step)
	if err == nil {
		return nil
	}
	leftNothing, maybeRecorded := r.leftNothing(ctx, step, err), r.maybeRecorded(step, err)
	r.unsure = r.unsure || maybeRecorded
	rows, readErr := r.reread(ctx)
	switch {
	case readErr == nil && maybeRecorded && slices.Contains(rows.Applied, version):
		return nil // nothing but the answer was lost
	case leftNothing:
		return err
	case readErr != nil:
		return fmt.Errorf("%w: %w: %w", err, ErrDirty, readErr)
	}
	if undoErr := r.undoFailed(ctx, step, rows); undoErr != nil {
		return fmt.Errorf("%w: %w", err, undoErr)
	}
	return err
}

func (r *run) irreversible(step plannedStep) error {
	return r.migrationError(step.down(), "", ErrIrreversible)
}

// back reads where the way back got and says why that is not the starting point, if it isn't.
func (r *run) back(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reconnectFor)
	defer cancel()
	rows, err := r.reread(ctx)
	if err != nil {
		return err
	}
	now := rows.Applied
	missing, extra := plan.Diff(r.start, now)
	left := plan.WayBack(r.start, now, r.mine)
	off := plan.Reapply(r.start, now, r.undone)
	r.kept, r.off = len(left), len(off)
	switch {
	case len(left) > 0:
		return fmt.Errorf("versions %v are still applied", left)
	case len(off) > 0:
		return fmt.Errorf("versions %v are not applied again", off)
	case len(missing)+len(extra) > 0:
		return fmt.Errorf("%w: it added %v and removed %v", errOtherRunner, extra, missing)
	}
	return nil
}

var errOtherRunner = errors.New("another runner changed the applied versions meanwhile (a global lock keeps it out)")

// reconnectFor is how long the way back tries to read the version table. The connection that the
// run lost may have gone with a server that restarts or fails over.
const reconnectFor = 15 * time.Second

// reread is owned, tried again until it works, the context ends or reconnectFor is over, which happens
// once: after that, the server is taken to be gone. What it still executes on connections that were
// lost, and a COMMIT whose answer was lost, is waited for first.
func (r *run) reread(ctx context.Context) (history.Rows, error) {
	if err := r.letGo(ctx); err != nil {
		r.to = -1
		return history.Rows{}, err
	}
	settle := r.unsure || r.failed != nil && r.failed.maybeRecorded
	giveUp := time.After(reconnectFor)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		attempt, cancel := context.WithTimeout(ctx, reconnectFor)
		rows, err := r.owned(attempt, r.db, settle)
		cancel()
		if err == nil {
			return rows, nil
		}
		if r.part.table.Missing(ctx, r.db, err) { // the server is there, and waiting brings nothing back
			return rows, r.tableGone(ctx)
		}
		if r.gone {
			return rows, r.part.tableError(ctx, err)
		}
		select {
		case <-giveUp:
		case <-ctx.Done():
		case <-time.After(wait):
			continue
		}
		r.gone = true
		return rows, r.part.tableError(ctx, err)
	}
}

// tableGone is the error of a way back without a version table. Only a migration of this run, or somebody else, can have
// removed it.
func (r *run) tableGone(ctx context.Context) error {
	by := "somebody has"
	if r.failed != nil && !r.failed.leftNothing {
		by = "migration " + ref(r.failed.step.Version, r.failed.step.Source) + " or somebody else has"
	}
	return r.part.tableError(ctx, fmt.Errorf("%s dropped or renamed it during the run: nothing tells any more which versions are applied, and the next run begins with the first one", by))
}
