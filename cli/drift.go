package cli

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

// driftsError says that a database is not as its migrations make it.
type driftsError struct{ text string }

func (e *driftsError) Error() string { return e.text }

// difference is one object in the data of drift.
type difference struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Change string `json:"change"` // "missing", "extra" or "changed"
	Want   string `json:"want,omitempty"`
	Have   string `json:"have,omitempty"`
}

func newDifferences(list []gooseplus.Difference) []difference {
	done := []difference{}
	for _, d := range list {
		change := "changed"
		switch {
		case d.Have == "":
			change = "missing"
		case d.Want == "":
			change = "extra"
		}
		done = append(done, difference{d.Kind, d.Name, change, d.Want, d.Have})
	}
	return done
}

// row is the difference in a table.
func (d difference) row() []cell {
	line := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	text := d.Change
	switch definition := cmp.Or(d.Want, d.Have); {
	case d.Change == "changed":
		text = fmt.Sprintf("is %s, should be %s", line(d.Have), line(d.Want))
	case definition != d.Kind: // which stands for an object without a definition
		text += ": " + line(definition)
	}
	return []cell{{text: d.Kind}, {text: d.Name}, {text: text}}
}

const driftLong = "The migrations run in the shadow, an empty database of the same kind that nobody uses. Their objects\n" +
	"stay there, so drift can use the same shadow again; trace and checkpoint need another, empty one. Never name a\n" +
	"database that holds anything you need. Rows are not compared, and the database is only read. The exit code\n" +
	"is 0 without differences, and 8 with some.\n"

func addShadow(cmd *cobra.Command, shadow *string) {
	cmd.Flags().StringVar(shadow, "shadow", "", "`DSN` of an empty database that nobody uses (GOOSEPLUS_SHADOW_DSN)")
	settable(cmd.Flags(), "shadow", "GOOSEPLUS_SHADOW_DSN")
}

func drift(c *call, dsn string) error {
	m, err := c.migrator(c.ctx)
	if err != nil {
		return err
	}
	list, err := differencesTo(c, m, dsn)
	if err != nil {
		return err
	}
	data := newDifferences(list)
	c.data = map[string]any{"differences": data}
	if len(data) == 0 {
		c.out.line("no differences")
		return nil
	}
	rows := [][]cell{cells("KIND", "NAME", "DIFFERENCE")}
	for _, d := range data {
		rows = append(rows, d.row())
	}
	c.out.table(rows)
	return differ(len(data))
}

func differencesTo(c *call, m *gooseplus.Migrator, dsn string) ([]gooseplus.Difference, error) {
	shadow, err := c.shadow(m, dsn, c.settings.database.driver)
	if err != nil {
		return nil, err
	}
	return m.Drift(c.ctx, shadow)
}

func differ(n int) error {
	return &driftsError{fmt.Sprintf("%s between the database and what its applied migrations make", counted(n, "difference"))}
}

// shadow opens the database in which the migrations run.
func (c *call) shadow(m *gooseplus.Migrator, dsn, driver string) (*sql.DB, error) {
	if dsn == "" {
		return nil, usagef("there is no shadow: set --shadow, or GOOSEPLUS_SHADOW_DSN, to the DSN of an empty database that nobody uses")
	}
	t, err := parseDSN(dsn, driver)
	if err != nil {
		return nil, usagef("--shadow: %w", err)
	}
	d, err := m.Describe()
	if err != nil {
		return nil, err
	}
	if string(d.Dialect) != t.dialect {
		return nil, usagef("--shadow %s is for %s, and the database is for %s", t.shown(), t.dialect, d.Dialect)
	}
	s := c.settings
	for _, other := range []string{s.database.dsn, s.database.fallbackDSN, s.shared.masterDSN} {
		if o, err := parseDSN(other, s.database.driver); err == nil && o.dsn == t.dsn {
			return nil, usagef("--shadow %s is the database itself", t.shown())
		}
	}
	db, err := t.open(false)
	if err != nil {
		return nil, err
	}
	s.pools.opened = append(s.pools.opened, db)
	return db, t.ping(c.ctx, db)
}

// driftsDone is the data of tenants drift.
type driftsDone struct {
	Total   int           `json:"total"`
	Same    int           `json:"same"`
	Drifted int           `json:"drifted"`
	Failed  int           `json:"failed"`
	Tenants []tenantDrift `json:"tenants"`
}

type tenantDrift struct {
	Name        string       `json:"name"`
	Differences []difference `json:"differences"`
	Error       *failure     `json:"error,omitempty"`
}

// tenantsDrift compares one tenant after the other, because they share the shadow. A shadow can't go down, so tenants with
// lower versions come first.
func tenantsDrift(c *call, t *tenantsFlags, dsn string) error {
	f, err := newFleet(c, t)
	if err != nil {
		return err
	}
	shadow, err := c.shadow(f.m, dsn, cmp.Or(c.settings.database.tenantsDriver, c.settings.database.driver))
	if err != nil {
		return err
	}
	var list []gooseplus.TenantStatus
	for status, err := range f.m.TenantsStatus(c.ctx, f.source, t.options()...) {
		if err != nil && len(list) == 0 {
			return sourceError(err)
		}
		if err != nil {
			return &tenantsError{err}
		}
		list = append(list, status)
	}
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b gooseplus.TenantStatus) int { return cmp.Compare(a.Version, b.Version) })
	compared := make(map[string]tenantDrift)
	for _, status := range order {
		err := status.Err
		var found []gooseplus.Difference
		if err == nil {
			found, err = f.migrator(status.Name).Drift(c.ctx, shadow)
		}
		if c.ctx.Err() != nil {
			return &tenantsError{context.Cause(c.ctx)}
		}
		one := tenantDrift{Name: status.Name, Differences: newDifferences(found), Error: f.words(status.Name).failure(err)}
		if one.Error != nil {
			one.Error.Message = clean(f.reason(status.Name, err))
		}
		compared[status.Name] = one
	}
	d := &driftsDone{Total: len(list), Tenants: []tenantDrift{}}
	rows := [][]cell{cells("TENANT", "KIND", "NAME", "DIFFERENCE")}
	for _, status := range list {
		one := compared[status.Name]
		d.Tenants = append(d.Tenants, one)
		switch {
		case one.Error != nil:
			d.Failed++
			rows = append(rows, []cell{{text: one.Name}, {"?", red}, {text: ""}, {text: one.Error.Message}})
		case len(one.Differences) > 0:
			d.Drifted++
		default:
			d.Same++
		}
		for _, difference := range one.Differences {
			rows = append(rows, append([]cell{{text: one.Name}}, difference.row()...))
		}
	}
	c.data = d
	if len(rows) > 1 {
		c.out.table(rows)
		c.out.line("")
	}
	c.out.line("%s: %d without differences, %d with differences, %d failed", tenants(d.Total), d.Same, d.Drifted, d.Failed)
	switch {
	case d.Failed > 0:
		return &tenantsError{fmt.Errorf("%d of %d tenants can't be compared", d.Failed, d.Total)}
	case d.Drifted > 0:
		return &driftsError{fmt.Sprintf("%d of %d tenants are not as their applied migrations make them", d.Drifted, d.Total)}
	}
	return nil
}
