package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Rollback undoes the last migrations that were applied, as many as steps says or all if there are
// fewer, in the reverse of the order in which they were applied: a late version goes before a
// higher one that was there earlier. It is a run like [Migrator.Migrate], with the same errors: if
// a Down fails, the migrations that this run has undone are applied again. Besides, before anything is
// touched, it returns
//
//   - [ErrIrreversible], with a [*MigrationError] for each of them that has no Down or an empty one;
//   - [ErrIrreversible] as well, with their versions, if some of them are not known: their files are
//     missing, or in the folder of an environment that this Migrator doesn't have. With [WithStoredDowns], that is so only
//     for versions without a stored Down;
//   - an error if steps is below 1.
func (m *Migrator) Rollback(ctx context.Context, steps int) error {
	if steps < 1 {
		return fmt.Errorf("%d steps: at least 1 has to be undone", steps)
	}
	return m.migrateOne(ctx, undoLast(steps))
}

// RollbackTo is [Migrator.Rollback] of every applied migration with a higher version than the one
// given; 0 undoes all. Applied versions up to it are left alone, known or
// not. A version below 0 is an error, and so is a version that looks mistyped: see [Migrator.Goto].
func (m *Migrator) RollbackTo(ctx context.Context, version int64) error {
	if version < 0 {
		return fmt.Errorf("version %d: the lowest is 0, which means before the first migration", version)
	}
	return m.migrateOne(ctx, existing(version, undoAbove(version)))
}

// RollbackToLocked is [Migrator.RollbackTo] of the highest version that is protected ([Migrator.LockVersion]): it undoes all
// that may be undone. If no version is protected it is an error, and nothing is touched.
func (m *Migrator) RollbackToLocked(ctx context.Context) error {
	highest, err := m.highestLocked(ctx)
	if err != nil {
		return err
	}
	return m.migrateOne(ctx, undoAbove(highest))
}

func (m *Migrator) highestLocked(ctx context.Context) (highest int64, err error) {
	part, db, done, err := m.open(ctx)
	if err != nil {
		return 0, m.refuse(ctx, err)
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	if part.state != nil {
		facts, err := part.state.Read(ctx, db.own)
		if err != nil {
			return 0, part.named(part.stateError(ctx, err))
		}
		for _, p := range part.own(facts).Protected {
			highest = max(highest, p.Version)
		}
	}
	if highest == 0 {
		return 0, m.named(errors.New("no version is protected (LockVersion), so there is no version to go back to. Nothing was touched"))
	}
	return highest, nil
}

// Goto goes up or down, until exactly the known migrations up to and including the given
// version are applied; 0 means none. Applied versions above it are
// undone, as by [Migrator.RollbackTo], then missing versions up to it are applied, as by
// [Migrator.MigrateTo]. This is one run, which returns to its starting point if it fails.
//
// A version below 0 is an error. A version that is neither known nor applied may lie between two that are, as a
// date may between two time stamps. It looks mistyped, and is refused before anything is touched, if it is above or
// below all of them, or if those next to it have another number of digits, as 20240102 and 20240102090000 have; the error
// names the versions next to it.
func (m *Migrator) Goto(ctx context.Context, version int64) error {
	if version < 0 {
		return fmt.Errorf("version %d: the lowest is 0, which means before the first migration", version)
	}
	return m.migrateOne(ctx, existing(version, exactly(version)))
}

// A Strategy says what a failed run does, see [WithRollback].
type Strategy int

const (
	// RollbackDown returns to the starting point: the Down of each migration that the run applied,
	// newest first, each in its own transaction if it was applied in one; and the Up of each
	// migration that the run undid, the last one first. It is the default.
	RollbackDown Strategy = iota
	// RollbackNone stops where the run failed, as goose does. The error is [ErrRollBack] if that is
	// not the starting point, and [ErrRollForward] if it is: nothing had been applied yet.
	RollbackNone
	// RollbackTransaction does the whole run in one transaction, in which each migration has a
	// savepoint. A run that fails, is cancelled or is killed leaves nothing, whatever its Downs say; the
	// version table and the state table, which may have been created before it, stay. It is for
	// PostgreSQL and SQLite: on other dialects it is a configuration fault, and a run with a step
	// outside a transaction is refused before anything is touched, with an error that names each
	// such step. The package documentation says when not to choose it.
	RollbackTransaction
)

func (s Strategy) known() bool { return s >= RollbackDown && s <= RollbackTransaction }

// String returns the name of the constant.
func (s Strategy) String() string {
	switch s {
	case RollbackDown:
		return "RollbackDown"
	case RollbackNone:
		return "RollbackNone"
	case RollbackTransaction:
		return "RollbackTransaction"
	}
	return fmt.Sprintf("Strategy(%d)", int(s))
}

// WithRollback sets what a failed run does. A value that is none of the three strategies is a configuration fault.
//
// The default is [RollbackDown].
func WithRollback(s Strategy) Option {
	return optionFunc(func(o *options) { o.rollback = s })
}

// WithRollbackTimeout limits the way back of a failed run as a whole. The way back does not end
// with the context given to the run: its own context keeps the values only. Zero means no
// limit; a negative duration is a configuration fault.
//
// The default is 5 minutes.
func WithRollbackTimeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.rollbackTimeout = d })
}

// oneTransaction says whether the whole run is one transaction.
func (o *options) oneTransaction() bool { return o.rollback == RollbackTransaction }

// transactionFault refuses the strategy where no transaction takes everything back.
func (o *options) transactionFault(d dialect.Dialect) error {
	if !o.oneTransaction() || d.OneTransaction() {
		return nil
	}
	return fmt.Errorf("WithRollback(RollbackTransaction): the dialect %s has no transaction that takes schema changes back", d.Goose)
}
