package drive

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/wait"
)

const (
	// recordGrace is how long after the end of its time a step that was executed outside a transaction may still be
	// recorded: otherwise nobody would know of it.
	recordGrace = 2 * time.Second
	// recordTries is how often a step is recorded again whose record was lost.
	recordTries = 2
)

// recordStep has a step recorded whose own statements are executed: in the transaction in which they were, if that is
// there, or else in another one, which begins like every other transaction of the run.
func (d *Driver) recordStep(ctx context.Context, db database.DBTxConn, record func(context.Context, database.DBTxConn) error) error {
	versioned := record
	record = func(ctx context.Context, db database.DBTxConn) error {
		if err := d.recorder.InsertBefore(ctx, db, d.step.Instead); err != nil {
			return err
		}
		remember := func(q history.Querier) error { return d.remember(ctx, q) }
		beside, err := false, error(nil)
		if d.fenced {
			beside, err = d.recorder.Beside(remember)
		}
		if err == nil {
			err = versioned(ctx, db)
		}
		if err == nil && !beside {
			err = remember(db)
		}
		if err != nil || d.cfg.Hooks.Recorded == nil {
			return err
		}
		return d.cfg.Hooks.Recorded(ctx, db, d.step)
	}
	_, inTransaction := db.(*sql.Tx)
	if !inTransaction { // it is done, and only this is missing
		var cancel context.CancelFunc
		ctx, cancel = wait.Outlive(ctx, recordGrace)
		defer cancel()
	}
	whole, err := d.session.Finish(ctx, inTransaction)
	if err != nil {
		return err
	}
	if whole {
		return record(ctx, db)
	}
	first := d.recordApart(ctx, record)
	if first != nil {
		over := false
		if first, over = d.restored(ctx, first, func() error { return d.recordApart(ctx, record) }); over {
			return first
		}
	}
	for err, tries := first, 0; err != nil; tries++ {
		if tries == recordTries || otherRunner(err) || d.connections.dead.Load() || !d.lacksRecord(ctx) {
			return first
		}
		err = d.recordApart(ctx, record)
	}
	return nil
}

func (d *Driver) remember(ctx context.Context, db history.Querier) error {
	if d.cfg.Hooks.Remember == nil {
		return nil
	}
	return d.cfg.Hooks.Remember(ctx, db, d.step, time.Since(d.began))
}

// recordApart has a step recorded in a transaction that has nothing else in it.
func (d *Driver) recordApart(ctx context.Context, record func(context.Context, database.DBTxConn) error) error {
	tx, err := d.session.DB().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := record(ctx, tx); err != nil {
		return errors.Join(err, failure.IgnoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// lacksRecord says whether the current step, which is executed, is certain not to be recorded though nothing else could
// put that right. An Up that has a Down is taken back instead.
func (d *Driver) lacksRecord(ctx context.Context) bool {
	if !d.step.Down && d.step.Reversible || d.connections.Await(ctx) != nil {
		return false
	}
	rows, err := d.cfg.Table.Owned(ctx, d.cfg.DB, true)
	return err == nil && slices.Contains(rows.Applied, d.step.Version) == d.step.Down
}
