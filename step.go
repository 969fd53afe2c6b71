package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/redact"
)

const (
	directionUp   = migset.Up
	directionDown = migset.Down
)

// plannedStep is a Step with what goose has to know of it.
type plannedStep struct {
	Step
	sections [2]drive.Section // up and down
}

// down is the step in the other direction.
func (s plannedStep) down() plannedStep {
	s.Direction = directionDown
	s.Transactional = s.sections[1].Transactional
	return s
}

// drive is the step as it is executed.
func (s plannedStep) drive() drive.Step {
	step := drive.Step{Section: s.sections[0], Version: s.Version, Source: s.Source, Reversible: s.Reversible}
	if s.Direction == directionDown {
		step.Section, step.Down = s.sections[1], true
	}
	return step
}

// change is the step as the ledger notes it.
func (s plannedStep) change() plan.Change {
	return plan.Change{Version: s.Version, Down: s.Direction == directionDown}
}

// step is the step up of a version whose file is loaded.
func (r *run) step(version int64) plannedStep {
	m, _ := r.part.set.Find(version)
	return r.part.step(m, r.scripts[version])
}

func (t *target) step(m migset.Migration, b migset.Body) plannedStep {
	s := plannedStep{Step: Step{
		Namespace: t.set.Namespace, Version: m.Version, Source: m.Source, Environment: m.Environment, Direction: directionUp,
	}}
	up, down := t.set.Sections(m, b)
	s.Reversible = !down.Empty()
	s.sections = [2]drive.Section{t.section(up), t.section(down)}
	s.Transactional = s.sections[0].Transactional
	return s
}

// section is what goose executes of one direction.
func (t *target) section(s migset.Section) drive.Section {
	return drive.Section{
		Function: s.IsGo, GooseTransaction: s.GooseTransaction(), InTransaction: s.InTransaction(),
		Transactional: s.InTransaction() && t.dialect.TransactionalDDL, Watched: s.Watched(),
	}
}

// warnIrreversible says which steps of the run nothing will be able to undo.
func (r *run) warnIrreversible() {
	for _, s := range r.steps {
		if s.Direction == directionUp && !s.Reversible {
			r.events.send(Warning{Message: fmt.Sprintf("migration %s has no Down: nothing can undo it", ref(s.Version, s.Source))})
		}
	}
}

// take takes one step in its direction, under the migration timeout.
func (r *run) take(ctx context.Context, step plannedStep) drive.Result {
	if err := r.mark(ctx, step); err != nil {
		return drive.Result{Err: r.migrationError(step, "", err), LeftNothing: true}
	}
	return r.takeMarked(ctx, step, false)
}

// takeMarked takes a step of which the state table knows. unrecorded says that the version table knows nothing of a
// step down.
func (r *run) takeMarked(ctx context.Context, step plannedStep, unrecorded bool) drive.Result {
	ctx, cancel := failure.Limit(ctx, r.options.migrationTimeout, "migration timeout")
	defer cancel()
	r.events.send(MigrationStarted{Step: step.Step})
	started := time.Now()
	what := step.drive()
	what.Unrecorded = unrecorded
	result := r.driver.Take(ctx, what)
	if result.Err != nil {
		if errors.Is(result.Err, drive.ErrOtherRunner) {
			r.warnOther("it is at migration " + ref(step.Version, step.Source) + " too")
		}
		result.Err = r.migrationError(step, result.Statement, result.Err)
	}
	r.events.send(MigrationFinished{Step: step.Step, Duration: time.Since(started), Err: result.Err})
	return result
}

func (r *run) migrationError(step plannedStep, statement string, err error) error {
	secrets := redact.In(statement)
	return &MigrationError{
		Tenant:      r.options.tenant,
		Namespace:   r.part.set.Namespace,
		Environment: step.Environment,
		Version:     step.Version,
		Source:      step.Source,
		Direction:   step.Direction,
		Statement:   secrets.Text(),
		Err:         &statementError{err, secrets},
	}
}

var errRollbackOff = errors.New("the run was to stop where it failed (RollbackNone)")
