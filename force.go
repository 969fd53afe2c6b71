package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// Force records that exactly the known migrations up to and including the given version are applied; 0 means none. It
// executes no migration. It is for a database that a person has repaired after [ErrDirty], and for a database that another
// tool has migrated ([ErrForeignHistory]), unless that tool says that it failed half-way.
//
// In one transaction it adds the missing versions, lowest first, removes all versions above the given one, known or not,
// and clears the dirty marks. A dirty version counts as known, though only another release or environment of the program may
// have its migration. Unknown versions below stay, and so do protected versions and the environments that the database has
// seen. If anything is to be marked as applied, the environments of this Migrator are remembered or refused
// ([ErrProtectedEnvironment]), as by a run. Force takes the lock if there is one, and waits until the server has ended a run
// that was cut off. A version that is neither known nor applied nor dirty, or is below 0, is an error.
func (m *Migrator) Force(ctx context.Context, version int64) error {
	if version < 0 {
		return fmt.Errorf("version %d: the lowest is 0, which means before the first migration", version)
	}
	return m.runOne(ctx, func(ctx context.Context, p *part) error {
		force := forced{part: p, version: version}
		if err := force.look(ctx); err != nil {
			return err
		}
		return p.run.withLock(ctx, always, func(ctx context.Context) error {
			if err := force.look(ctx); err != nil {
				return err
			}
			if err := p.run.looking.makeTables(ctx); err != nil {
				return err
			}
			return force.do(ctx)
		})
	})
}

// always is the look of methods that take the lock even if nothing is pending.
func always(context.Context) (bool, error) { return true, nil }

// forced is one call of Force.
type forced struct {
	*part
	version int64
	vetted  bool
	adopts  bool // another tool's history is there, and this call adopts the database
}

// look refuses what Force must not say of the database.
func (f *forced) look(ctx context.Context) error {
	f.row.forced = true
	if err := f.part.look(ctx); err != nil {
		return f.target.tableError(ctx, err)
	}
	facts, err := f.facts(ctx)
	if err != nil {
		return err
	}
	known := f.knownTo(facts, f.view.applied)
	if err := migset.UnknownVersion(f.version, known, f.view.applied); err != nil {
		return err
	}
	if len(plan.Pending(known, f.view.applied, f.version)) > 0 {
		if err := f.run.stamps.unfamiliar(f.run.options, facts); err != nil {
			return err
		}
	}
	if len(f.view.applied) > 0 || f.vetted {
		return nil
	}
	f.vetted = true
	return f.vet(ctx)
}

// facts are what the state table says of the part, if it has anything to say.
func (f *forced) facts(ctx context.Context) (facts history.Facts, err error) {
	if f.target.state == nil {
		return facts, nil
	}
	if facts, err = f.target.state.Read(ctx, f.run.db.own); err != nil {
		return facts, f.target.stateError(ctx, err)
	}
	return f.target.own(facts), nil
}

