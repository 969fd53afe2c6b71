package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/redact"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

const (
	directionUp   = migset.Up
	directionDown = migset.Down
)

// plannedStep is a Step with what goose has to know of it.
type plannedStep struct {
	Step
	sections   [2]drive.Section   // up and down
	checkpoint *migset.Checkpoint // nil for a migration
	batch      *batch             // nil for a migration
	text       []string           // of a checkpoint: its statements
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
	if s.checkpoint != nil { // if it is executed, it is to be recorded, and no Down takes it back
		step.Instead, step.Reversible = s.besides(), false
	}
	if s.batch != nil && !step.Down { // its text is for the way up
		step.Instead, step.Texts = s.besides(), s.batch.texts
	}
	return step
}

// unfenced says whether a step, or its Down, has parts that no row lock covers.
func (s plannedStep) unfenced() bool {
	return !s.sections[0].Transactional || !s.sections[1].Transactional
}

// change is the step as the ledger notes it.
func (s plannedStep) change() plan.Change {
	return plan.Change{Version: s.Version, Down: s.Direction == directionDown}
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
		Transactional: s.InTransaction() && t.dialect.TransactionalDDL, Watched: s.Watched(), Plain: s.Plain(),
	}
}

func (t *target) migrationError(step plannedStep, statement string, err error) *MigrationError {
	secrets := redact.In(statement)
	answer := dialect.AnswerOf(err)
	return &MigrationError{
		Tenant:      t.tenant,
		Namespace:   t.set.Namespace,
		Environment: step.Environment,
		Version:     step.Version,
		Source:      step.Source,
		Direction:   step.Direction,
		Statement:   secrets.Text(),
		Detail:      secrets.Hide(answer.Detail),
		Hint:        secrets.Hide(answer.Hint),
		Err:         &statementError{err, secrets},
		end:         t.dialect.EndConnection,
	}
}

// locate names the file and the line of the statement that failed, or that goose could not parse, if they can be found.
func (e *MigrationError) locate(t *target, statement string, parsed bool, all []string, number int) {
	files := t.set.Files
	if c := t.set.Checkpoints.At(e.Source); c != nil {
		files = c.Files
	}
	e.file, e.Line = files.Line(e.Version, statement, e.Direction == directionDown, parsed, dialect.AnswerOf(e.Err).Position, sqltext.OccurrenceOf(all, number))
	if e.Line == 0 && statement != "" && number > 0 && number <= len(all) {
		e.file = fmt.Sprintf("%s, statement %d of %d", e.Source, number, len(all))
	}
}

func (t *target) irreversible(step plannedStep) error {
	err := ErrIrreversible
	if m, _ := t.set.Find(step.Version); m.Gone() {
		err = fmt.Errorf("%w: its file is gone, and a checkpoint stands for it (%s)", ErrIrreversible, t.set.Checkpoints.Covering(step.Version).Source)
	}
	return t.migrationError(step.down(), "", err)
}

// steps are those of one part, in order.
type steps []plannedStep

// public are the steps as users see them.
func (s steps) public() []Step {
	list := make([]Step, len(s))
	for i, step := range s {
		list[i] = step.Step
	}
	return list
}

// reversible refuses steps down that goose would report as a success and that would undo nothing.
func (s steps) reversible(t *target) error {
	var faults []error
	for _, step := range s {
		if step.Direction == directionDown && !step.Reversible {
			faults = append(faults, t.irreversible(step))
		}
	}
	return errors.Join(faults...)
}

// transactional refuses steps that can't be part of the run's one transaction.
func (s steps) transactional() error {
	var faults []error
	for _, step := range s {
		if !step.Transactional {
			faults = append(faults, fmt.Errorf("WithRollback(RollbackTransaction): migration %s %s doesn't run in a transaction",
				ref(step.Version, step.Source), step.Direction))
		}
	}
	return errors.Join(faults...)
}

// connections refuses a pool in which the run would wait for a connection for ever. The migrations work on one. The
// lock has one for itself, and notes on one more which connection a step is on that no row lock covers.
func (s steps) connections(limit int, lock bool) error {
	need, why := 1, ""
	if lock && len(s) > 0 {
		need, why = need+1, "the lock takes a connection for itself"
		if slices.ContainsFunc(s, plannedStep.unfenced) {
			need, why = need+1, "the lock takes a connection for itself, and one for steps that are not transactional"
		}
	}
	if limit == 0 || limit >= need {
		return nil
	}
	return fmt.Errorf("this run needs %d connections, and the pool has SetMaxOpenConns(%d): %s", need, limit, why)
}

// files are the migrations that a part has read.
type files struct {
	target *target
	goose  []goose.ProviderOption // the application's
	reader *drive.Reader          // nil as long as there is nothing to read or to do
	read   map[int64]migset.Body  // what SQL files contain, and stored Downs
	// restored are migrations of which only the stored Down is known.
	restored map[int64]migset.Migration

	checkpoints map[*migset.Checkpoint]plannedStep // that were read
}

// load reads the files of versions that are to go in the given direction, each once in a run, and
// reports every file that goose can't parse.
func (f *files) load(ctx context.Context, wanted []int64, direction string) error {
	unread := slices.DeleteFunc(f.target.set.WithSQL(wanted), func(v int64) bool { _, read := f.read[v]; return read })
	if len(unread) == 0 {
		return nil
	}
	if err := f.makeReader(); err != nil {
		return err
	}
	errs := f.target.set.Read(ctx, f.reader.Scripts, unread, direction, f.read)
	for _, v := range unread {
		if err := f.split(v); err != nil {
			errs = append(errs, err)
		}
	}
	return f.target.unreadable(errs)
}

// makeReader makes the reader of this part, once.
func (f *files) makeReader() (err error) {
	if f.reader == nil {
		source := drive.Source{Files: f.target.set.Files, Table: f.target.table, Options: f.goose}
		for _, m := range f.target.set.List {
			if m.Go != nil {
				source.Go = append(source.Go, m.Go)
			}
		}
		f.read = make(map[int64]migset.Body)
		f.reader, err = drive.NewReader(source)
	}
	return err
}

// split gives the reader a Down that is apart.
func (f *files) split(version int64) error {
	m, _ := f.target.set.Find(version)
	b := f.read[version]
	if !m.Apart(b) {
		return nil
	}
	_, down := f.target.set.Sections(m, b)
	if down.IsGo {
		return f.reader.SplitFunction(version, down.Tx, down.NoTx)
	}
	return f.splitText(version, down)
}

func (f *files) splitText(version int64, down migset.Section) error {
	return f.reader.SplitText(version, envfs.Texts(map[int64]envfs.Text{version: {Down: down.Statements, NoTransaction: !down.Transactional}}))
}

// step is the step up of a version whose file is loaded. A version that isn't known has an empty one.
func (f *files) step(version int64) plannedStep {
	m, known := f.target.set.Find(version)
	if !known {
		m = f.restored[version]
		m.Version = version
	}
	return f.target.step(m, f.read[version])
}
