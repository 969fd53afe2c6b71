package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/redact"
)

func (a *app) tenantsCommands() []*cobra.Command {
	asked := "The queries are asked of the master database, if there is one (--master-dsn, MASTER_DB_URL), else of\n" +
		"the database of the program."
	if a.settings.standalone {
		asked = "The queries are asked of the master database, if there is one (--master-dsn, MASTER_DB_URL), else of --dsn."
	}
	tenants := &cobra.Command{
		GroupID: "tenants", Use: "tenants", Short: "Migrate many schemas or databases",
		Long: "Works on many tenants: schemas of one database, or databases. --schemas-like, --schemas-query and\n" +
			"--databases-query say which there are; --tenant chooses from them, or names schemas by itself.\n" + asked + "\n" +
			"It is an error if there are none, unless --allow-none says that this is meant.",
		Example: "  gooseplus tenants up --schemas-like 'tenant\\_%'",
	}
	a.own(tenants, cobra.ArbitraryArgs, listCommands)
	up, status, list := new(tenantsFlags), new(tenantsFlags), new(tenantsFlags)
	tenants.AddCommand(
		a.command(spec{
			use: "up", short: "Apply all pending migrations to every tenant",
			long: "Migrates every tenant that has anything to do, several at a time, each with its own lock and its own way\n" +
				"back. One that fails doesn't stop the others, unless --canary or --max-failures says so.",
			example: "gooseplus tenants up --schemas-like 'tenant\\_%' --canary 1 --max-failures 10",
			flags:   func(cmd *cobra.Command) { up.add(cmd, true) },
			run:     func(c *call) error { return tenantsUp(c, up) },
		}),
		a.command(spec{
			use: "status", looks: true, short: "Show the version of every tenant, and how many migrations are pending",
			long: "Looks at every tenant. With --output html it writes one page that shows them all, with a filter, which\n" +
				"needs nothing else to be opened.",
			example: "gooseplus tenants status --databases-query 'SELECT name, dsn FROM tenants' --output html > fleet.html",
			flags: func(cmd *cobra.Command) {
				status.add(cmd, false)
				cmd.Annotations[htmlAnnotation] = "yes"
			},
			run: func(c *call) error { return tenantsStatus(c, status) },
		}),
		a.command(spec{
			use: "list", looks: true, short: "List the tenants, without looking at them",
			example: "gooseplus tenants list --schemas-like 'tenant\\_%'",
			flags:   func(cmd *cobra.Command) { list.add(cmd, false) },
			run:     func(c *call) error { return tenantsList(c, list) },
		}),
	)
	tenants.AddCommand(a.tenantsNavigateCommands()...)
	return []*cobra.Command{tenants}
}

// tenantsFlags say which tenants there are, and how to go about them.
type tenantsFlags struct {
	like, schemas, databases         string
	names                            []string
	concurrency, canary, maxFailures int
	createSchema, allowNone          bool
}

func (t *tenantsFlags) add(cmd *cobra.Command, runs bool) {
	f := cmd.Flags()
	f.StringVar(&t.like, "schemas-like", "", "tenants are the schemas whose names match this `pattern` of LIKE")
	f.StringVar(&t.schemas, "schemas-query", "", "tenants are the schemas that this `query` names")
	f.StringVar(&t.databases, "databases-query", "", "tenants are the databases that this `query` gives: name, DSN")
	f.StringArrayVar(&t.names, "tenant", nil, "only the tenant of this `name`; can be given several times")
	f.BoolVar(&t.allowNone, "allow-none", false, "it is no error if there are no tenants")
	f.IntVar(&t.concurrency, "concurrency", 0, "how many `tenants` at once; 0 is twice the number of CPUs")
	for _, name := range []string{"schemas-like", "schemas-query", "databases-query", "concurrency"} {
		settable(f, name)
	}
	if !runs {
		return
	}
	f.IntVar(&t.canary, "canary", 0, "so many `tenants` go first, one by one; if one fails, the others are skipped")
	f.IntVar(&t.maxFailures, "max-failures", 0, "stop after so many `failures`; 0 goes on")
	f.BoolVar(&t.createSchema, "create-schema", false, "create the schema of a tenant that has none")
	for _, name := range []string{"canary", "max-failures", "create-schema"} {
		settable(f, name)
	}
}

// given is the name of one of the flags that was set, "" if none was.
func (t *tenantsFlags) given(cmd *cobra.Command) string {
	for _, name := range []string{
		"schemas-like", "schemas-query", "databases-query", "tenant", "concurrency", "canary", "max-failures", "create-schema", "allow-none",
	} {
		if cmd.Flags().Changed(name) { // which a flag that a variable has set is not
			return name
		}
	}
	return ""
}

func (t *tenantsFlags) options() []gooseplus.TenantsOption {
	options := []gooseplus.TenantsOption{
		gooseplus.WithCanary(t.canary), gooseplus.WithMaxFailures(t.maxFailures), gooseplus.WithCreateSchema(t.createSchema),
	}
	if t.concurrency != 0 {
		options = append(options, gooseplus.WithConcurrency(t.concurrency))
	}
	return options
}

