package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// conclude reads where the way back got, and makes the error that the part ends with.
func (w wayBack) conclude(ctx context.Context, cause, undone error) error {
	err := w.balance(context.WithoutCancel(ctx)) // its time may be over
	if undone == nil || err == nil && errors.Is(undone, ErrLockLost) && !errors.Is(undone, ErrDirty) {
		undone = err // with the lock lost, there may have been nothing to undo
	}
	if undone == nil {
		return rolledForward(cause)
	}
	return &RollbackError{
		Tenant: w.run.options.tenant, Namespace: w.target.set.Namespace, Start: plan.Newest(w.ledger.Start()), Reached: w.end.to, Cause: cause, Err: undone,
	}
}

// balance reads where the way back got and says why that is not the starting point, if it isn't.
func (w wayBack) balance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drive.AskFor)
	defer cancel()
	rows, err := w.read(ctx)
	if err != nil {
		return err
	}
	b := w.ledger.Balance(rows)
	w.end.applied, w.end.undone = len(b.Kept), len(b.Undone)
	switch {
	case len(b.Kept) > 0:
		return fmt.Errorf("versions %v are still applied", b.Kept)
	case len(b.Undone) > 0:
		return fmt.Errorf("versions %v are not applied again", b.Undone)
	case len(b.Added)+len(b.Removed) > 0:
		return fmt.Errorf("%w: it added %v and removed %v", drive.ErrOtherRunner, b.Added, b.Removed)
	}
	return nil
}

// read reads the applied versions, again and again until it works, the context ends or drive.AskFor is over. That
// happens once in a run: after that, the server counts as gone. The way back first waits for what the server still
// executes on lost connections, and for a COMMIT whose answer was lost.
func (w wayBack) read(ctx context.Context) (history.Rows, error) {
	if err := w.driver.Connections().Await(ctx); err != nil {
		w.end.to = -1
		return history.Rows{}, err
	}
	awaitWriters := w.ledger.Doubtful()
	giveUp := time.After(drive.AskFor)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		attempt, cancel := context.WithTimeout(ctx, drive.AskFor)
		rows, err := w.owned(attempt, w.run.db.own, awaitWriters)
		cancel()
		if err == nil {
			return rows, nil
		}
		missing, told := w.target.table.Missing(ctx, w.run.db.own, err)
		if told != nil {
			err = told
		}
		if missing { // the server is there, and waiting brings nothing back
			return rows, w.tableGone(ctx)
		}
		if errors.Is(err, history.ErrHidden) || w.run.patience.Over() {
			return rows, w.target.tableError(ctx, err)
		}
		select {
		case <-giveUp:
		case <-ctx.Done():
		case <-time.After(wait):
			continue
		}
		w.run.patience.End()
		return rows, w.target.tableError(ctx, err)
	}
}

// tableGone is the error of a way back without a version table. Only a migration of this run, or somebody else, can have
// removed it.
func (w wayBack) tableGone(ctx context.Context) error {
	by := "somebody has"
	if w.ledger.HalfDone() {
		by = "migration " + ref(w.failed.Version, w.failed.Source) + " or somebody else has"
	}
	return w.target.tableError(ctx, fmt.Errorf("%s dropped or renamed it during the run: the applied versions are unknown now, and the next run would begin with the first migration", by))
}
