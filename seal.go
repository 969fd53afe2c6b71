package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// seal verifies and ends the run within the transaction of a batch that is all that is left of it: the server commits once, and
// a process that is killed leaves either a run that has ended, or one that is cut off and has nothing of the batch. If anything
// isn't as it should be, the run is verified and ended after the commit, as every other run.
func (p *part) seal(ctx context.Context, db history.Querier, step drive.Step) error {
	p.sealed = nil
	_, inTransaction := db.(*sql.Tx)
	if !inTransaction || step.Text == "" || step.Down || !p.row.registered || len(p.run.working) > 1 || p.mark.set {
		return nil
	}
	if last := p.steps[len(p.steps)-1]; last.Version != step.Version || last.checkpoint != nil || p.driver.AwaitOrphans(ctx) != nil {
		return nil
	}
	rows, err := p.target.table.OwnedIn(ctx, db)
	if err != nil {
		return err
	}
	expected := append(p.ledger.Expected(), append(slices.Clone(step.Instead), step.Version)...)
	if missing, extra := plan.Diff(expected, rows.Applied); len(missing)+len(extra) > 0 {
		return nil
	}
	ours, err := p.target.state.Runs.End(ctx, db, p.row.id, plan.Newest(rows.Applied), history.Migrated, "", time.Now(), p.driver.Backends()...)
	if err != nil {
		return err
	}
	if err := p.driver.StillOurs(ours); err != nil {
		return err
	}
	p.sealed = &rows
	return nil
}

// unsealed decides, after a batch that failed, whether its transaction was committed all the same: the answer may have been lost.
func (p *part) unsealed(ctx context.Context, result drive.Result) drive.Result {
	sealed := p.sealed
	p.sealed = nil
	if sealed == nil || !result.MaybeRecorded {
		return result
	}
	ctx, cancel := p.run.holding.detached(ctx, p.run.options.rollbackTimeout)
	defer cancel()
	p.ledger.Doubt()
	rows, err := wayBack{p}.read(ctx)
	if err != nil || !slices.Equal(rows.Applied, sealed.Applied) {
		return result
	}
	p.sealed = &rows
	p.events.send(Warning{Message: fmt.Sprintf("the transaction was committed, though the answer was lost: %v", result.Err)})
	return drive.Result{Key: result.Key}
}

// asSealed are the applied versions at the end of a run that had no error.
func (p *part) asSealed(ctx context.Context, db *sql.DB) (history.Rows, error) {
	if p.sealed == nil {
		return p.owned(ctx, db, false)
	}
	p.end.to = plan.Newest(p.sealed.Applied)
	return *p.sealed, nil
}