// fleet is what the tenants commands work on.
type fleet struct {
	call   *call
	flags  *tenantsFlags
	m      *gooseplus.Migrator
	source iter.Seq2[gooseplus.Tenant, error]

	mu     sync.Mutex
	listed map[string]gooseplus.Tenant // guarded by mu; those that the source has named so far
}

// tenant is one that the source has named.
func (f *fleet) tenant(name string) (gooseplus.Tenant, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.listed[name]
	return t, ok
}

// migrator is for one of the tenants.
func (f *fleet) migrator(name string) *gooseplus.Migrator {
	t, _ := f.tenant(name)
	return f.m.Tenant(t)
}

// newFleet finds the Migrator of the tenants, and where they are listed.
func newFleet(c *call, t *tenantsFlags) (*fleet, error) {
	if err := t.faults(); err != nil {
		return nil, err
	}
	purpose := mainDatabase
	if t.databases != "" {
		purpose = otherDatabases
	}
	m, err := c.migrator(withPurpose(tenantsContext(c.ctx), purpose))
	if err != nil {
		return nil, err
	}
	f := &fleet{call: c, flags: t, m: m, listed: make(map[string]gooseplus.Tenant)}
	source, err := f.find()
	if err != nil {
		return nil, err
	}
	f.source = untilEnd(c.ctx, f.checked(source))
	return f, nil
}

// tenantsContext is for open, see ForTenants.
func tenantsContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, forTenants{}, true)
}

// checked fails for a source that has no tenants, which is rather a wrong pattern or database, and for one that takes
// the DSN of a tenant for its name.
func (f *fleet) checked(source iter.Seq2[gooseplus.Tenant, error]) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		none := true
		for tenant, err := range source {
			name := cmp.Or(tenant.Name, tenant.Schema)
			if err == nil && redact.Text(name) != name {
				tenant, err = gooseplus.Tenant{}, usagef("the name of a tenant is a DSN, %s: the query has to give the name first, and then the DSN", clean(redact.Text(name)))
			}
			none = none && err != nil
			if err == nil {
				f.mu.Lock()
				f.listed[name] = tenant
				f.mu.Unlock()
			}
			if !yield(tenant, err) || err != nil {
				return
			}
		}
		if none && !f.flags.allowNone {
			yield(gooseplus.Tenant{}, usagef("there are no tenants: %s (--allow-none if that is right)", f.nothing()))
		}
	}
}

// nothing says which source has no tenants.
func (f *fleet) nothing() string {
	on := cmp.Or(f.call.settings.pools.connected, "the database")
	switch t := f.flags; {
	case t.like != "":
		return fmt.Sprintf("no schema of %s matches --schemas-like %q", on, t.like)
	case t.schemas != "":
		return fmt.Sprintf("--schemas-query %q gives no row on %s", t.schemas, on)
	default:
		return fmt.Sprintf("--databases-query %q gives no row on %s", t.databases, on)
	}
}

// words are those for one tenant.
func (f *fleet) words(tenant string) words {
	w := f.call.out.words
	t, listed := f.tenant(tenant)
	if !listed || !w.flags {
		return w
	}
	return w.forTenant(t, f.call.settings.files.tenantsDir)
}

// untilEnd ends a source when ctx ends. A source has no context: a query that hangs is left to itself.
func untilEnd(ctx context.Context, source iter.Seq2[gooseplus.Tenant, error]) iter.Seq2[gooseplus.Tenant, error] {
	type item struct {
		tenant gooseplus.Tenant
		err    error
	}
	return func(yield func(gooseplus.Tenant, error) bool) {
		items, stop := make(chan item), make(chan struct{})
		defer close(stop)
		go func() {
			defer close(items)
			for t, err := range source {
				select {
				case items <- item{t, err}:
				case <-stop:
					return
				}
			}
		}()
		for {
			select {
			case <-ctx.Done():
				yield(gooseplus.Tenant{}, context.Cause(ctx))
				return
			case i, more := <-items:
				if !more {
					return
				}
				if i.err != nil {
					i.err = &listError{i.err}
				}
				if !yield(i.tenant, i.err) {
					return
				}
			}
		}
	}
}

func (t *tenantsFlags) faults() error {
	given := 0
	for _, s := range []string{t.like, t.schemas, t.databases} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return usagef("--schemas-like, --schemas-query and --databases-query: one of them says which tenants there are")
	case given == 0 && len(t.names) == 0:
		return usagef("which tenants? --schemas-like, --schemas-query, --databases-query or --tenant says so")
	case slices.Contains(t.names, ""):
		return usagef("--tenant: the name is empty, which may be a variable that is not set")
	}
	for _, number := range []struct {
		flag  string
		value int
	}{{"concurrency", t.concurrency}, {"canary", t.canary}, {"max-failures", t.maxFailures}} {
		if number.value < 0 {
			return usagef("--%s %d is negative", number.flag, number.value)
		}
	}
	return nil
}

