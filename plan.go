package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gooseplus/gooseplus/internal/migset"
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
