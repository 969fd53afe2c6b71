package cli

import (
	"context"
	"fmt"
	"math"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// asksBack ends the help of a command that goes down.
const asksBack = "\nIf it undoes anything, it asks first: on a terminal it waits for an answer, elsewhere it needs --yes."

// descent says which of the applied migrations a command undoes.
type descent func(gooseplus.Status) (undone int, question string)

// last are the migrations that were applied last.
func last(steps int) descent {
	return func(s gooseplus.Status) (int, string) {
		switch n := min(steps, countApplied(s, 0)); {
		case n <= 1:
			return n, "undo the last migration"
		default:
			return n, fmt.Sprintf("undo the last %d migrations", n)
		}
	}
}

// above are the migrations above a version. It asks nothing about a version that the run refuses.
func above(version int64) descent {
	return func(s gooseplus.Status) (int, string) {
		n := countApplied(s, version)
		var known, applied []int64
		for _, m := range s.Migrations {
			if !m.Unknown {
				known = append(known, m.Version)
			}
			if m.AppliedAt != nil {
				applied = append(applied, m.Version)
			}
		}
		switch {
		case migset.Mistyped(version, known, applied) != nil:
			return 0, ""
		case n == countApplied(s, 0):
			return n, "undo ALL migrations"
		case n == 1:
			return n, fmt.Sprintf("undo the migration above version %d", version)
		}
		return n, fmt.Sprintf("undo the %d migrations above version %d", n, version)
	}
}

// toLocked are those above the highest version that is protected.
func toLocked(s gooseplus.Status) (int, string) {
	highest := int64(math.MaxInt64) // nothing is above it; RollbackToLocked says that no version is protected
	for _, m := range s.Migrations {
		if m.Locked {
			highest = m.Version
		}
	}
	return above(highest)(s)
}

// countApplied counts the applied migrations above a version.
func countApplied(s gooseplus.Status, version int64) (n int) {
	for _, m := range s.Migrations {
		if m.AppliedAt != nil && m.Version > version {
			n++
		}
	}
	return n
}

// statusAnyway is Status, but a file that can't be parsed is not an error.
func statusAnyway(ctx context.Context, m *gooseplus.Migrator) (gooseplus.Status, error) {
	s, err := m.Status(ctx)
	if len(s.Migrations) > 0 {
		err = nil
	}
	return s, err
}

// confirmDown asks before anything is undone.
func (c *call) confirmDown(ctx context.Context, m *gooseplus.Migrator, d descent) error {
	s, err := statusAnyway(ctx, m)
	if err != nil {
		return err
	}
	if n, question := d(s); n > 0 {
		return c.confirm(question)
	}
	return nil
}
