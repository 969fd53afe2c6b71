package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

func (a *app) tenantsCommands() []*cobra.Command {
	asked := "The queries run on the master database (--master-dsn, MASTER_DB_URL), or without one on the database of\n" +
		"the program."
	if a.settings.standalone {
		asked = "The queries run on the master database (--master-dsn, MASTER_DB_URL), or without one on --dsn."
	}
	tenants := &cobra.Command{
		GroupID: "tenants", Use: "tenants", Short: "Migrate many schemas or databases",
		Long: "Works on many tenants: schemas of one database, or databases. --schemas-like, --schemas-query or\n" +
			"--databases-query lists them. --tenant chooses some of them; alone, it names schemas.\n" + asked + "\n" +
			"If there are no tenants, the command fails, except with --allow-none.",
		Example: "  gooseplus tenants up --schemas-like 'tenant\\_%'",
	}
	a.own(tenants, cobra.ArbitraryArgs, listCommands)
	up, status, drifts, list := new(tenantsFlags), new(tenantsFlags), new(tenantsFlags), new(tenantsFlags)
	var shadow string
	tenants.AddCommand(
		a.command(spec{
			use: "up", short: "Apply all pending migrations to every tenant",
			long: "Migrates every tenant that has pending migrations, several at a time, each with its own lock. If a tenant\n" +
				"fails, its run is undone; the other tenants go on, except with --canary or --max-failures. With --way-back these\n" +
				"also undo what the command did to the tenants that had succeeded.",
			example: "gooseplus tenants up --schemas-like 'tenant\\_%' --canary 1 --max-failures 10",
			flags: func(cmd *cobra.Command) {
				up.add(cmd, true)
				up.addCreateSchema(cmd)
				up.addWayBack(cmd)
			},
			run: func(c *call) error { return tenantsUp(c, up) },
		}),
		a.command(spec{
			use: "status", looks: true, short: "Show the version of every tenant, and how many migrations are pending",
			long: "Reads the state of every tenant. With --output html it writes a page that shows them all, with a filter\n" +
				"and sortable columns. The page is one file and needs no network.",
			example: "gooseplus tenants status --databases-query 'SELECT name, dsn FROM tenants' --output html > fleet.html",
			flags: func(cmd *cobra.Command) {
				status.add(cmd, false)
				cmd.Annotations[htmlAnnotation] = "yes"
			},
			run: func(c *call) error { return tenantsStatus(c, status) },
		}),
		a.command(spec{
			use: "drift", looks: true, short: "Compare every tenant with what its migrations make",
			long:    driftLong + "Tenants are compared one after the other, with one shadow for all of them. Differences are shown by tenant.",
			example: "gooseplus tenants drift --schemas-like 'tenant\\_%' --shadow postgres://app@localhost/shop_shadow",
			flags: func(cmd *cobra.Command) {
				drifts.add(cmd, false)
				addShadow(cmd, &shadow)
			},
			run: func(c *call) error { return tenantsDrift(c, drifts, shadow) },
		}),
		a.command(spec{
			use: "list", looks: true, short: "List the names of the tenants",
			example: "gooseplus tenants list --schemas-like 'tenant\\_%'",
			flags:   func(cmd *cobra.Command) { list.add(cmd, false) },
			run:     func(c *call) error { return tenantsList(c, list) },
		}),
	)
	tenants.AddCommand(a.tenantsNavigateCommands()...)
	tenants.AddCommand(a.tenantsCreateCommand())
	tenants.AddCommand(a.tenantsAskCommands()...)
	return []*cobra.Command{tenants}
}

// tenantsFlags say which tenants there are, and how to go about them.
type tenantsFlags struct {
	like, schemas, databases         string
	names                            []string
	concurrency, canary, maxFailures int
	createSchema, allowNone, wayBack bool
}

func (t *tenantsFlags) add(cmd *cobra.Command, runs bool) {
	f := cmd.Flags()
	f.StringVar(&t.like, "schemas-like", "", "tenants are the schemas whose names match this LIKE `pattern`")
	f.StringVar(&t.schemas, "schemas-query", "", "tenants are the schemas that this `query` returns")
	f.StringVar(&t.databases, "databases-query", "", "tenants are the databases that this `query` returns: name, DSN")
	f.StringArrayVar(&t.names, "tenant", nil, "only the tenant with this `name`; can be repeated")
	f.BoolVar(&t.allowNone, "allow-none", false, "don't fail if there are no tenants")
	f.IntVar(&t.concurrency, "concurrency", 0, "work on this many `tenants` at once; 0 is twice the number of CPUs")
	for _, name := range []string{"schemas-like", "schemas-query", "databases-query", "concurrency"} {
		settable(f, name)
	}
	if !runs {
		return
	}
	f.IntVar(&t.canary, "canary", 0, "migrate this many `tenants` first, one by one; if one fails, skip the others")
	f.IntVar(&t.maxFailures, "max-failures", 0, "stop after this many `failures`; 0 never stops")
	for _, name := range []string{"canary", "max-failures"} {
		settable(f, name)
	}
}

// addCreateSchema is for the commands that go up.
func (t *tenantsFlags) addCreateSchema(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&t.createSchema, "create-schema", false, "create a tenant's schema if it doesn't exist")
	settable(cmd.Flags(), "create-schema")
}

// addWayBack is for the commands that migrate all tenants.
func (t *tenantsFlags) addWayBack(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&t.wayBack, "way-back", false, "if --canary or --max-failures stops the command, undo the tenants that it migrated")
	settable(cmd.Flags(), "way-back")
}

// given is the name of one of the flags that was set, "" if none was.
func (t *tenantsFlags) given(cmd *cobra.Command) string {
	for _, name := range []string{
		"schemas-like", "schemas-query", "databases-query", "tenant", "concurrency", "canary", "max-failures", "create-schema", "allow-none", "way-back",
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
		gooseplus.WithWayBack(t.wayBack),
	}
	if t.concurrency != 0 {
		options = append(options, gooseplus.WithConcurrency(t.concurrency))
	}
	return options
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
		return usagef("give only one of --schemas-like, --schemas-query and --databases-query")
	case given == 0 && len(t.names) == 0:
		return usagef("which tenants? give --schemas-like, --schemas-query, --databases-query or --tenant")
	case t.wayBack && t.canary == 0 && t.maxFailures == 0:
		return usagef("--way-back: nothing stops the command: add --canary or --max-failures")
	case slices.Contains(t.names, ""):
		return usagef("--tenant: the name is empty; is a variable not set?")
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

func tenantsUp(c *call, t *tenantsFlags) error {
	f, err := newFleet(c, t)
	if err != nil {
		return err
	}
	return f.up()
}

func (f *fleet) up() error {
	return f.report(upWords, func() (*gooseplus.TenantsReport, error) {
		return f.m.MigrateTenants(f.call.ctx, f.source, f.flags.options()...)
	})
}

// masterThenTenants is up of the master database, and then, if that succeeded, of the tenants.
func masterThenTenants(c *call, t *tenantsFlags) error {
	f, err := newFleet(c, t) // what is wrong with them comes up before the master is migrated
	if err != nil {
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
		c.out.note("the tenants are not migrated, because the master database failed")
		return err
	}
	c.out.line("\nthe tenants:")
	c.activity.reset()
	c.opened = f.m
	err = f.up()
	if err != nil && ExitCode(err) != exitTenants { // most other codes say that nothing was touched, and the master was
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