// knownTo are the versions of the migration set and those of dirty migrations, which may be another program's, in ascending
// order.
func (f *forced) knownTo(facts history.Facts, applied []int64) []int64 {
	all := slices.Clone(f.target.set.Versions())
	for _, s := range unfinished(facts, applied) {
		all = append(all, s.Version)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// vet refuses to adopt what another tool calls half-done.
func (f *forced) vet(ctx context.Context) error {
	if f.view.schemaMissing {
		return nil
	}
	found, _, err := f.target.findForeign(ctx, f.run.db.own, f.run.options)
	f.adopts = len(found) > 0
	for _, h := range found {
		if h.Dirty && f.run.options.foreignHistory == Refuse {
			return fmt.Errorf("%w: %s: nothing was touched; repair the database and clear the failure in %s, or use WithForeignHistory(Ignore)",
				ErrForeignHistory, foreignText(f.target, []history.Foreign{h}), h.Tool)
		}
	}
	return err
}

func (f *forced) do(ctx context.Context) error {
	db := f.run.db.own
	rows, err := f.owned(ctx, db, false)
	if err != nil {
		return f.target.tableError(ctx, err)
	}
	f.end.from = plan.Newest(rows.Applied)
	facts, err := f.facts(ctx)
	if err != nil {
		return err
	}
	if f.run.holding != nil {
		if err := f.run.holding.register(ctx, f.run.parts); err != nil {
			return err
		}
	}
	add := plan.Pending(f.knownTo(facts, rows.Applied), rows.Applied, f.version)
	if f.adopts || (memory{f.part}).remembers() || len(add) > 0 && len(f.stamps()) > 0 {
		if err := f.run.ensureState(ctx); err != nil {
			return err
		}
	}
	remove := plan.Above(rows.Applied, f.version)
	committing, err := f.rewrite(ctx, facts.Dirty, add, remove)
	if err != nil && !committing {
		return f.target.tableError(ctx, err)
	}
	if err := f.committed(ctx, err); err != nil {
		return err
	}
	f.events.send(VersionForced{Version: f.version, Added: add, Removed: remove})
	return nil
}

// committed says what the COMMIT has left. With an error, only the answer may have been lost: it looks, also for a caller that doesn't
// wait any more.
func (f *forced) committed(ctx context.Context, lost error) error {
	if lost == nil {
		f.end.to = f.version
		return nil
	}
	f.ledger.Doubt()
	asking, cancel := f.run.holding.detached(ctx, releaseLimit)
	defer cancel()
	var facts history.Facts
	rows, err := wayBack{f.part}.read(asking)
	if err == nil {
		facts, err = f.facts(asking)
	}
	switch {
	case err != nil: // not ErrMigrationTable, which says that nothing was touched
		return fmt.Errorf("whether the database was forced to version %d can't be found out (%s): call Force again: %w",
			f.version, reason(err), failure.Tidy{Err: failure.Stopped(ctx, lost)})
	case f.undone(rows, facts):
		return f.target.tableError(ctx, lost)
	}
	f.events.send(Warning{Message: fmt.Sprintf("the transaction was committed, though the answer was lost: %s", reason(lost))})
	return nil
}

// undone says whether something of what Force does is missing. It does all or nothing.
func (f *forced) undone(rows history.Rows, facts history.Facts) bool {
	missing := plan.Pending(f.knownTo(facts, rows.Applied), rows.Applied, f.version)
	return len(missing)+len(plan.Above(rows.Applied, f.version))+len(facts.Dirty) > 0 || f.adopts && !facts.Adopted
}

// stamps are the environments that the database has yet to be told of.
func (f *forced) stamps() []string {
	if f.target.state == nil {
		return nil
	}
	return f.run.stamps.unseen
}

// rewrite changes the version table and forgets what is dirty, all at once, fenced like a step. committing says that an error is
// that of the COMMIT.
func (f *forced) rewrite(ctx context.Context, dirty []history.Step, add, remove []int64) (committing bool, err error) {
	tx, err := f.run.db.own.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	if err := f.rewriteIn(ctx, tx, dirty, add, remove); err != nil {
		if undo := failure.IgnoreDone(tx.Rollback()); undo != nil {
			err = errors.Join(err, undo)
		}
		return false, err
	}
	return true, tx.Commit()
}

func (f *forced) rewriteIn(ctx context.Context, tx *sql.Tx, dirty []history.Step, add, remove []int64) error {
	if f.run.holding != nil {
		result, err := tx.ExecContext(ctx, f.target.state.Runs.Fence(f.row.id))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if err := f.run.holding.stillOurs(n > 0); err != nil {
			return err
		}
	}
	if err := f.target.table.Rewrite(ctx, tx, add, remove); err != nil {
		return err
	}
	if (memory{f.part}).remembers() {
		list, err := asNow(f.target.set, add, f.row.id)
		namespace := f.target.set.Namespace
		if err := f.target.state.Versioned.Claim(ctx, tx, namespace, f.row.id); err != nil { // no dead run's any more
			return err
		}
		memory{f.part}.addDowns(ctx, list)
		if err := errors.Join(err, f.target.state.Versioned.Put(ctx, tx, namespace, list...), f.target.state.Versioned.Remove(ctx, tx, namespace, remove...)); err != nil {
			return err
		}
	}
	if len(add) > 0 {
		for _, name := range f.stamps() {
			if err := f.target.state.Marks.Stamp(ctx, tx, name); err != nil {
				return err
			}
		}
	}
	for _, s := range dirty {
		if err := f.target.state.Steps.Clear(ctx, tx, s); err != nil {
			return err
		}
	}
	if f.adopts {
		return f.target.state.Marks.Adopt(ctx, tx)
	}
	return nil
}
