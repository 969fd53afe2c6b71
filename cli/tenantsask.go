package cli

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

// tenantsAskCommands show, for every tenant, what a command for one database shows.
func (a *app) tenantsAskCommands() []*cobra.Command {
	plans, runs := new(tenantsFlags), new(tenantsFlags)
	var limit int
	return []*cobra.Command{
		a.command(spec{
			use: "plan", looks: true, short: "Show what tenants up would do",
			long:    "Shows the migrations that tenants up would apply. Tenants with the same plan are shown together.",
			example: "gooseplus tenants plan --schemas-like 'tenant\\_%'",
			flags:   func(cmd *cobra.Command) { plans.add(cmd, false) },
			run:     func(c *call) error { return tenantsPlan(c, plans) },
		}),
		a.command(spec{
			use: "runs", looks: true, short: "Show the last runs of every tenant, and who has their locks now",
			long: "Shows the runs that each tenant's database or schema remembers, newest first. A process that is shown as running\n" +
				"may have been killed: the next run finds that out.",
			example: "gooseplus tenants runs --tenant tenant_0042 --limit 5",
			flags: func(cmd *cobra.Command) {
				runs.add(cmd, false)
				cmd.Flags().IntVar(&limit, "limit", 1, "how many `runs` of each tenant to show; 0 is all")
			},
			run: func(c *call) error { return tenantsRuns(c, runs, limit) },
		}),
	}
}

// askEach asks the tenants of a source, several at a time. The answers are by their names.
func askEach[T any](f *fleet, source iter.Seq2[gooseplus.Tenant, error], ask func(context.Context, *gooseplus.Migrator) (T, error)) (map[string]T, *gooseplus.TenantsReport, error) {
	var mu sync.Mutex
	answers := make(map[string]T)
	end := f.showProgress()
	defer end()
	r, err := f.m.EachTenant(f.call.ctx, source, func(ctx context.Context, m *gooseplus.Migrator) error {
		answer, err := ask(ctx, m)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			answers[m.TenantName()] = answer
		}
		return err
	}, f.flags.options()...)
	f.call.activity.correct(r)
	return answers, r, err
}

// plansDone is the data of tenants plan.
type plansDone struct {
	Total    int          `json:"total"`
	UpToDate int          `json:"up_to_date"`
	Pending  int          `json:"pending"`
	Failed   int          `json:"failed"`
	Skipped  int          `json:"skipped"`
	Tenants  []tenantPlan `json:"tenants"`
}

type tenantPlan struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Steps []planned `json:"steps"`
	Error *failure  `json:"error,omitempty"`
}

// tenantsPlan looks at many tenants at once, and asks those for their plans that have anything to do.
func tenantsPlan(c *call, t *tenantsFlags) error {
	f, err := newFleet(c, t)
	if err != nil {
		return err
	}
	d, err := f.look()
	if d == nil {
		return err
	}
	var pending []gooseplus.Tenant
	for _, s := range d.Tenants {
		if tenant, ok := f.tenant(s.Name); ok && s.State == string(gooseplus.TenantPending) {
			pending = append(pending, tenant)
		}
	}
	var plans map[string][]gooseplus.Step
	var planErr error
	r := new(gooseplus.TenantsReport)
	if len(pending) > 0 { // otherwise there would be a warning that there are no tenants
		plans, r, planErr = askEach(f, those(pending), func(ctx context.Context, m *gooseplus.Migrator) ([]gooseplus.Step, error) { return m.Plan(ctx) })
	}
	failed := make(map[string]gooseplus.TenantResult)
	for _, result := range r.Tenants {
		failed[result.Name] = result
	}
	data := &plansDone{Total: d.Total, UpToDate: d.UpToDate, Failed: d.Failed, Skipped: d.Skipped, Tenants: []tenantPlan{}}
	g := new(planGroups)
	for _, s := range d.Tenants {
		one := tenantPlan{Name: s.Name, State: s.State, Steps: []planned{}, Error: s.Error}
		if result, asked := failed[s.Name]; asked && result.Err == nil {
			data.Pending++
			one.Steps = newPlanned(plans[s.Name])
			g.add(s.Name, one.Steps)
		} else if asked {
			data.Failed++
			one.State, one.Error = string(result.State), f.words(s.Name).failure(result.Err)
			one.Error.Message = clean(f.reason(s.Name, result.Err))
		}
		if one.Error != nil {
			g.fail(one)
		}
		data.Tenants = append(data.Tenants, one)
	}
	c.data = data
	g.show(c.out)
	skipped := ""
	if d.Skipped > 0 {
		skipped = paint(c.out.colour, yellow, fmt.Sprintf(", %d skipped", d.Skipped))
	}
	c.out.line("%s: %d up to date, %d pending, %d failed%s", tenants(data.Total), data.UpToDate, data.Pending, data.Failed, skipped)
	if err == nil && planErr != nil {
		err = fleetError(r, planErr)
	}
	return err
}

