package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// WithStoredDowns has the state table keep the Down of each applied migration, so that an older release can undo what a newer
// one has applied: [Migrator.Goto], [Migrator.Rollback], [Migrator.RollbackTo] and [Migrator.RollbackToLocked] use it for
// applied versions that have no migration in this configuration. [Migrator.Migrate] never does. A migration that is here is
// always undone with its own Down. Both releases need the option: one to store, the other one to use.
//
// A stored Down has the statements that goose would execute, with the values of ENVSUB, and for a [Replay] the statements that
// it replays. They are stored in the transaction that records the migration. Downs of migrations that are applied already are
// stored at the next run that has anything to do, and by [Migrator.Accept]. Go functions and texts that aren't UTF-8 are not
// stored. On MySQL and MariaDB texts above 64 KB aren't stored either; a character that isn't ASCII takes 6 or 12 bytes of them.
// If a version has no stored Down, or an empty one, the run is refused with [ErrIrreversible] before anything is touched.
//
// If such a run fails, it can't apply again what it has undone with a stored Down, because only the newer release has the Up.
// It then ends in a [*RollbackError] that names these versions, unless [RollbackTransaction] takes everything back.
//
// Whoever can write the state table can have the next such run execute any SQL, with the rights of the migrating role.
//
// The default is false: nothing is stored, and stored Downs are not read.
func WithStoredDowns(on bool) Option {
	return optionFunc(func(o *options) { o.storedDowns = on })
}

// addDowns adds the Downs to rows of known versions, if they are to be stored. A file that can't be read has none.
func (p memory) addDowns(ctx context.Context, list []history.Applied) {
	if !p.run.options.storedDowns {
		return
	}
	var versions []int64
	for _, row := range list {
		versions = append(versions, row.Version)
	}
	_ = p.files.load(ctx, versions, directionDown)
	p.addReadDowns(list)
}

// addReadDowns is addDowns of migrations that the run has read. Once the run is connected it reads no more: that would execute
// them.
func (p memory) addReadDowns(list []history.Applied) {
	if !p.run.options.storedDowns {
		return
	}
	for i := range list {
		m, _ := p.target.set.Find(list[i].Version)
		if body, read := p.files.read[m.Version]; read {
			_, down := p.target.set.Sections(m, body)
			list[i].Down = down.Stored(p.target.dialect.LongestText())
		}
	}
}

// missingDowns are the rows of known versions that have no Down and get one now, if Downs are to be stored.
func (p memory) missingDowns(ctx context.Context, rows map[int64]history.Applied) (list []history.Applied) {
	if !p.run.options.storedDowns {
		return nil
	}
	for _, version := range p.target.set.WithSQL(p.found.Applied) {
		if row, remembered := rows[version]; remembered && !row.Stored {
			list = append(list, row)
		}
	}
	p.addDowns(ctx, list)
	return slices.DeleteFunc(list, func(row history.Applied) bool { return row.Down == "" })
}

// restoreDowns makes migrations of the stored Downs of versions that are not known. All must have one.
func (p memory) restoreDowns(ctx context.Context, unknown []int64) error {
	if !p.run.options.storedDowns || p.target.state == nil {
		return fmt.Errorf("%w: applied versions %v have no migration in this configuration", ErrIrreversible, unknown)
	}
	rows, err := p.target.state.Versioned.Downs(ctx, p.run.db.own, p.target.set.Namespace, unknown)
	if err != nil {
		return p.target.stateError(ctx, err)
	}
	if missing, _ := plan.Diff(unknown, slices.Collect(maps.Keys(rows))); len(missing) > 0 {
		return fmt.Errorf("%w: applied versions %v have neither a migration in this configuration nor a stored Down. Nothing was touched: "+
			"use the release that has them, or undo them by hand and call Force(%d)", ErrIrreversible, missing, plan.Newest(below(p.planned, missing[0])))
	}
	if err := p.files.makeReader(); err != nil {
		return err
	}
	p.files.restored = make(map[int64]migset.Migration)
	for version, row := range rows {
		m, body, err := migset.Restore(version, row.Source, row.Down)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrIrreversible, err)
		}
		p.files.restored[version], p.files.read[version] = m, body
		_, down := p.target.set.Sections(m, body)
		if err := p.files.splitText(version, down); err != nil {
			return err
		}
	}
	return nil
}

func below(versions []int64, limit int64) []int64 {
	return slices.DeleteFunc(slices.Clone(versions), func(v int64) bool { return v >= limit })
}

// addStoredDowns adds to a status what a run could undo unknown versions with.
func (t *target) addStoredDowns(ctx context.Context, db *sql.DB, o *options, list []MigrationStatus) error {
	if !o.storedDowns || t.state == nil {
		return nil
	}
	var unknown []int64
	for _, m := range list {
		if m.Unknown && m.AppliedAt != nil {
			unknown = append(unknown, m.Version)
		}
	}
	rows, err := t.state.Versioned.Downs(ctx, db, t.set.Namespace, unknown)
	if err != nil {
		return t.stateError(ctx, err)
	}
	for i := range list {
		row, stored := rows[list[i].Version]
		if !stored {
			continue
		}
		m, body, err := migset.Restore(row.Version, row.Source, row.Down)
		if err != nil {
			return err
		}
		_, down := t.set.Sections(m, body)
		list[i].Down = down.Text()
	}
	return nil
}

// warnOfStoredDowns says what a failure of this run would leave.
func (p memory) warnOfStoredDowns() {
	var versions []int64
	for _, s := range p.steps {
		if _, restored := p.files.restored[s.Version]; restored && s.Direction == directionDown {
			versions = append(versions, s.Version)
		}
	}
	if len(versions) > 0 && !p.run.options.oneTransaction() {
		p.events.send(Warning{Message: fmt.Sprintf("versions %v are undone with their stored Downs: if this run fails, it can't apply them again, "+
			"because their Ups are not here", versions)})
	}
}

// lacksUps is the error of a way back that reaches versions with only a stored Down.
func (w wayBack) lacksUps(versions []int64) error {
	unknown, _ := plan.Diff(versions, w.target.set.Versions())
	return fmt.Errorf("versions %v are undone and can't be applied again, because their Ups are not in this configuration: migrate with the release that has "+
		"them, or correct what failed and go down again", unknown)
}
