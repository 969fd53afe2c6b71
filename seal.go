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

// seal is the end of a run in the transaction of its last batch.
type seal struct {
	part *part
	rows *history.Rows // as verified in that transaction, nil if it has not ended the run
}

// close verifies and ends the run within the transaction of its last batch. So the server commits once, and a process that is
// killed leaves either a run that has ended, or a run that was cut off and has nothing of the batch. If the batch isn't the last
// step, or the versions aren't those expected, the run is verified and ended after the commit, as every other run.
func (s *seal) close(ctx context.Context, db history.Querier, step drive.Step) error {
	p := s.part
	s.rows = nil
	if step.Texts == nil || !p.row.registered || len(p.run.working) > 1 || p.mark.set {
		return nil
	}
	if last := p.steps[len(p.steps)-1]; last.Version != step.Version {
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
	ours, err := p.target.state.Runs.End(ctx, db, p.row.id, plan.Newest(rows.Applied), history.Migrated, "", time.Now(), p.driver.Connections().Named()...)
	if err != nil || !ours { // the fence was there when the transaction began: a migration in it has removed the rows
		return err
	}
	s.rows = &rows
	return nil
}

// doubted decides, after a batch that failed, whether its transaction was committed all the same: the answer may have been lost.
func (s *seal) doubted(ctx context.Context, result drive.Result) drive.Result {
	p, sealed := s.part, s.rows
	s.rows = nil
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
	s.rows = &rows
	p.events.send(Warning{Message: fmt.Sprintf("the transaction was committed, though the answer was lost: %v", result.Err)})
	return drive.Result{Key: result.Key}
}

// read reads the applied versions at the end of a run that had no error, unless its last transaction has.
func (s *seal) read(ctx context.Context, db *sql.DB) (history.Rows, error) {
	if s.rows == nil {
		return s.part.owned(ctx, db, false)
	}
	s.part.end.to = plan.Newest(s.rows.Applied)
	return *s.rows, nil
}
