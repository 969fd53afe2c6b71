package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
)

// ErrForeignHistory is returned by a run that has something to apply to a database without any applied version, if the
// history of another tool, or of goose under another table name, is there: see [WithForeignHistory]. Nothing was
// touched. [Migrator.Force] adopts what is there.
var ErrForeignHistory = failure.Outcome("another tool has migrated this database")

// WithForeignHistory says what to do where the version table is missing or has no version, and another tool has migrated the
// database already. That is so if its table is in the version table's schema, or in the schema that the connection creates
// tables in, as far as its role can: the table of golang-migrate, Flyway, Liquibase, dbmate, sql-migrate, tern, Rails, Atlas, Django, Alembic, bun,
// go-pg, Pop, gormigrate or others, or a version table of goose that isn't of this Migrator's namespaces.
// The migrations would meet what is there already, and the way back of a failed run would remove it. With [Refuse]
// the run is [ErrForeignHistory], and so is [Migrator.Plan]; [Migrator.Status] says so. [Migrator.Force] is
// refused only where the other tool says that it has failed half-way. Several services that share one of these schemas, each
// with a version table of its own, need [Ignore].
//
// Where there are tables and no history at all, perhaps because somebody made them by hand, the observers are told: see
// [Warning]. If such a run fails, or one with [Warn], its way back ends with [ErrRollBack] at a migration in SQL that names one of
// these tables and may have kept it (IF NOT EXISTS, OR REPLACE, ON CONFLICT and the like): the Down might remove what was there
// before. A run that takes over from a killed run goes by what was there before the killed run. [Ignore] turns this off.
//
// Where migrations are applied already, the option makes no difference. The way back then ends at a migration in SQL whose Down
// removes a table, a column, a schema, a type or an extension that was there before the run, if its Up may have kept that
// object. If such a migration fails half-way outside a transaction, that is [ErrDirty].
//
// If nothing is applied and something is pending, the search takes one statement, and one or two more if the version table has a
// schema in its name ([WithVersionTable]). A run takes another one if the Up of a pending migration in SQL has IF NOT EXISTS or
// the like, or is outside a transaction.
//
// The default is [Refuse]. A value that is none of the three policies is a configuration fault.
func WithForeignHistory(p Policy) Option {
	return optionFunc(func(o *options) { o.foreignHistory = p })
}

// findForeign looks for histories of other tools. It finds none in a database that Force has adopted, or that a failed step has
// left dirty.
func (t *target) findForeign(ctx context.Context, db *sql.DB, o *options) (found []history.Foreign, strangers []history.Strangers, err error) {
	if o.foreignHistory == Ignore || t.state == nil {
		return nil, nil, nil
	}
	own, err := t.ownTables(o)
	if err != nil {
		return nil, nil, err
	}
	found, strangers, err = history.LookForeign(ctx, db, t.table, own, !o.bound)
	if err != nil {
		return nil, nil, t.tableError(ctx, err)
	}
	if len(found) == 0 {
		return nil, strangers, nil
	}
	facts, err := t.state.Read(ctx, db)
	if err != nil {
		return nil, nil, t.stateError(ctx, err)
	}
	failed := func(s history.Step) bool { return s.Failed } // that refuses the run, and may have renamed the version table
	if facts.Adopted || slices.ContainsFunc(t.own(facts).Dirty, failed) {
		return nil, nil, nil
	}
	return found, strangers, nil
}

// ownTables are the names of the version tables of all namespaces.
func (t *target) ownTables(o *options) ([]string, error) {
	name, err := t.dialect.ParseName(t.table.Name())
	own := []string{name.Table}
	if base, err := t.dialect.ParseName(o.versionTable); err == nil {
		for _, namespace := range o.namespaces {
			own = append(own, inTable(base.Table, namespace))
		}
	}
	return own, err
}

// vetHeld is vet under the lock, before anything is created. Runs that wait for the lock don't ask: only the holder does. If
// the holder before has applied something, this Migrator has a history of its own, and other histories don't count.
func (l *looking) vetHeld(ctx context.Context) error {
	r := l.run
	if !r.parts.haveSteps() || l.vetted || !r.parts.empty() {
		return nil
	}
	l.vetted = true
	return l.vet(ctx)
}

// vet refuses to apply anything where nothing is applied and another tool has a history.
func (l *looking) vet(ctx context.Context) error {
	r := l.run
	if r.parts.lackSchema() {
		return nil
	}
	found, strangers, err := r.whole.findForeign(ctx, r.db.own, r.options)
	if err != nil {
		return err
	}
	if l.others.tables, err = r.whole.relations(ctx, r.db.own, r.options, strangers); err != nil {
		return err
	}
	if len(found) == 0 {
		for _, s := range strangers {
			r.events.send(Warning{Message: fmt.Sprintf("schema %s has tables already (%d) and no migration history; if they come from these migrations, call Force with the version that they are at",
				s.Schema, s.Tables)})
		}
		return nil
	}
	err = fmt.Errorf("%w: %s", ErrForeignHistory, foreignText(r.whole, found))
	if r.options.foreignHistory == Warn {
		r.events.send(Warning{Message: err.Error()})
		return nil
	}
	return fmt.Errorf("%w: nothing was touched; %s, or WithForeignHistory(Ignore) to execute all migrations", err, adoptingCall(r.whole, found))
}

// relations are the names of what is in schemas with other tables.
func (t *target) relations(ctx context.Context, db *sql.DB, o *options, strangers []history.Strangers) (names []string, err error) {
	own, err := t.ownTables(o)
	if err != nil {
		return nil, t.tableError(ctx, err)
	}
	for _, s := range strangers {
		some, err := history.Relations(ctx, db, t.table, s.Schema, own)
		if err != nil {
			return nil, t.tableError(ctx, err)
		}
		names = append(names, some...)
	}
	return names, nil
}

// foreignText is a sentence about histories.
func foreignText(t *target, found []history.Foreign) (text string) {
	for i, h := range found {
		if i > 0 {
			text += ", and "
		}
		text += h.Table + " is the history of " + h.Tool
		switch {
		case h.Err != nil:
			text += " and can't be read (" + reason(h.Err) + ")"
		case h.Dirty && h.Version != "":
			text += ", which is at version " + h.Version + " and says that it has failed there (dirty)"
		case h.Dirty:
			text += ", which says that it has failed (dirty)"
		case h.Version != "":
			text += ", which is at version " + h.Version
		}
	}
	return text + ", while " + t.table.Name() + " has no version"
}

// adoptingCall says how to go on from there.
func adoptingCall(t *target, found []history.Foreign) string {
	for _, h := range found {
		if h.Dirty {
			return "repair the database, clear the failure in " + h.Tool + ", and call Force with the version that the database is at"
		}
		if h.Err != nil {
			return "this user needs GRANT SELECT ON " + h.Table
		}
	}
	if _, ok := t.set.Find(found[0].Number); len(found) == 1 && ok {
		return fmt.Sprintf("to adopt the database, call Force(%d)", found[0].Number)
	}
	if len(found) == 1 && found[0].Number > 0 {
		return fmt.Sprintf("to adopt the database, call Force with the version that the database is at: Force(%d) would be right, but no migration here has that version", found[0].Number)
	}
	return "to adopt the database, call Force with the version that it is at"
}