// planGroups are the tenants by their plans, in the order in which they come.
type planGroups struct {
	groups []planGroup
	failed [][]cell
}

type planGroup struct {
	names []string
	steps []planned
}

func (g *planGroups) add(name string, steps []planned) {
	i := slices.IndexFunc(g.groups, func(other planGroup) bool { return slices.Equal(other.steps, steps) })
	if i < 0 {
		i, g.groups = len(g.groups), append(g.groups, planGroup{steps: steps})
	}
	g.groups[i].names = append(g.groups[i].names, name)
}

func (g *planGroups) fail(t tenantPlan) {
	g.failed = append(g.failed, []cell{{text: t.Name}, {t.State, tenantColour(t.State)}, {text: t.Error.Message}})
}

// namedTenants is how many tenants with the same plan are named.
const namedTenants = 5

func (g *planGroups) show(p *printer) {
	for _, group := range g.groups {
		names := group.names[:min(len(group.names), namedTenants)]
		more := ""
		if n := len(group.names) - len(names); n > 0 {
			more = fmt.Sprintf(", and %d more", n)
		}
		p.line("%s: %s%s", tenants(len(group.names)), clean(strings.Join(names, ", ")), more)
		p.plan(group.steps)
		p.line("")
	}
	if len(g.failed) > 0 {
		p.table(append([][]cell{cells("TENANT", "STATE", "ERROR")}, g.failed...))
		p.line("")
	}
}

// tenantsRunsDone is the data of tenants runs.
type tenantsRunsDone struct {
	Total   int          `json:"total"`
	Failed  int          `json:"failed"`
	Skipped int          `json:"skipped"`
	Tenants []tenantRuns `json:"tenants"`
}

type tenantRuns struct {
	Name string `json:"name"`
	runsDone
	Error *failure `json:"error,omitempty"`
}

func tenantsRuns(c *call, t *tenantsFlags, limit int) error {
	if limit < 0 {
		return usagef("--limit %d is negative", limit)
	}
	f, err := newFleet(c, t)
	if err != nil {
		return err
	}
	recorded, r, err := askEach(f, f.source, func(ctx context.Context, m *gooseplus.Migrator) ([]gooseplus.Run, error) { return m.Runs(ctx) })
	d := &tenantsRunsDone{Total: r.Total, Failed: r.Failed, Skipped: r.Skipped, Tenants: []tenantRuns{}}
	all := new(runsTable)
	for _, result := range r.Tenants {
		one := tenantRuns{Name: result.Name, runsDone: *newRunsDone(f.words(result.Name), recorded[result.Name], limit)}
		all.add(result.Name, recorded[result.Name][:len(one.Runs)], f.words(result.Name))
		if one.Error = f.words(result.Name).failure(result.Err); one.Error != nil {
			one.Error.Message = clean(f.reason(result.Name, result.Err))
			all.none(result.Name, string(result.State), one.Error.Message, red)
		} else if len(one.Runs) == 0 {
			all.none(result.Name, "no run", "", plain)
		}
		d.Tenants = append(d.Tenants, one)
	}
	if r.Total == 0 && err != nil {
		return fleetError(r, err)
	}
	c.data = d
	if r.Total > 0 {
		all.show(c.out)
	}
	return fleetError(r, err)
}
