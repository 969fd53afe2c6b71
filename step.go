package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/redact"
)

const (
	directionUp   = migset.Up
	directionDown = migset.Down
)

// plannedStep is a Step with what only the run has to know.
type plannedStep struct {
	Step
	// inTransaction says that goose opens a transaction for the step; on a database where DDL
	// commits by itself such a step is not Transactional all the same.
	inTransaction bool
	// downTransaction and downTransactional say the same of its Down.
	downInTransaction, downTransactional bool
	// function, gooseTransaction and watched are what the session has to know of it: see session.Step.
	function, gooseTransaction, watched             bool
	downFunction, downGooseTransaction, downWatched bool
	// opened and downOpened say whether goose opens a transaction for SQL, also if the SQL has one of its own.
	opened, downOpened bool
}

// down is the step in the other direction.
func (s plannedStep) down() plannedStep {
	s.Direction = directionDown
	s.inTransaction, s.Transactional, s.opened = s.downInTransaction, s.downTransactional, s.downOpened
	s.function, s.gooseTransaction, s.watched = s.downFunction, s.downGooseTransaction, s.downWatched
	return s
}

// failure is the step that failed and what it can have left behind.
type failure struct {
	step plannedStep
	// leftNothing is true when the step is certain to have changed nothing, but for what the version
	// table tells.
	leftNothing bool
	// maybeRecorded is true when the answer to the change of the version table, or to the COMMIT
	// after it, was lost: only a look can tell whether it has happened.
	maybeRecorded bool
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
	s.inTransaction, s.downInTransaction = up.InTransaction(), down.InTransaction()
	s.Transactional = s.inTransaction && t.dialect.TransactionalDDL
	s.downTransactional = s.downInTransaction && t.dialect.TransactionalDDL
	s.function, s.gooseTransaction, s.watched = up.IsGo, up.GooseTransaction(), up.Watched()
	s.downFunction, s.downGooseTransaction, s.downWatched = down.IsGo, down.GooseTransaction(), down.Watched()
	s.opened, s.downOpened = up.Transactional, down.Transactional
	return s
}

// warnIrreversible says which steps of the run nothing will be able to undo.
func (r *run) warnIrreversible() {
	for _, s := range r.steps {
		if s.Direction == directionUp && !s.Reversible {
			r.events.send(Warning{Message: fmt.Sprintf("migration %s has no Down: nothing can undo it", ref(s.Version, s.Source))})
		}
	}
}

// maybeRecorded says whether the version table may say that the step that failed with err was
// executed all the same.
func (r *run) maybeRecorded(step plannedStep, err error) bool {
	switch {
	case otherRunner(err), !r.recorder.Reached():
		return false
	case r.recorder.Recorded():
		return true // it was the COMMIT that failed
	}
	// The answer was lost; where there is no transaction, nobody can tell.
	return !step.inTransaction || !rolledBack(err)
}

// otherRunner says whether err comes from a version table in which somebody else has done meanwhile
// what the step was to do.
func otherRunner(err error) bool {
	return errors.Is(err, history.ErrRecorded) || errors.Is(err, history.ErrNotRecorded)
}

// do runs one step in its direction, under the migration timeout.
func (r *run) do(ctx context.Context, step plannedStep) error {
	if err := r.mark(ctx, step); err != nil {
		r.trace.reset()
		r.recorder.Step(step.Direction == directionDown)
		return r.migrationError(step, "", err)
	}
	r.recorder.Step(step.Direction == directionDown)
	return r.drive(ctx, step)
}

// drive has goose run a step for which the recorder is prepared.
func (r *run) drive(ctx context.Context, step plannedStep) error {
	r.current = step
	ctx, cancel := limit(ctx, r.options.migrationTimeout, "migration timeout")
	defer cancel()
	r.events.send(MigrationStarted{Step: step.Step})
	started := time.Now()
	err := r.attempts(ctx, step)
	if err != nil && r.leftNothing(ctx, step, err) {
		// It may have failed at the fence: the step before may have removed the state table.
		if gone, restored := r.restore(ctx); gone && restored == nil {
			r.recorder.Again()
			err = r.attempts(ctx, step)
		}
	}
	if err != nil {
		statement := r.trace.statement
		if r.recorder.Reached() {
			statement = "" // the step's own were all executed: it was the version table, or the COMMIT
		}
		if otherRunner(err) {
			r.warnOther("it is at migration " + ref(step.Version, step.Source) + " too")
			err = fmt.Errorf("%w: %w", errOtherRunner, err)
		}
		err = r.migrationError(step, statement, stopped(ctx, err))
	}
	r.events.send(MigrationFinished{Step: step.Step, Duration: time.Since(started), Err: err})
	return err
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

// leftNothing says whether the step that failed with err is certain to have changed nothing but, if
// it was committed after all, the version table. A transaction takes everything back where DDL obeys
// it. Where it doesn't, some single statements still are all or nothing; but it has to be this
// statement that the server refused, not the row of the version table that comes after it, nor a
// connection that was lost on the way: then the rollback that goose sent has succeeded.
func (r *run) leftNothing(ctx context.Context, step plannedStep, err error) bool {
	if r.session != nil && r.session.Ended() {
		return false
	}
	if step.Transactional || !r.trace.began() || r.firstRefused(step, err) {
		return true
	}
	if !step.inTransaction || !r.trace.onlyStatement() || r.recorder.Reached() || !rolledBack(err) {
		return false
	}
	return atomicDDL(r.trace.statement) || atomicDML(r.trace.statement) && r.part.table.Transactional(ctx, r.db)
}

// firstRefused says whether the step failed at its first statement, before that had any effect: the server could not parse
// it, or it stood in the transaction that goose opened, which a later statement would have ended.
func (r *run) firstRefused(step plannedStep, err error) bool {
	statement := r.trace.statement
	switch {
	case r.trace.statements != 1 || r.trace.functions > 0 || r.recorder.Reached():
		return false
	case single(statement) && !executesOthers(statement) && r.part.dialect.Unparsed(err):
		return true
	}
	return step.opened && r.part.dialect.TransactionalDDL && !controlsTransactions([]string{statement}) && rolledBack(err)
}

// rolledBack says whether the transaction of a step that failed was rolled back on its connection:
// goose adds the error of a rollback that failed to the step's own.
func rolledBack(err error) bool {
	var partial *goose.PartialError
	return errors.As(err, &partial) && len(appended(partial.Err)) == 1
}

var errRollbackOff = errors.New("the run was to stop where it failed (RollbackNone)")
