package gooseplus

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// Status says which migrations a database has, see [Migrator.Status].
type Status struct {
	CurrentVersion int64 // the highest version applied, 0 if there is none
	PendingCount   int   // how many migrations Migrate would apply
	Dirty          bool  // a migration has Failed
	// ForeignHistory describes the history of another tool, or of goose with another version table, in this database, if
	// something is pending and nothing is applied: see [WithForeignHistory]. "" is nothing.
	ForeignHistory string
	Environments   []string          // as chosen with the options; none with SetEnvironments(nil)
	Seen           []string          // the environments other than base that the database was ever migrated with
	Migrations     []MigrationStatus // ascending by version
}

// Migration returns the status of one version, false if it is neither known nor applied.
func (s Status) Migration(version int64) (MigrationStatus, bool) {
	i, ok := slices.BinarySearchFunc(s.Migrations, version, func(m MigrationStatus, v int64) int { return cmp.Compare(m.Version, v) })
	if !ok {
		return MigrationStatus{}, false
	}
	return s.Migrations[i], true
}

// MigrationStatus is one migration that the Migrator knows, or that is applied, or both.
type MigrationStatus struct {
	Version int64
	// Source is the path in the file system given to [WithFS], the path of the up file for a pair, and the
	// place in the program for a [Definition]; "" if it is not known.
	Source      string
	Environment string // the folder it is in; "" if it is not known or in none
	// AppliedAt is when it was applied, by the database's clock, in UTC; nil if it isn't applied. It
	// is the zero time if the version table has none that can be read.
	AppliedAt *time.Time
	// Failed says that a step of it that no transaction protects may be half-applied: it failed and
	// could not be undone, or was cut off. It is also true while another process executes the step.
	Failed bool
	Locked bool // it is protected, see [Migrator.LockVersion]
	// Edited says that its file was edited after it was applied, see [WithChecksums].
	Edited bool
	// Unknown says that it has no migration in this configuration, see [WithUnknownVersions]. Then Source is what the state
	// table remembers, and Down the stored one, with [WithStoredDowns].
	Unknown bool
	// Application is the version of the application that applied it, and Duration how long that took; "" and 0 if the state
	// table doesn't know.
	Application string
	Duration    time.Duration
	// Up and Down are the SQL of its sections, as goose would execute it, with a line break between
	// two statements; "<go>" for a Go function; "" where there is nothing. A [Replay] shows the SQL that it
	// replays.
	Up, Down string
}

// Status lists the migrations that are known or applied. It reads all files, and executes three statements at most, plus one
// for stored Downs of unknown versions, and those that look for another tool's history where nothing is applied. It is
// read-only, and neither takes the lock nor waits for it. If files can't be parsed, the error names them, and only their Up and
// Down are missing from the status. A database that can't be read gives [ErrMigrationTable].
func (m *Migrator) Status(ctx context.Context) (Status, error) {
	part, db, done, err := m.open(ctx)
	if err != nil {
		return Status{}, err
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	entries, err := m.entries(ctx, part, db.own)
	if err != nil {
		return Status{}, err
	}
	var facts history.Facts
	if part.state != nil {
		if facts, err = part.state.ReadAll(ctx, db.own); err != nil {
			return Status{}, part.stateError(ctx, err)
		}
	}
	status, unreadable := part.statusWithSQL(ctx, m.options.environments, entries, facts)
	if err := part.addStoredDowns(ctx, db.own, &m.options, status.Migrations); err != nil {
		return Status{}, err
	}
	if len(entries) == 0 && status.PendingCount > 0 {
		if status.ForeignHistory, err = m.foreignText(ctx, part, db); err != nil {
			return Status{}, err
		}
	}
	return status, unreadable
}

func (m *Migrator) foreignText(ctx context.Context, part *target, db site) (string, error) {
	found, _, err := part.findForeign(ctx, db.own, &m.options)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return foreignText(part, found), nil
}

// entries reads what is applied, with the times.
func (m *Migrator) entries(ctx context.Context, part *target, db *sql.DB) ([]history.Entry, error) {
	entries, err := part.table.Entries(ctx, db)
	if err == nil && len(entries) == 0 && m.options.bound {
		_, err = part.schemaMissing(ctx, db)
	}
	if err != nil {
		return nil, part.tableError(ctx, err)
	}
	return entries, nil
}

// statusWithSQL is status with what is in the files; the error says which can't be parsed.
func (t *target) statusWithSQL(ctx context.Context, environments []string, entries []history.Entry, facts history.Facts) (Status, error) {
	bodies, errs := t.set.ReadAll(ctx)
	status := t.status(environments, entries, t.own(facts), bodies)
	if err := addHistory(t.set, status.Migrations, facts.Applied[t.set.Namespace]); err != nil {
		errs = append(errs, err)
	}
	return status, t.unreadable(errs)
}

func (t *target) status(environments []string, entries []history.Entry, facts history.Facts, bodies map[int64]migset.Body) Status {
	s := Status{Seen: slices.Sorted(slices.Values(facts.Environments)), Environments: slices.DeleteFunc(slices.Clone(environments), func(name string) bool { return name == "" })}
	times := make(map[int64]*time.Time, len(entries))
	var applied []int64
	for _, e := range entries {
		times[e.Version] = &e.At
		applied = append(applied, e.Version)
	}
	s.CurrentVersion = plan.Newest(applied)
	s.PendingCount = len(plan.Pending(t.set.Versions(), applied, math.MaxInt64))
	for _, m := range t.set.List {
		up, down := t.set.Sections(m, bodies[m.Version])
		s.Migrations = append(s.Migrations, MigrationStatus{
			Version: m.Version, Source: m.Source, Environment: m.Environment, AppliedAt: times[m.Version],
			Up: up.Text(), Down: down.Text(),
		})
	}
	failed, locked := make(map[int64]bool), make(map[int64]bool)
	for _, step := range unfinished(facts, applied) {
		failed[step.Version], s.Dirty = true, true
	}
	for _, p := range facts.Protected {
		locked[p.Version] = true
	}
	elsewhere := slices.Concat(applied, slices.Collect(maps.Keys(failed)))
	unknown, _ := plan.Diff(elsewhere, t.set.Versions())
	for _, v := range unknown {
		s.Migrations = append(s.Migrations, MigrationStatus{Version: v, AppliedAt: times[v], Unknown: true})
	}
	for i := range s.Migrations {
		m := &s.Migrations[i]
		m.Failed, m.Locked = failed[m.Version], locked[m.Version]
	}
	slices.SortFunc(s.Migrations, func(a, b MigrationStatus) int { return cmp.Compare(a.Version, b.Version) })
	return s
}
