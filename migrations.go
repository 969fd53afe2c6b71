package gooseplus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/redact"
)

const (
	directionUp   = "up"
	directionDown = "down"
)

// migration is one that the Migrator knows. What an SQL file contains is read when a step
// of it is planned.
type migration struct {
	version     int64
	source      string
	environment string
	goFuncs     *goose.Migration // nil if the Up is SQL
	down        *Action          // of a definition, if it is apart, see section.go
	upReplay    int64            // of a definition: the version whose Up is its Up, 0 if it has one of its own
	defined     bool             // it is a definition
}

// migrations is what the configuration amounts to: everything a run needs but the database. It is
// made once and doesn't change, so that any number of runs can share it.
type migrations struct {
	list     []migration // ascending by version
	files    *envfs.Overlay
	dialect  dialect.Dialect
	table    *history.Versions
	state    *history.State // nil for dialects that gooseplus leaves to goose
	warnings []string

	// parts are the namespaces, in their order; what has any has no list and no files itself.
	parts     []*migrations
	namespace string

	tenant       string
	schema       string // what the tables are in, if the run is bound to one
	createSchema bool
}

func (ms *migrations) versions() []int64 {
	list := make([]int64, len(ms.list))
	for i, m := range ms.list {
		list[i] = m.version
	}
	return list
}

func (ms *migrations) find(version int64) (migration, bool) {
	i, ok := slices.BinarySearchFunc(ms.list, version, func(m migration, v int64) int {
		return cmp.Compare(m.version, v)
	})
	if !ok {
		return migration{}, false
	}
	return ms.list[i], true
}

// resolve finds the migrations, and every fault of the configuration. It doesn't touch the
// database.
func (o *options) resolve() (*migrations, error) {
	ms := &migrations{tenant: o.tenant, schema: o.schema, createSchema: o.createSchema}
	faults := o.faults()
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}

	var err error
	if ms.dialect, err = dialect.Lookup(o.dialect); err != nil {
		fault(fmt.Errorf("WithDialect: %w", err))
	} else {
		fault(o.tables(ms))
	}
	if ms.dialect.Goose != "" {
		fault(o.transactionFault(ms.dialect.Goose))
	}
	faults = append(faults, o.statementTimeouts.faults(ms.dialect)...)
	wrong := o.gooseFault()
	switch {
	case o.fsys == nil:
	case o.namespaced:
		faults = append(faults, o.divide(ms, wrong == nil)...)
	default:
		files, err := envfs.New(o.fsys, o.basePath, o.environments)
		fault(o.sequence(ms, files, err, wrong == nil))
	}
	fault(wrong)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return ms, nil
}

// tables names the version table and the state table.
func (o *options) tables(ms *migrations) (err error) {
	name := o.versionTable
	if o.bound {
		if name, err = o.inSchema(ms.dialect); err != nil {
			return err
		}
	}
	if ms.dialect.Quotes() {
		if ms.state, err = history.NewState(ms.dialect, name); err != nil {
			return fmt.Errorf("WithVersionTable: %w", err)
		}
	} else if o.globalLock {
		return fmt.Errorf("WithGlobalLock: there is no lock for the dialect %s", ms.dialect.Goose)
	}
	if ms.namespace != "" {
		if name, err = inNamespace(ms.dialect, name, ms.namespace); err != nil {
			return err
		}
	}
	if ms.table, err = history.NewVersions(ms.dialect, name); err != nil {
		return fmt.Errorf("WithVersionTable: %w", err)
	}
	return nil
}

// sequence makes one sequence of the files that were found, with err, and the Go migrations, and if restrict
// is true takes out of it what goose's options exclude.
func (o *options) sequence(ms *migrations, files *envfs.Overlay, err error, restrict bool) error {
	if err := o.merge(ms, files, err); err != nil {
		return err
	}
	if !restrict {
		return ms.unknownReplays()
	}
	return errors.Join(o.exclude(ms), ms.unknownReplays())
}

