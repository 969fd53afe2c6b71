package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/redact"
	"github.com/gooseplus/gooseplus/internal/session"
)

// target is one migration set, and the tables that the database has for it.
type target struct {
	set     *migset.Set
	dialect dialect.Dialect
	table   *history.Versions
	state   *history.State // nil for dialects that gooseplus leaves to goose

	tenant       string
	schema       string // of the tables, if the run is bound to one
	createSchema bool
	role         *string // as which everything is done, nil for the user of the connection
}

// targets is what the configuration amounts to: everything a run needs except the database. It is made once and
// doesn't change, so any number of runs can share it.
type targets struct {
	parts []*target // one for each namespace, in their order, or the only one
	// whole has what the parts share. If there are several namespaces to run, it is none of them, and its set is empty.
	whole    *target
	warnings []string // the warnings that belong to no part
}

// resolve finds the migrations, and every fault of the configuration. It doesn't touch the
// database.
func (o *options) resolve() (*targets, error) {
	faults := o.faults()
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	d, err := dialect.Lookup(o.dialect)
	whole := &target{set: new(migset.Set), dialect: d, tenant: o.tenant, schema: o.schema, createSchema: o.createSchema, role: o.role}
	if err != nil {
		fault(fmt.Errorf("WithDialect: %w", err))
	} else {
		fault(o.tables(whole))
		fault(o.transactionFault(d))
		fault(o.roleFault(d))
		faults = append(faults, o.pathFaults(d)...)
	}
	faults = append(faults, o.statementTimeouts.faults(d)...)
	config, wrong := o.migrationConfig(d)
	faults = append(faults, wrong...)
	sets, warnings, wrongInSets := migset.Resolve(config)
	for _, f := range wrongInSets {
		fault(o.fault(f))
	}
	ts := &targets{whole: whole, warnings: warnings}
	for _, set := range sets {
		part := whole
		if o.allNamespaces() {
			copied := *whole
			part = &copied
		}
		part.set = set
		ts.parts = append(ts.parts, part)
		if part != whole && whole.table != nil { // else the fault is reported already
			if err := o.tables(part); err != nil {
				fault(part.named(err))
			}
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return ts, nil
}

// migrationConfig is what the options say about where migrations are. Options of goose's that are a fault exclude none.
func (o *options) migrationConfig(d dialect.Dialect) (c migset.Config, faults []error) {
	c = migset.Config{
		FS: o.fsys, BasePath: o.basePath, Environments: o.environments, Namespaces: o.namespaces, Go: o.goMigrations, Options: o.gooseOptions, Dialect: d,
		Checkpoints: o.checkpoints,
	}
	for _, definitions := range o.definitions {
		if definitions == nil {
			faults = append(faults, fmt.Errorf("%w: WithDefinitions: it is nil", ErrMergeMigrations))
			continue
		}
		c.Definitions = append(c.Definitions, migset.Definitions{Namespace: definitions.Namespace, List: definitions.frozen()})
	}
	for i, opt := range o.gooseOptions {
		if err := dryrun.CheckOption(opt); err != nil {
			faults, c.Options = append(faults, fmt.Errorf("WithGooseOptions: option %d %w", i+1, err)), nil
		}
	}
	return c, faults
}

// fault is a fault of the configuration as users know it.
func (o *options) fault(f *migset.Fault) error {
	err := f.Err
	switch f.Kind {
	case migset.Definition:
		err = fmt.Errorf("%w: %w", ErrMergeMigrations, definitionError(f))
	case migset.Merge:
		err = fmt.Errorf("%w: %w", ErrMergeMigrations, failure.Tidy{Err: err})
	}
	return namedBy(where(o.tenant, f.Namespace), err)
}

// unreadable makes one error of what was found when files were read.
func (t *target) unreadable(errs []error) error {
	for i, err := range errs {
		if f, ok := errors.AsType[*migset.Fault](err); ok {
			secrets := redact.In(f.SQL)
			failed := &MigrationError{Tenant: t.tenant, Namespace: f.Namespace, Version: f.Version, Source: f.Source, Environment: f.Environment,
				Direction: f.Direction, Statement: secrets.Text(), Err: &statementError{f.Err, secrets}}
			failed.locate(t, f.SQL, false, nil, 0)
			errs[i] = failed
		}
	}
	return errors.Join(errs...)
}

// tables names the version table and the state table.
func (o *options) tables(t *target) (err error) {
	name := o.versionTable
	if o.bound {
		if name, err = o.inSchema(t.dialect); err != nil {
			return err
		}
	}
	if t.dialect.Quotes() {
		if t.state, err = history.NewState(t.dialect, name); err != nil {
			return fmt.Errorf("WithVersionTable: %w", err)
		}
	} else if o.globalLock {
		return fmt.Errorf("WithGlobalLock: there is no lock for the dialect %s", t.dialect.Goose)
	}
	if t.set.Namespace != "" {
		if name, err = inNamespace(t.dialect, name, t.set.Namespace); err != nil {
			return err
		}
	}
	if t.table, err = history.NewVersions(t.dialect, name); err != nil {
		return fmt.Errorf("WithVersionTable: %w", err)
	}
	return nil
}

// in returns the targets of another schema or tenant: only the names of the tables differ.
func (ts *targets) in(o *options) (*targets, error) {
	bind := func(t *target) (*target, error) {
		bound := *t
		bound.tenant, bound.schema, bound.createSchema = o.tenant, o.schema, o.createSchema
		if err := o.tables(&bound); err != nil {
			return nil, fmt.Errorf("%s%w", where(o.tenant, t.set.Namespace), failure.Tidy{Err: err})
		}
		return &bound, nil
	}
	whole, err := bind(ts.whole)
	if err != nil {
		return nil, err
	}
	if !ts.several() {
		return &targets{parts: []*target{whole}, whole: whole, warnings: ts.warnings}, nil
	}
	bound := &targets{whole: whole, warnings: ts.warnings}
	for _, t := range ts.parts {
		part, err := bind(t)
		if err != nil {
			return nil, err
		}
		bound.parts = append(bound.parts, part)
	}
	return bound, nil
}

// several says whether no namespace was chosen, though there may be only one.
func (ts *targets) several() bool { return ts.parts[0] != ts.whole }

// one returns the only part, or refuses what means the versions of one namespace.
func (ts *targets) one() (*target, error) {
	if !ts.several() {
		return ts.whole, nil
	}
	return nil, fmt.Errorf("versions belong to a namespace: choose one of %s with Namespace", migset.Quoted(ts.namespaces()))
}

// namespaces are the namespaces of a run over several.
func (ts *targets) namespaces() (names []string) {
	for _, part := range ts.parts {
		if ts.several() {
			names = append(names, part.set.Namespace)
		}
	}
	return names
}

// namespace returns the targets with one namespace chosen.
func (ts *targets) namespace(name string) *targets {
	i := slices.IndexFunc(ts.parts, func(part *target) bool { return part.set.Namespace == name })
	return &targets{parts: ts.parts[i : i+1], whole: ts.parts[i]}
}

// named puts the tenant and the namespace before an error that doesn't say so itself.
func (t *target) named(err error) error { return namedBy(where(t.tenant, t.set.Namespace), err) }

// own is facts without what is remembered of other namespaces.
func (t *target) own(facts history.Facts) history.Facts {
	facts.Dirty = slices.DeleteFunc(slices.Clone(facts.Dirty), func(s history.Step) bool { return s.Namespace != t.set.Namespace })
	facts.Protected = slices.DeleteFunc(slices.Clone(facts.Protected), func(m history.Mark) bool { return m.Namespace != t.set.Namespace })
	return facts
}

// tableError is the error of a version table that can't be used.
func (t *target) tableError(ctx context.Context, err error) error {
	return t.unusable(ctx, t.table.Name(), err)
}

// stateError is the error of a state table that can't be used.
func (t *target) stateError(ctx context.Context, err error) error {
	return t.unusable(ctx, t.state.Name(), err)
}

// unusable is ErrMigrationTable with a text that says what happened: most often the table is not to blame.
func (t *target) unusable(ctx context.Context, table string, err error) error {
	text := failure.Reason(failure.Stopped(ctx, err))
	role, who := (*session.RoleError)(nil), "this user"
	if t.role != nil {
		who = fmt.Sprintf("the role %q", *t.role)
	}
	switch {
	case errors.Is(err, ErrTenantMissing):
	case errors.Is(err, history.ErrNoTransactions): // which names the table
	case errors.As(err, &role):
		text = "WithRole: " + role.Error() + ". Nothing was touched"
	case ctx.Err() != nil:
		text = fmt.Sprintf("stopped while the table %s was read or written: %s", table, text)
	case dialect.Refused(err):
		text = "the server refused the connection: " + text
	case dialect.Unreachable(err):
		text = "no connection to the database: " + text
	case t.state != nil && t.dialect.Denied(err):
		text = fmt.Sprintf("%s lacks a privilege on %s: %s; it needs GRANT SELECT ON %s and GRANT SELECT ON %s to read, INSERT, UPDATE and DELETE on both to migrate, and CREATE on the schema where they don't exist",
			who, table, text, t.table.Name(), t.state.Name())
	default:
		text = fmt.Sprintf("the table %s can't be read or created (dialect %s): %s", table, t.dialect.Goose, text)
	}
	return &tableError{text, failure.Stopped(ctx, err)}
}

// wrongDriver refuses a database whose driver is for another one than the dialect.
func (t *target) wrongDriver(db *sql.DB) error {
	of := dialect.DriverOf(db.Driver())
	if of == "" || !t.dialect.Quotes() {
		return nil
	}
	if d, err := dialect.Lookup(of); err != nil || d.Goose == t.dialect.Goose {
		return err
	}
	return &tableError{text: fmt.Sprintf("the driver %T is for %s, and the dialect is %s: use WithDialect(%q)", db.Driver(), of, t.dialect.Goose, of)}
}
