package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// Force says what the database is at: that of the known migrations exactly those up to and including
// the given version are applied; 0 is none of them. A version that is neither known nor applied is an error. No migration is executed.
// It is for a database that a person has put right after [ErrDirty], and for one that another tool
// has migrated ([ErrForeignHistory]), unless that one says that it has failed half-way. In one transaction it adds the versions that are missing, lowest first, takes away
// those that are above, known or not, and forgets what was dirty; applied versions below that are not
// known stay, and so do protected versions and the environments that the database has seen. It takes
// the lock if there is one, and waits until the server has let go of a run that was cut off. A
// version below 0 is an error.
func (m *Migrator) Force(ctx context.Context, version int64) error {
	if version < 0 {
		return fmt.Errorf("version %d: the lowest to force is 0, which is before the first migration", version)
	}
	return m.run(ctx, func(ctx context.Context, r *run) error {
		if err := r.lookToForce(ctx, version); err != nil {
			return err
		}
		return r.alone(ctx, always, func(ctx context.Context) error {
			if err := r.lookToForce(ctx, version); err != nil {
				return err
			}
			if err := r.makeTable(ctx); err != nil {
				return err
			}
			return r.force(ctx, version)
		})
	})
}

// lookToForce refuses what Force must not say of the database.
func (r *run) lookToForce(ctx context.Context, version int64) error {
	r.forced = true
	applied, _, err := r.applied(ctx)
	if err != nil {
		return r.part.tableError(ctx, err)
	}
	if err := migset.UnknownVersion(version, r.part.set.Versions(), applied); err != nil {
		return err
	}
	if len(applied) > 0 || r.vetted {
		return nil
	}
	r.vetted = true
	return r.vetForce(ctx)
}

// always is for what takes the lock in any case.
func always(context.Context) (bool, error) { return true, nil }

func (r *run) force(ctx context.Context, version int64) error {
	rows, err := r.owned(ctx, r.db, false)
	if err != nil {
		return r.part.tableError(ctx, err)
	}
	r.from = plan.Newest(rows.Applied)
	var facts history.Facts
	if r.part.state != nil {
		if facts, err = r.part.state.Read(ctx, r.db); err != nil {
			return r.part.stateError(ctx, err)
		}
		facts = r.part.own(facts)
	}
	if r.lock != nil {
		if err := r.register(ctx); err != nil {
			return err
		}
	}
	if r.adopts {
		if err := r.ensureStateAlone(ctx); err != nil {
			return err
		}
	}
	add := plan.Pending(r.part.set.Versions(), rows.Applied, version)
	remove := plan.Above(rows.Applied, version)
	if err := r.rewrite(ctx, facts.Dirty, add, remove); err != nil {
		return r.part.tableError(ctx, err)
	}
	if _, err = r.owned(ctx, r.db, false); err != nil {
		return r.part.tableError(ctx, err)
	}
	r.events.send(VersionForced{Version: version, Added: add, Removed: remove})
	return nil
}

// rewrite changes the version table and forgets what is dirty, all at once, fenced like a step.
func (r *run) rewrite(ctx context.Context, dirty []history.Step, add, remove []int64) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := r.rewriteIn(ctx, tx, dirty, add, remove); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
}

func (r *run) rewriteIn(ctx context.Context, tx *sql.Tx, dirty []history.Step, add, remove []int64) error {
	if r.lock != nil {
		result, err := tx.ExecContext(ctx, r.part.state.Runs.Fence(r.id))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if err := r.stillOurs(n > 0); err != nil {
			return err
		}
	}
	if err := r.part.table.Rewrite(ctx, tx, add, remove); err != nil {
		return err
	}
	for _, s := range dirty {
		if err := r.part.state.Steps.Clear(ctx, tx, s); err != nil {
			return err
		}
	}
	if r.adopts {
		return r.part.state.Marks.Adopt(ctx, tx)
	}
	return nil
}

// LockVersion protects a version: nothing that undoes it, or a lower one while it is applied, is done
// from then on, whoever asks: [Migrator.Rollback], [Migrator.RollbackTo] and [Migrator.Goto] return
// [ErrVersionLocked], and the way back of a failed run ends there if the run itself applied it. The version must be known or
// applied; it need not be applied yet. Protecting it again changes nothing. It takes the lock if there
// is one.
//
// Dialects that gooseplus leaves to goose (see [WithDialect]) can't remember it, which is an error.
func (m *Migrator) LockVersion(ctx context.Context, version int64) error {
	return m.protect(ctx, version, func(ctx context.Context, r *run, mark history.Mark) error {
		applied, _, err := r.applied(ctx)
		if err != nil {
			return r.part.tableError(ctx, err)
		}
		if _, known := r.part.set.Find(version); !known && !slices.Contains(applied, version) {
			return fmt.Errorf("version %d is neither known nor applied", version)
		}
		return r.part.state.Marks.Protect(ctx, r.db, mark)
	})
}

// UnlockVersion ends the protection of a version by [Migrator.LockVersion]. One that isn't protected
// is left alone. It takes the lock if there is one.
func (m *Migrator) UnlockVersion(ctx context.Context, version int64) error {
	return m.protect(ctx, version, func(ctx context.Context, r *run, mark history.Mark) error {
		return r.part.state.Marks.Unprotect(ctx, r.db, mark)
	})
}

func (m *Migrator) protect(ctx context.Context, version int64, do func(context.Context, *run, history.Mark) error) error {
	if version < 1 {
		return fmt.Errorf("version %d: the lowest version is 1", version)
	}
	return m.run(ctx, func(ctx context.Context, r *run) error {
		if r.part.state == nil {
			return fmt.Errorf("dialect %s: gooseplus can't remember a protected version here", r.part.dialect.Goose)
		}
		return r.alone(ctx, always, func(ctx context.Context) error {
			if err := r.ensureStateAlone(ctx); err != nil {
				return err
			}
			source := ""
			if known, ok := r.part.set.Find(version); ok {
				source = known.Source
			}
			return do(ctx, r, history.Mark{Namespace: r.part.set.Namespace, Version: version, Source: source})
		})
	})
}