func (o *options) merge(ms *migrations, files *envfs.Overlay, err error) error {
	if noFolder(err) && (len(o.goMigrations) > 0 || o.defined()) {
		err = nil // they need none
	}
	faults := prefixed(o.baseFault(err))

	definitions, err := o.collectDefinitions(files, ms.alone)
	faults = append(faults, prefixed(err)...)

	goMigrations, err := o.collectGo(files)
	faults = append(faults, prefixed(err)...)

	ms.files, files.Alone = files, ms.alone
	goMigrations = append(goMigrations, definitions...)
	ms.list = make([]migration, 0, len(files.SQL)+len(goMigrations))
	for _, f := range files.SQL {
		ms.list = append(ms.list, migration{version: f.Version, source: f.Path, environment: f.Environment})
	}
	if len(goMigrations) > 0 {
		ms.list = append(ms.list, goMigrations...)
		slices.SortStableFunc(ms.list, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	}
	faults = append(faults, prefixed(duplicates(ms.list, faults))...)
	if len(faults) == 0 {
		faults = ms.replayUps()
	}
	if len(faults) == 0 {
		faults = prefixed(errors.Join(ms.misplaced(o.given())...))
	}
	if len(faults) == 0 && !o.namespaced {
		faults = prefixed(ms.nowhere())
	}
	ms.warnings = ms.findWarnings()
	return errors.Join(faults...)
}

// noFolder says whether err is that the folder of all migrations isn't there, whatever its name may miss.
func noFolder(err error) bool {
	var base *envfs.BaseError
	var namespace *envfs.MissingError
	return (errors.As(err, &base) || errors.As(err, &namespace)) && errors.Is(err, fs.ErrNotExist)
}

// prefixed is err as the ErrMergeMigrations that it is, one error for each that was joined.
func prefixed(err error) []error {
	if err == nil {
		return nil
	}
	var list []error
	for _, e := range each(err) {
		list = append(list, fmt.Errorf("%w: %w", ErrMergeMigrations, e))
	}
	return list
}

// each takes apart what errors.Join made.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// duplicates reports the versions that are claimed twice, but for those that the overlay of the
// files has reported already.
func duplicates(list []migration, known []error) error {
	reported := make(map[int64]bool)
	for _, err := range known {
		var d *envfs.DuplicateError
		if errors.As(err, &d) {
			reported[d.Version] = true
		}
	}
	var faults []error
	for i := 1; i < len(list); i++ {
		if v := list[i].version; v == list[i-1].version && !reported[v] {
			var fault error = &envfs.DuplicateError{Version: v, Paths: [2]string{shown(list[i-1]), shown(list[i])}}
			for _, m := range list[i-1 : i+1] {
				if m.defined {
					fault = &DefinitionError{Version: v, Source: m.source, Err: fault}
					break
				}
			}
			faults = append(faults, fault)
		}
	}
	return errors.Join(faults...)
}

func shown(m migration) string {
	return cmp.Or(m.source, fmt.Sprintf("Go migration %d without a source", m.version))
}

// gooseFault checks goose's own options.
func (o *options) gooseFault() error {
	var faults []error
	for i, opt := range o.gooseOptions {
		if err := dryrun.CheckOption(opt); err != nil {
			faults = append(faults, fmt.Errorf("WithGooseOptions: option %d %w", i+1, err))
		}
	}
	return errors.Join(faults...)
}

// exclude takes out of the sequence what goose's own options exclude.
func (o *options) exclude(ms *migrations) error {
	if len(o.gooseOptions) == 0 {
		return nil
	}
	opts := slices.Clone(o.gooseOptions)
	opts = append(opts, goose.WithGoMigrations(ms.goMigrations(nil, nil)...))
	kept, err := dryrun.Versions(ms.files, opts...)
	if err != nil {
		return fmt.Errorf("WithGooseOptions: %w", err)
	}
	ms.list = slices.DeleteFunc(ms.list, func(m migration) bool {
		_, found := slices.BinarySearch(kept, m.version)
		return !found
	})
	return nil
}

// unreadable makes one error of those of files that goose can't parse and that were to go in the
// given direction.
func (ms *migrations) unreadable(errs []error, direction string) error {
	for i, err := range errs {
		var script *dryrun.ScriptError
		if errors.As(err, &script) {
			m, _ := ms.find(script.Version)
			secrets := redact.In(script.SQL)
			errs[i] = &MigrationError{Tenant: ms.tenant, Namespace: ms.namespace, Version: m.version, Source: m.source, Environment: m.environment,
				Direction: direction, Statement: secrets.Text(), Err: &statementError{script, secrets}}
		}
	}
	return errors.Join(errs...)
}

// tableError is the error of a version table that can't be used.
func (ms *migrations) tableError(ctx context.Context, err error) error {
	return fmt.Errorf("%w (%s, dialect %s): %w", ErrMigrationTable, ms.table.Name(), ms.dialect.Goose, tidyError{stopped(ctx, err)})
}

func (ms *migrations) step(m migration, b body) plannedStep {
	s := plannedStep{Step: Step{
		Namespace: ms.namespace, Version: m.version, Source: m.source, Environment: m.environment, Direction: directionUp,
	}}
	up, down := ms.sections(m, b)
	s.Reversible = !down.empty()
	s.inTransaction, s.downInTransaction = up.inTransaction(), down.inTransaction()
	s.Transactional = s.inTransaction && ms.dialect.TransactionalDDL
	s.downTransactional = s.downInTransaction && ms.dialect.TransactionalDDL
	s.function, s.gooseTransaction, s.watched = up.isGo, up.gooseTransaction(), up.watched()
	s.downFunction, s.downGooseTransaction, s.downWatched = down.isGo, down.gooseTransaction(), down.watched()
	s.opened, s.downOpened = up.transactional, down.transactional
	return s
}

// covers says whether runs of these migrations take over from one of the given namespace.
func (ms *migrations) covers(namespace string) bool {
	return slices.ContainsFunc(ms.all(), func(part *migrations) bool { return part.namespace == namespace })
}

// busy asks for a run, or a step that was not finished, to wait for.
func (ms *migrations) busy() history.Question {
	return history.Question{Runs: true, Namespace: ms.namespace}
}
