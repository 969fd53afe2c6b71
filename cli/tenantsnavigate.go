package cli

import (
	"context"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

// tenantsNavigateCommands take the tenants to a version.
func (a *app) tenantsNavigateCommands() []*cobra.Command {
	down, upTo, downTo, goTo, forced := new(tenantsFlags), new(tenantsFlags), new(tenantsFlags), new(tenantsFlags), new(tenantsFlags)
	const again = "If some\ntenants fail, run it again: tenants that are at the version already are left alone."
	return []*cobra.Command{
		a.command(spec{
			use: "up-to VERSION|DATE", short: "Apply the pending migrations up to a version to every tenant",
			long: "Applies, in every tenant, the pending migrations up to and including a version. It never undoes any.\n" +
				"A date such as 2023-11-03 means the end of that day (UTC); it needs versions that are times.",
			example:  "gooseplus tenants up-to 20231103120000 --schemas-like 'tenant\\_%'",
			versions: []string{},
			flags: func(cmd *cobra.Command) {
				upTo.add(cmd, true)
				upTo.addCreateSchema(cmd)
			},
			run: func(c *call) error {
				return tenantsTo(c, upTo, true, upWords, "", func(ctx context.Context, m *gooseplus.Migrator, v int64) error { return m.MigrateTo(ctx, v) })
			},
		}),
		a.command(spec{
			use: "down", short: "Undo, in every tenant, the migration that was applied last",
			long: "Undoes one migration in every tenant. If some tenants fail, don't run it again: it would undo another one in\n" +
				"the tenants that had succeeded. tenants down-to can be run again." + asksBack,
			example: "gooseplus tenants down --schemas-query 'SELECT schema FROM organisations' --tenant acme",
			flags:   func(cmd *cobra.Command) { down.add(cmd, true) },
			run: func(c *call) error {
				question := asked{"undo the last migration of %s", func(ctx context.Context, m *gooseplus.Migrator) error { return c.confirmDown(ctx, m, last(1)) }}
				return eachTenant(c, down, downWords, question, func(ctx context.Context, m *gooseplus.Migrator) error { return m.Rollback(ctx, 1) })
			},
		}),
		a.command(spec{
			use: "down-to VERSION|DATE", short: "Undo, in every tenant, all migrations above a version",
			long: "Undoes, in every tenant, every migration above a version, the last applied first. A date such as 2023-11-03\n" +
				"means the end of that day (UTC); it needs versions that are times. " + again + asksBack,
			example:  "gooseplus tenants down-to 20231103120000 --schemas-like 'tenant\\_%' --yes",
			versions: []string{},
			flags:    func(cmd *cobra.Command) { downTo.add(cmd, true) },
			run: func(c *call) error {
				return tenantsTo(c, downTo, true, downWords, "undo all migrations above "+c.args[0]+" in %s",
					func(ctx context.Context, m *gooseplus.Migrator, v int64) error { return m.RollbackTo(ctx, v) })
			},
		}),
		a.command(spec{
			use: "goto VERSION", short: "Take every tenant to a version, up or down",
			long: "Undoes, in every tenant, the migrations above the version, and applies the pending ones up to it.\n" +
				"If some tenants fail, run it again: tenants that are at the version already are left alone." + asksBack,
			example:  "gooseplus tenants goto 20231103120000 --schemas-like 'tenant\\_%' --yes",
			versions: []string{},
			flags: func(cmd *cobra.Command) {
				goTo.add(cmd, true)
				goTo.addCreateSchema(cmd)
			},
			run: func(c *call) error {
				return tenantsTo(c, goTo, false, gotoWords, "undo all migrations above "+c.args[0]+", and apply those up to it, in %s",
					func(ctx context.Context, m *gooseplus.Migrator, v int64) error { return m.Goto(ctx, v) })
			},
		}),
		a.command(spec{
			use: "force VERSION", short: "Say which version some tenants are at, without running anything",
			long: "Marks, in the tenants that --tenant names, the known migrations up to and including a version as applied, and all\n" +
				"others as not applied. The tenants are no longer dirty then. No migration is executed. Use it after you have\n" +
				"repaired the tenants. It asks first: on a terminal it waits for an answer, elsewhere it needs --yes.",
			example:  "gooseplus tenants force 20231103120000 --tenant tenant_0042 --yes",
			versions: []string{},
			flags:    func(cmd *cobra.Command) { forced.add(cmd, false) },
			run:      func(c *call) error { return tenantsForce(c, forced) },
		}),
	}
}

// tenantsForce is force of tenants by name: a pattern may match more than a person has repaired.
func tenantsForce(c *call, t *tenantsFlags) error {
	version, err := parseNumber(c.args[0])
	if err != nil {
		return err
	}
	if len(t.names) == 0 {
		return usagef("tenants force needs the names of the tenants: add --tenant for each")
	}
	question := asked{
		fmt.Sprintf("mark the migrations up to %d as applied and all others as not applied, and execute nothing, in %%s", version),
		func(ctx context.Context, m *gooseplus.Migrator) error {
			s, err := statusAnyway(ctx, m)
			if err != nil {
				return err
			}
			if _, known := s.Migration(version); known || version == 0 { // otherwise Force names the nearest versions
				return c.confirm(newForceClaim(s, version).question(false))
			}
			return nil
		},
	}
	return eachTenant(c, t, forceWords, question, func(ctx context.Context, m *gooseplus.Migrator) error {
		return mistaken(ctx, m, version, m.Force(ctx, version))
	})
}

// asked is the question that a command asks first: about the number of tenants, or, with one tenant, what the command for
// one database asks. The zero value asks nothing.
type asked struct {
	ofSeveral string
	ofOne     func(context.Context, *gooseplus.Migrator) error
}

// tenantsTo is eachTenant to the version that is the command's argument. A run that undoes nothing has no question.
func tenantsTo(c *call, t *tenantsFlags, dates bool, words reportWords, question string, run func(context.Context, *gooseplus.Migrator, int64) error) error {
	target, err := parseVersion(c.args[0], dates)
	if err != nil {
		return err
	}
	resolved := func(do func(context.Context, *gooseplus.Migrator, int64) error) func(context.Context, *gooseplus.Migrator) error {
		return func(ctx context.Context, m *gooseplus.Migrator) error {
			version, err := target.resolve(ctx, m)
			if err != nil {
				return err
			}
			return do(ctx, m, version)
		}
	}
	f, err := oneFleet(c, t)
	if err != nil {
		return err
	}
	if err := target.fault(f.m, question == ""); err != nil {
		return err
	}
	one := resolved(func(ctx context.Context, m *gooseplus.Migrator, version int64) error {
		return c.confirmDown(ctx, m, above(version))
	})
	return f.each(words, asked{question, one}, resolved(run))
}

// oneFleet is newFleet for a command that means the versions of one namespace.
func oneFleet(c *call, t *tenantsFlags) (*fleet, error) {
	f, err := newFleet(c, t)
	if err != nil {
		return nil, err
	}
	return f, oneNamespace(f.m)
}

// eachTenant calls run for every tenant.
func eachTenant(c *call, t *tenantsFlags, words reportWords, question asked, run func(context.Context, *gooseplus.Migrator) error) error {
	f, err := oneFleet(c, t)
	if err != nil {
		return err
	}
	return f.each(words, question, run)
}

// each calls run for every tenant, after the question.
func (f *fleet) each(words reportWords, question asked, run func(context.Context, *gooseplus.Migrator) error) error {
	if question.ofSeveral != "" {
		list, err := collect(f.source)
		if err != nil {
			return sourceError(err)
		}
		switch {
		case len(list) > 1:
			err = f.call.confirm(fmt.Sprintf(question.ofSeveral, tenants(len(list))))
		case len(list) == 1:
			err = question.ofOne(f.call.ctx, f.m.Tenant(list[0]))
		}
		if err != nil {
			return err
		}
		f.source = those(list) // that were asked about
	}
	return f.report(words, func() (*gooseplus.TenantsReport, error) {
		return f.m.EachTenant(f.call.ctx, f.source, run, f.flags.options()...)
	})
}

func collect(source iter.Seq2[gooseplus.Tenant, error]) (list []gooseplus.Tenant, err error) {
	for tenant, err := range source {
		if err != nil {
			return nil, err
		}
		list = append(list, tenant)
	}
	return list, nil
}

func those(list []gooseplus.Tenant) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		for _, tenant := range list {
			if !yield(tenant, nil) {
				return
			}
		}
	}
}
