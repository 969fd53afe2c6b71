package gooseplus

import (
	"context"
	"slices"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/envfs"
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

// unfenced says whether a step, or its Down, has parts that no row lock covers.
func unfenced(s plannedStep) bool {
	return !s.sections[0].Transactional || !s.sections[1].Transactional
}

// step is the step up of a version whose file is loaded.
func (p *part) step(version int64) plannedStep {
	m, _ := p.target.set.Find(version)
	return p.target.step(m, p.files.read[version])
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

func (p *part) publicSteps() []Step {
	steps := make([]Step, len(p.steps))
	for i, s := range p.steps {
		steps[i] = s.Step
	}
	return steps
}

// files are the migrations that a part has read.
type files struct {
	reader *drive.Reader         // nil as long as there is nothing to read or to do
	read   map[int64]migset.Body // what SQL files contain
}

// load reads the files of versions that are to go in the given direction, each once in a run, and
// reports every file that goose can't parse.
func (p *part) load(ctx context.Context, wanted []int64, direction string) error {
	unread := slices.DeleteFunc(p.target.set.WithSQL(wanted), func(v int64) bool { _, read := p.files.read[v]; return read })
	if len(unread) == 0 {
		return nil
	}
	if err := p.makeReader(); err != nil {
		return err
	}
	errs := p.target.set.Read(ctx, p.files.reader.Scripts, unread, direction, p.files.read)
	for _, v := range unread {
		if err := p.split(v); err != nil {
			errs = append(errs, err)
		}
	}
	return p.target.unreadable(errs)
}

// makeReader makes the reader of this part, once.
func (p *part) makeReader() (err error) {
	if p.files.reader == nil {
		source := drive.Source{Files: p.target.set.Files, Table: p.target.table, Options: p.run.options.gooseOptions}
		for _, m := range p.target.set.List {
			if m.Go != nil {
				source.Go = append(source.Go, m.Go)
			}
		}
		p.files.read = make(map[int64]migset.Body)
		p.files.reader, err = drive.NewReader(source)
	}
	return err
}

// split gives the reader a Down that is apart.
func (p *part) split(version int64) error {
	m, _ := p.target.set.Find(version)
	b := p.files.read[version]
	if !m.Apart(b) {
		return nil
	}
	_, down := p.target.set.Sections(m, b)
	if down.IsGo {
		return p.files.reader.SplitFunction(version, down.Tx, down.NoTx)
	}
	return p.files.reader.SplitText(version, envfs.Texts(envfs.Text{Version: version, Down: down.Statements, NoTransaction: !down.Transactional}))
}

func (p *part) migrationError(step plannedStep, statement string, err error) error {
	secrets := redact.In(statement)
	return &MigrationError{
		Tenant:      p.run.options.tenant,
		Namespace:   p.target.set.Namespace,
		Environment: step.Environment,
		Version:     step.Version,
		Source:      step.Source,
		Direction:   step.Direction,
		Statement:   secrets.Text(),
		Err:         &statementError{err, secrets},
	}
}

func (p *part) irreversible(step plannedStep) error {
	return p.migrationError(step.down(), "", ErrIrreversible)
}
