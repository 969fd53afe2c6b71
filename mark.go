package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// markGrace is how long the answer to a mark is waited for after the end of the run's time.
const markGrace = 2 * time.Second

// mark is the row in the state table that says which step a part is at, if no transaction makes that whole or absent.
// One row serves a run: that it is at the next step says that the one before is finished.
type mark struct {
	part *part
	set  bool         // it may be there, for the step at
	at   plannedStep  // the step
	left *plannedStep // the step that the run leaves half-applied, if it isn't the marked one
}

// put remembers the step that is about to start.
func (m *mark) put(ctx context.Context, step plannedStep) error {
	p := m.part
	if step.Transactional || p.target.state == nil {
		return nil
	}
	ctx, cancel := failure.Limit(ctx, p.run.options.migrationTimeout, "migration timeout")
	defer cancel()
	if !m.set {
		if err := p.run.ensureState(ctx); err != nil {
			return err
		}
	}
	// The server may have executed what ctx interrupts: so it is given time to answer, and what it may have been told
	// counts as told.
	ctx, cancelAnswer := wait.Outlive(ctx, markGrace)
	defer cancelAnswer()
	claimed := m.set
	m.set, m.at = true, step
	err := m.write(ctx, step, claimed)
	if err != nil {
		switch gone, failed := p.run.restore(ctx); {
		case gone && failed == nil:
			err = m.write(ctx, step, false)
		case gone:
			err = p.target.stateError(ctx, failed)
		case p.target.oneWriter() && p.target.dialect.Contention(err):
			m.set = claimed // the server has refused it
		}
	}
	if errors.Is(err, drive.ErrDead) {
		err = p.run.holding.declaredDead()
	}
	return err
}

// write writes the mark. Without the lock, another runner may be at such a step.
func (m *mark) write(ctx context.Context, step plannedStep, claimed bool) error {
	p := m.part
	if p.run.holding == nil {
		return m.claim(ctx, step, claimed)
	}
	ours, err := p.target.state.Steps.MarkFenced(ctx, p.run.db.own, m.row(step))
	if err != nil {
		return p.target.stateError(ctx, err)
	}
	if !ours {
		return drive.ErrDead
	}
	return nil
}

// claim writes the mark of a run without the lock. It refuses if another runner is at such a step: the Down of this run
// would remove what that runner is about to record.
func (m *mark) claim(ctx context.Context, step plannedStep, claimed bool) error {
	p, db := m.part, m.part.run.db.own
	if claimed {
		if still, err := p.target.state.Steps.Move(ctx, db, m.row(step)); err != nil {
			return p.target.stateError(ctx, err)
		} else if still {
			return nil
		}
	}
	others, err := p.target.state.Steps.Claim(ctx, db, m.row(step))
	if err != nil {
		return p.target.stateError(ctx, err)
	}
	if len(others) > 0 {
		m.set, p.run.progress.elsewhere = false, true
		return p.admission.dirty(ctx, others, p.ledger.Expected())
	}
	// A runner that finished its step before the claim has recorded it.
	rows, err := p.owned(ctx, db, false)
	if err != nil {
		return p.target.tableError(ctx, err)
	}
	if missing, extra := plan.Diff(p.ledger.Expected(), rows.Applied); len(missing)+len(extra) > 0 {
		return p.otherRunner(fmt.Sprintf("it added %v and removed %v", extra, missing))
	}
	return nil
}

func (m *mark) row(step plannedStep) history.Step {
	return history.Step{
		Mark: history.Mark{Namespace: m.part.target.set.Namespace, Version: step.Version, Source: step.Source},
		Run:  m.part.row.id, Down: step.Direction == directionDown,
	}
}

// settle decides, at the end of a run, what becomes of the mark: it is removed, or becomes the mark of a failed step.
func (m *mark) settle(ctx context.Context, dirty bool) error {
	p, db := m.part, m.part.run.db.own
	if !m.set && !(dirty && m.left != nil) {
		return nil
	}
	step := m.row(m.at)
	if dirty && m.left != nil {
		if err := p.run.ensureState(ctx); err != nil {
			return err
		}
		step = m.row(*m.left)
	}
	step.Failed = true
	put := func() error {
		if dirty {
			return p.target.state.Steps.Mark(ctx, db, step)
		}
		return p.target.state.Steps.Unmark(ctx, db, p.row.id)
	}
	err := put()
	if err != nil {
		if gone, failed := p.run.restore(ctx); gone && failed == nil {
			err = put()
		}
	}
	m.set = m.set && err != nil // restore must not put back a settled mark
	return err
}
