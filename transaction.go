package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/failure"
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
	if err := r.verify(ctx, r.driver.DB()); err != nil {
		return err
	}
	return r.commit(ctx)
}

// commit commits the run's one transaction.
func (r *run) commit(ctx context.Context) error {
	err := r.driver.Commit(ctx)
	if err == nil {
		return nil
	}
	return r.committed(ctx, fmt.Errorf("commit: %w", failure.Tidy{Err: failure.Stopped(ctx, err)}))
}

// committed finds out what became of a COMMIT that failed: its answer may be all that was lost.
func (r *run) committed(ctx context.Context, failed error) error {
	ctx, cancel := r.detached(ctx)
	defer cancel()
	r.ledger.Doubt()
	rows, err := r.reread(ctx)
	if err != nil || !r.ledger.Verify(rows).None() {
		return failed
	}
	r.events.send(Warning{Message: fmt.Sprintf("the transaction was committed, though the answer was lost: %v", failed)})
	return nil
}

// abandon is the way back of RollbackTransaction.
func (r *run) abandon(ctx context.Context) error {
	if err := r.driver.Close(ctx); err != nil {
		r.events.send(Warning{Message: err.Error()}) // its connection was closed, which has the same effect
	}
	_, err := r.reread(ctx)
	if err == nil && r.failed != nil && r.driver.EndedTransaction() {
		r.left = r.failed
		return fmt.Errorf("%w: %s: it has ended the transaction of the run", ErrDirty, ref(r.failed.Version, r.failed.Source))
	}
	return err
}

// retries is how often a step is tried again that met another session (negative: until its time is over), and how long
// its statements wait for a lock. In the one transaction of a whole run the pause between two attempts would keep the
// locks of all migrations before.
func (o *options) retries() (retries int, lockWait time.Duration) {
	t := o.statementTimeouts
	if t == nil {
		return 0, 0
	}
	lockWait = up(t.Lock, time.Second)
	switch {
	case o.oneTransaction(), t.Retries < 0:
		return 0, lockWait
	case t.Retries == 0:
		return -1, lockWait
	}
	return t.Retries, lockWait
}
