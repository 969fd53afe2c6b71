package gooseplus

import (
	"context"
	"fmt"

	"github.com/gooseplus/gooseplus/internal/history"
)

// restore puts back the state table, or this run's rows in it, after a migration has removed them. It also puts back the marks
// that the run has read or made. It says whether anything was gone. As long as this process has the lock, nobody else can have
// removed the rows. Without the lock, restore notices only a missing table.
func (r *run) restore(ctx context.Context) (gone bool, err error) {
	if r.holding == nil && !r.progress.stateReady { // it has written nothing there
		return false, nil
	}
	st, db := r.whole.state, r.db.own
	there, err := st.IsThere(ctx, db)
	if err != nil {
		return false, err
	}
	lost, err := r.lostRows(ctx, there)
	if err != nil || there && len(lost) == 0 {
		return false, err
	}
	if r.holding != nil {
		if err := r.holding.check(); err != nil {
			return true, err
		}
	}
	if !there {
		if err := st.Ensure(ctx, db); err != nil {
			return true, err
		}
	}
	for _, row := range lost {
		if err := st.Runs.Start(ctx, db, row); err != nil {
			return true, err
		}
	}
	if err := r.remarkAll(ctx); err != nil {
		return true, err
	}
	r.events.send(Warning{Message: fmt.Sprintf("a migration has removed the state table %s, or rows of it: what it remembered of other runs is lost", st.Name())})
	if r.holding != nil {
		return true, r.holding.check()
	}
	return true, nil
}

// restoreBetweenSteps is restore for a run that goes on. With RollbackTransaction it does nothing: the run's own transaction may
// have locked the table, and restore would wait for that transaction.
func (r *run) restoreBetweenSteps(ctx context.Context) (gone bool, err error) {
	if r.options.oneTransaction() {
		return false, nil
	}
	return r.restore(ctx)
}

// lostRows are the run's rows that the state table should have.
func (r *run) lostRows(ctx context.Context, there bool) (lost []history.Run, err error) {
	if r.holding == nil {
		return nil, nil
	}
	for _, row := range r.holding.rows {
		known := false
		if there {
			if known, err = r.whole.state.Runs.Known(ctx, r.db.own, row.ID); err != nil {
				return nil, err
			}
		}
		if !known {
			lost = append(lost, row)
		}
	}
	return lost, nil
}

// remarkAll marks again the steps that the parts are at, what the run has applied, the protected versions, an adopted history, and
// the environments.
func (r *run) remarkAll(ctx context.Context) error {
	st, db := r.whole.state, r.db.own
	for _, p := range r.parts {
		if err := p.driver.Connections().NameAgain(ctx); err != nil {
			return err
		}
		if p.mark.set {
			if err := st.Steps.Remark(ctx, db, p.mark.row(p.mark.at)); err != nil {
				return err
			}
		}
		if err := (memory{p}).again(ctx); err != nil {
			return err
		}
		for _, version := range p.admission.protected {
			if err := st.Marks.Protect(ctx, db, version); err != nil {
				return err
			}
		}
		if p.admission.adopted {
			if err := st.Marks.Adopt(ctx, db); err != nil {
				return err
			}
		}
	}
	for _, name := range r.stamps.seen {
		if err := st.Marks.Stamp(ctx, db, name); err != nil {
			return err
		}
	}
	for _, name := range r.stamps.announced {
		if err := st.Marks.Announce(ctx, db, name, r.working[0].row.id); err != nil {
			return err
		}
	}
	return nil
}
