package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// Plan returns the steps that [Migrator.Migrate] would take now, in order, none if nothing is
// pending. Its errors are those that Migrate would return before it touches anything. It executes
// three statements at most, plus those that look for another tool's history where nothing is applied. It is read-only, and
// neither takes the lock nor waits for it.
func (m *Migrator) Plan(ctx context.Context) ([]Step, error) {
	return m.preview(ctx, upTo(math.MaxInt64))
}

// PlanTo returns the steps that [Migrator.Goto] would take now to a version, in order: first those down, then those up. Its
// errors are those that Goto would return before it touches anything. Like [Migrator.Plan] it is read-only.
func (m *Migrator) PlanTo(ctx context.Context, version int64) ([]Step, error) {
	if version < 0 {
		return nil, fmt.Errorf("version %d: the lowest is 0, which means before the first migration", version)
	}
	if _, err := m.one(); err != nil {
		return nil, err
	}
	return m.preview(ctx, existing(version, exactly(version)))
}

func (m *Migrator) preview(ctx context.Context, goal goal) ([]Step, error) {
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	return m.newRun(known, db, new(stream)).looking.steps(ctx, goal) // nobody hears of this run
}

// Statements returns the SQL statements of a step that [Migrator.Plan] or [Migrator.PlanTo] has returned, as goose would
// execute them. A Go function has none. It needs no database. A file that goose can't parse is a [*MigrationError]; a step
// of another Migrator is an error too.
func (m *Migrator) Statements(ctx context.Context, s Step) ([]string, error) {
	known, err := m.resolve()
	if err != nil {
		return nil, err
	}
	for _, t := range known.parts {
		if t.set.Namespace != s.Namespace {
			continue
		}
		if c := t.set.Checkpoints.At(s.Source); c != nil && s.Covers > 0 {
			statements, errs := t.set.CheckpointSQL(ctx, c)
			return statements, t.unreadable(errs)
		}
		migration, found := t.set.Find(s.Version)
		if !found {
			continue
		}
		bodies := make(map[int64]migset.Body)
		if errs := t.set.Read(ctx, t.set.Offline, t.set.WithSQL([]int64{s.Version}), s.Direction, bodies); len(errs) > 0 {
			return nil, t.unreadable(errs)
		}
		up, down := t.set.Sections(migration, bodies[s.Version])
		if s.Direction == directionDown {
			up = down
		}
		return up.Statements, nil
	}
	return nil, errors.New("migration " + ref(s.Version, s.Source) + " is not one of this Migrator's")
}

// plan decides the steps that lead from the applied versions to the goal: down first, then up.
func (p *part) plan(ctx context.Context, applied []int64, goal goal) error {
	p.planned, p.end.from = applied, plan.Newest(applied)
	known := p.target.set.Versions()
	down, pending, err := goal(known, applied)
	if err != nil {
		return err
	}
	if unknown, _ := plan.Diff(down, known); len(unknown) > 0 {
		if err := (memory{p}).restoreDowns(ctx, unknown); err != nil {
			return err
		}
	}
	if len(down) == 0 {
		if err := (memory{p}).unknown(known, applied); err != nil {
			return err
		}
	}
	remaining, _ := plan.Diff(applied, down)
	if late := plan.Late(pending, remaining); p.run.options.strictOrder && len(late) > 0 {
		return fmt.Errorf("%w: versions %v are pending and lower than %d, the newest applied (WithStrictOrder)",
			ErrMergeMigrations, late, plan.Newest(remaining))
	}
	first, pending, err := p.files.begin(ctx, applied, pending)
	if err != nil {
		return err
	}
	if err := errors.Join(p.files.load(ctx, down, directionDown), p.files.load(ctx, pending, directionUp)); err != nil {
		return fmt.Errorf("%w: %w", ErrRollForward, err)
	}
	p.steps = nil
	for _, v := range down {
		p.steps = append(p.steps, p.files.step(v).down())
	}
	p.steps = append(p.steps, first...)
	for _, v := range pending {
		p.steps = append(p.steps, p.files.step(v))
	}
	faults := []error{p.steps.reversible(p.target)}
	if p.run.options.oneTransaction() {
		faults = append(faults, p.steps.transactional())
	}
	lock := p.run.options.globalLock && !p.target.oneWriter()
	return errors.Join(append(faults, p.steps.connections(p.run.db.own.Stats().MaxOpenConnections, lock))...)
}
