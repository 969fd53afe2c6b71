package gooseplus

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// oneTransaction says whether the whole run is one transaction.
func (o *options) oneTransaction() bool { return o.rollback == RollbackTransaction }

// transactionFault refuses the strategy where no transaction takes everything back.
func (o *options) transactionFault(d goose.Dialect) error {
	if !o.oneTransaction() || d == goose.DialectPostgres || d == goose.DialectSQLite3 {
		return nil
	}
	return fmt.Errorf("WithRollback(RollbackTransaction): the dialect %s has no transaction that takes schema changes back", d)
}

// transactional refuses steps that can't be part of the run's one transaction.
func (r *run) transactional() error {
	if !r.options.oneTransaction() {
		return nil
	}
	var faults []error
	for _, s := range r.steps {
		if !s.Transactional {
			faults = append(faults, fmt.Errorf("WithRollback(RollbackTransaction): migration %s %s doesn't run in a transaction",
				ref(s.Version, s.Source), s.Direction))
		}
	}
	return errors.Join(faults...)
}

// verifyAll is verify; with RollbackTransaction it looks from inside the transaction, and commits it.
func (r *run) verifyAll(ctx context.Context) error {
	if !r.options.oneTransaction() {
		return r.verify(ctx, r.db)
	}
	if err := r.verify(ctx, r.session.DB()); err != nil {
		return err
	}
	return r.commit(ctx)
}

// commit commits the run's one transaction.
func (r *run) commit(ctx context.Context) error {
	err := r.session.Commit(ctx)
	if err == nil {
		return nil
	}
	return r.committed(ctx, fmt.Errorf("commit: %w", tidyError{stopped(ctx, err)}))
}

// committed finds out what became of a COMMIT that failed: its answer may be all that was lost.
func (r *run) committed(ctx context.Context, failed error) error {
	ctx, cancel := r.detached(ctx)
	defer cancel()
	r.unsure = true
	rows, err := r.reread(ctx)
	if err != nil || !r.reached(rows) {
		return failed
	}
	r.events.send(Warning{Message: fmt.Sprintf("the transaction was committed, though the answer was lost: %v", failed)})
	return nil
}

// reached says whether the database is where the run was to bring it.
func (r *run) reached(rows history.Rows) bool {
	want, _ := plan.Diff(append(r.start[:len(r.start):len(r.start)], r.mine...), r.undone)
	missing, _ := plan.Diff(want, rows.Applied)
	gone, _ := plan.Diff(r.undone, rows.Applied)
	return len(missing) == 0 && len(gone) == len(r.undone) && len(r.foreign(rows, r.mine)) == 0
}

// abandon is the way back of RollbackTransaction.
func (r *run) abandon(ctx context.Context) error {
	if err := r.session.Close(ctx); err != nil {
		r.events.send(Warning{Message: err.Error()}) // its connection was closed, which has the same effect
	}
	_, err := r.reread(ctx)
	if err == nil && r.failed != nil && r.session.Ended() {
		r.left = &r.failed.step
		return fmt.Errorf("%w: %s: it has ended the transaction of the run", ErrDirty, ref(r.failed.step.Version, r.failed.step.Source))
	}
	return err
}
