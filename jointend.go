package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
)

// wayBack returns all of them to their starting points, and says which of them it did not.
func (j *joint) wayBack(ctx context.Context, cause error) error {
	if j.failed != nil && j.failed.elsewhere && !slices.ContainsFunc(j.working, (*run).touched) {
		j.begun = false
		return cause // as in run.wayBack
	}
	ctx, cancel := j.lead.detached(ctx)
	defer cancel()
	if j.lead.options.rollback != RollbackNone {
		j.lead.events.send(WayBackStarted{Cause: cause})
	}
	undone := j.undo(ctx)
	var stuck, left []*RollbackError
	for _, r := range slices.Backward(j.working) {
		j.ended[r] = r.conclude(ctx, cause, undone[r])
		if r.gone {
			j.giveUpOnServer()
		}
		var incomplete *RollbackError
		switch {
		case !errors.As(j.ended[r], &incomplete):
		case undone[r] != nil:
			stuck = append(stuck, incomplete)
		default:
			left = append(left, incomplete) // alone, because of the one before
		}
	}
	return atOnce(append(stuck, left...), cause)
}

// atOnce makes one error of those of the namespaces that are not back at their starting points. The first
// says why.
func atOnce(incomplete []*RollbackError, cause error) error {
	if len(incomplete) == 0 {
		return rolledForward(cause)
	}
	first := *incomplete[0]
	for _, e := range incomplete[1:] {
		first.Err = fmt.Errorf("%w; namespace %q is %s, started from %d: %w", first.Err, e.Namespace, e.reached(), e.Start, e.Err)
	}
	return &first
}

// giveUpOnServer spares each of the others the time for which the first has tried to reach the server.
func (j *joint) giveUpOnServer() {
	for _, r := range j.parts {
		r.gone = true
	}
}

// undo takes back what each did, the last namespace first, up to the first that can't be undone. The step
// that failed came after everything else, so it is cleared away before.
func (j *joint) undo(ctx context.Context) map[*run]error {
	undone := make(map[*run]error)
	switch j.lead.options.rollback {
	case RollbackNone:
		for _, r := range j.working {
			undone[r] = r.stay(ctx)
		}
		return undone
	case RollbackTransaction:
		for _, r := range j.working {
			undone[r] = r.abandon(ctx)
		}
		return undone
	}
	cleared := make(map[*run]history.Rows)
	order := slices.Clone(j.working)
	slices.Reverse(order)
	if j.failed != nil {
		rows, err := j.failed.clear(ctx)
		if err != nil {
			undone[j.failed] = err
			return undone
		}
		cleared[j.failed] = rows
	}
	for _, r := range order {
		rows, ok := cleared[r]
		var err error
		if !ok && len(r.mine)+len(r.undone) > 0 {
			rows, err = r.clear(ctx)
		}
		if err == nil {
			err = r.undoRecorded(ctx, rows)
		}
		r.session.Rest()
		if err != nil {
			undone[r] = err
			return undone
		}
	}
	return undone
}

// settle is run.settle for each of them. What the database has of environments is not one's alone.
func (j *joint) settle(ctx context.Context, err error) error {
	nothing := errors.Is(err, ErrRollForward) || !j.begun
	all := err
	for _, r := range j.working {
		all = joined(all, r.part.named(r.settleAs(ctx, j.of(r, err), nothing)))
	}
	return all
}

// recordOutcomes ends the rows of all, at once: a process that dies between two would leave a part of a starting
// point. If one has to be left to the next holder, all are.
func (j *joint) recordOutcomes(l *lock, runErr error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.alive), releaseLimit)
	defer cancel()
	var registered []*run
	var busy error
	for _, r := range j.parts {
		r.disconnect(ctx)
		if !r.registered {
			continue
		}
		registered = append(registered, r)
		if !errors.Is(runErr, ErrLockLost) {
			busy = joined(busy, r.letGo(ctx))
		}
	}
	if len(registered) == 0 {
		return runErr
	}
	if errors.Is(runErr, ErrLockLost) || busy != nil {
		err := joined(runErr, busy)
		for _, r := range registered {
			err = joined(err, r.leaveRow(ctx))
		}
		return err
	}
	return joined(runErr, j.endRows(ctx, registered, runErr))
}

func (j *joint) endRows(ctx context.Context, registered []*run, runErr error) error {
	tx, err := j.lead.db.BeginTx(ctx, nil)
	if err != nil {
		return j.lead.unrecorded(ctx, err)
	}
	for _, r := range registered {
		if err := r.endRow(ctx, tx, j.of(r, runErr)); err != nil {
			return joined(err, ignoreDone(tx.Rollback()))
		}
	}
	if err := tx.Commit(); err != nil {
		return j.lead.unrecorded(ctx, err)
	}
	return nil
}

// ignoreDone drops the error of a transaction that its context has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