// find is where the tenants are listed.
func (f *fleet) find() (source iter.Seq2[gooseplus.Tenant, error], err error) {
	t := f.flags
	if t.like != "" {
		source = gooseplus.SchemasLike(f.m.DB(), t.like)
	} else if t.schemas == "" && t.databases == "" {
		return gooseplus.Schemas(t.names...), nil
	} else {
		master, err := f.master()
		if err != nil {
			return nil, err
		}
		source = gooseplus.SchemasFromQuery(master, t.schemas)
		if t.databases != "" {
			source = gooseplus.DatabasesFromQuery(master, f.openTenant, t.databases)
		}
	}
	if len(t.names) == 0 {
		return source, nil
	}
	return only(source, t.names), nil
}

// master is the database that knows the tenants.
func (f *fleet) master() (*sql.DB, error) {
	s := f.call.settings
	dsn := s.shared.masterDSN
	if dsn == "" {
		if db := f.m.DB(); db != nil {
			return db, nil
		}
		if dsn = cmp.Or(s.database.dsn, s.database.fallbackDSN); dsn == "" {
			return nil, usagef("there is no database to ask for the tenants: set --master-dsn, or MASTER_DB_URL in the environment")
		}
	}
	t, err := parseDSN(dsn, s.database.driver)
	if err != nil {
		return nil, err
	}
	return s.pools.connect(f.call.ctx, t)
}

// openTenant opens the database of a tenant, whose DSN may be wrong in all ways that a DSN can be.
func (f *fleet) openTenant(_ context.Context, dsn string) (*sql.DB, error) {
	s := f.call.settings
	t, err := parseDSN(dsn, s.database.tenantsDriver)
	if err != nil {
		return nil, err
	}
	if want, err := s.target(otherDatabases); s.standalone && err == nil && want.dialect != t.dialect {
		return nil, usagef("its DSN is for %s, and not for %s: --tenants-driver says what the tenants' databases are", t.dialect, want.dialect)
	}
	return t.open(s.pools.looks)
}

// only chooses tenants of a source by their names, and fails for those that it doesn't have.
func only(source iter.Seq2[gooseplus.Tenant, error], names []string) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		missing := make(map[string]bool)
		for _, name := range names {
			missing[name] = true
		}
		for t, err := range source {
			name := cmp.Or(t.Name, t.Schema)
			if err == nil && !slices.Contains(names, name) {
				continue
			}
			delete(missing, name)
			if !yield(t, err) || err != nil {
				return
			}
		}
		if len(missing) > 0 {
			left := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !missing[name] })
			yield(gooseplus.Tenant{}, usagef("there is no tenant %s", strings.Join(left, ", ")))
		}
	}
}

func tenantsUp(c *call, t *tenantsFlags) error {
	f, err := newFleet(c, t)
	if err != nil {
		return err
	}
	return f.report(upWords, func() (*gooseplus.TenantsReport, error) {
		return f.m.MigrateTenants(c.ctx, f.source, t.options()...)
	})
}

// masterThenTenants is up of the master database, and then, if that succeeded, of the tenants.
func masterThenTenants(c *call, t *tenantsFlags) error {
	if err := t.faults(); err != nil {
		return err
	}
	m, err := c.migrator(withPurpose(c.ctx, masterDatabase))
	if err != nil {
		return err
	}
	c.out.line("the master database:")
	data := new(bothDone)
	c.data = data
	data.Master, err = c.make(m, migrate)
	if err != nil {
		c.out.note("the tenants are not migrated, since the master database failed")
		return err
	}
	c.out.line("\nthe tenants:")
	c.activity.reset()
	err = tenantsUp(c, t)
	if code := ExitCode(err); code == exitUsage || code == exitRefused { // which would mean that nothing was touched
		err = &tenantsError{fmt.Errorf("the master database is migrated, the tenants are not: %w", err)}
	}
	data.Tenants, _ = c.data.(*tenantsDone)
	c.data = data
	return err
}

// bothDone is the data of up --then-tenants.
type bothDone struct {
	Master  *runDone     `json:"master"`
	Tenants *tenantsDone `json:"tenants"`
}

func tenantsList(c *call, t *tenantsFlags) error {
	f, err := newFleet(c, t)
	if err != nil {
		return err
	}
	names := []string{}
	for tenant, err := range f.source {
		if err == nil && c.ctx.Err() != nil {
			err = context.Cause(c.ctx)
		}
		if err != nil {
			return sourceError(err)
		}
		name := cmp.Or(tenant.Name, tenant.Schema)
		names = append(names, name)
		c.out.line("%s", clean(name))
	}
	c.data = map[string]any{"tenants": names}
	if len(names) == 0 {
		c.out.note("there are no tenants")
	}
	return nil
}

// listError is an error of what lists the tenants.
type listError struct{ err error }

func (e *listError) Error() string { return e.err.Error() }
func (e *listError) Unwrap() error { return e.err }

// sourceError is the error of a call that had no tenants.
func sourceError(err error) error {
	var usage *usageError
	var list *listError
	switch {
	case errors.Is(err, errInterrupted):
		return errInterrupted
	case errors.As(err, &usage):
		return usage
	case disconnected(err) || !errors.As(err, &list):
		return err
	}
	return &usageError{fmt.Errorf("the tenants can't be listed: %w", err)} // the query is a setting
}
