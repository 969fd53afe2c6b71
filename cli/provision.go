package cli

import (
	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

func (a *app) tenantsCreateCommand() *cobra.Command {
	return a.command(spec{
		use: "create NAME", short: "Create a tenant's schema with all migrations",
		long: "Creates the schema NAME (on MySQL and MariaDB a database) and applies all migrations. If one fails, the schema\n" +
			"is dropped again. Two commands for one name take turns: the second finds the tenant ready. A schema that\n" +
			"exists is migrated and never dropped. It always takes the lock.",
		example: "gooseplus tenants create tenant_0042",
		args:    cobra.ExactArgs(1),
		run:     tenantsCreate,
	})
}

func tenantsCreate(c *call) error {
	m, err := c.tenantsMigrator(mainDatabase)
	if err != nil {
		return err
	}
	tenant := gooseplus.Tenant{Schema: c.args[0]}
	if c.opened = m.Tenant(tenant); c.out.flags {
		c.out.words = c.out.forTenant(tenant, c.settings.files.tenantsDir)
	} else {
		c.out.tenant = tenant.Schema
	}
	data := tenantCreated{Tenant: tenant.Schema}
	c.activity.mu.Lock()
	c.activity.ended = func(e gooseplus.RunFinished) {
		data.Applied, data.Version = data.Applied+e.Applied, max(data.Version, e.To)
	}
	c.activity.mu.Unlock()
	if err := m.Provision(c.ctx, tenant); err != nil {
		return err
	}
	c.data = data
	c.out.line("%s is ready at version %d (%s applied)", clean(tenant.Schema), data.Version, counted(data.Applied, "migration"))
	return nil
}

// tenantCreated is the data of tenants create.
type tenantCreated struct {
	Tenant  string `json:"tenant"`
	Version int64  `json:"version"`
	Applied int    `json:"applied"`
}
