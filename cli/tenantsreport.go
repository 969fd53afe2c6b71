package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// tenantsDone is the data of the tenants commands that make runs.
type tenantsDone struct {
	Total      int          `json:"total"`
	Migrated   int          `json:"migrated"`
	UpToDate   int          `json:"up_to_date"`
	Undone     int          `json:"undone"`
	Failed     int          `json:"failed"`
	Skipped    int          `json:"skipped"`
	DurationMS int64        `json:"duration_ms"`
	Tenants    []tenantDone `json:"tenants"`
}

type tenantDone struct {
	Name       string   `json:"name"`
	State      string   `json:"state"`
	From       int64    `json:"from"`
	To         int64    `json:"to"`
	Applied    []int64  `json:"applied,omitempty"`
	DurationMS int64    `json:"duration_ms"`
	Error      *failure `json:"error,omitempty"`
}

// reportWords are what a summary calls the tenants that were changed, and those that were not.
type reportWords struct{ changed, unchanged string }

var (
	upWords    = reportWords{"migrated", "up to date"}
	downWords  = reportWords{"undone", "had nothing to undo"}
	gotoWords  = reportWords{"moved", "were there"}
	forceWords = reportWords{"forced", "not forced"}
)

// report calls what works on the tenants, shows how far it is, and then how it ended.
func (f *fleet) report(words reportWords, work func() (*gooseplus.TenantsReport, error)) error {
	c := f.call
	end := f.showProgress()
	r, err := work()
	end()
	c.activity.correct(r)
	d := &tenantsDone{
		Total: r.Total, Migrated: r.Migrated, UpToDate: r.UpToDate, Undone: r.Undone, Failed: r.Failed, Skipped: r.Skipped,
		DurationMS: r.Duration.Milliseconds(), Tenants: []tenantDone{},
	}
	for _, t := range r.Tenants {
		d.Tenants = append(d.Tenants, tenantDone{t.Name, string(t.State), t.From, t.To, t.Applied, t.Duration.Milliseconds(), f.words(t.Name).failure(t.Err)})
	}
	ways := f.ways(d)
	rows := [][]cell{cells("TENANT", "STATE", "VERSION", "ERROR")}
	for _, t := range r.Tenants {
		switch t.State {
		case gooseplus.TenantMigrated, gooseplus.TenantUpToDate, gooseplus.TenantUndone, gooseplus.TenantSkipped:
		default:
			rows = append(rows, []cell{{text: t.Name}, {string(t.State), red}, {text: known(t.To)}, {text: besides(ways[t.Name], f.reason(t.Name, t.Err))}})
		}
	}
	c.data = d
	if len(rows) > 1 {
		c.out.line("")
		c.out.table(rows)
		c.out.line("")
	}
	for _, t := range r.Tenants {
		if list := ways[t.Name]; len(list) > 0 {
			c.out.line("tenant %s is dirty. %s", clean(t.Name), waysText(list))
		}
	}
	if r.Total > 0 || err == nil {
		c.out.line("%s", summary(c.out, r, words))
	}
	return fleetError(r, err)
}

// known is a number that is negative if it isn't.
func known(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}

func summary(p *printer, r *gooseplus.TenantsReport, words reportWords) string {
	parts := []string{fmt.Sprintf("%d %s", r.Migrated, words.changed), fmt.Sprintf("%d %s", r.UpToDate, words.unchanged)}
	if r.Undone > 0 {
		parts = append(parts, paint(p.colour, yellow, fmt.Sprintf("%d undone again", r.Undone)))
	}
	if r.Failed > 0 {
		parts = append(parts, paint(p.colour, red, fmt.Sprintf("%d failed", r.Failed)))
	}
	if r.Skipped > 0 {
		parts = append(parts, paint(p.colour, yellow, fmt.Sprintf("%d skipped", r.Skipped)))
	}
	return fmt.Sprintf("%s: %s, in %s", tenants(r.Total), strings.Join(parts, ", "), rounded(r.Duration))
}

func tenants(n int) string { return counted(n, "tenant") }

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// reason is the text of a tenant's error without its name and its state, which stand beside it.
func (f *fleet) reason(name string, err error) string {
	if err == nil {
		return ""
	}
	var migration *gooseplus.MigrationError
	var incomplete *gooseplus.RollbackError
	var usage *usageError
	text := err.Error()
	switch {
	case errors.As(err, &usage):
		text = usage.Error()
	case errors.Is(err, gooseplus.ErrTenantMissing):
		text = gooseplus.ErrTenantMissing.Error() + " (" + f.toCreate(name) + ")"
	case errors.Is(err, gooseplus.ErrMigrationTable) && disconnected(err):
		text = "the database can't be reached: " + reason(err)
	case errors.As(err, &migration) && !errors.As(err, &incomplete) && errors.Is(err, gooseplus.ErrRollForward):
		text = migration.Error()
	}
	text = strings.ReplaceAll(text, fmt.Sprintf("tenant %q: ", name), "")
	return redact.Text(f.words(name).of(strings.Join(strings.Fields(text), " ")))
}

// toCreate says what creates a tenant.
func (f *fleet) toCreate(name string) string {
	if t, listed := f.tenant(name); listed && t.Open != nil {
		return "tenants up --create-schema creates it"
	}
	return "to create it: " + f.call.out.command("tenants create "+quoted(name))
}

// shownWays limits for how many dirty tenants the report lists commands.
const shownWays = 5

// ways are the commands that end the dirty state of tenants.
func (f *fleet) ways(d *tenantsDone) map[string][]way {
	all := make(map[string][]way)
	for i := range d.Tenants {
		t := &d.Tenants[i]
		if gooseplus.TenantState(t.State) != gooseplus.TenantDirty || t.Error == nil || len(all) == shownWays {
			continue
		}
		ways := f.call.waysOut(f.words(t.Name), f.migrator(t.Name))
		for _, w := range ways {
			t.Error.Commands = append(t.Error.Commands, w.command)
		}
		all[t.Name] = ways
	}
	return all
}

// fleetError is the error of a call for many tenants, as the command returns it: one line, since the table
// has the failures.
func fleetError(r *gooseplus.TenantsReport, err error) error {
	var failed *gooseplus.TenantsError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errInterrupted) && r.Total > 0:
		return &tenantsError{fmt.Errorf("interrupted: %d of %d tenants are not done", r.Failed+r.Skipped, r.Total)}
	case errors.As(err, &failed):
		text := fmt.Sprintf("%d of %d tenants failed", r.Failed, r.Total)
		if r.Undone > 0 {
			text += fmt.Sprintf(", %d are undone", r.Undone)
		}
		if r.Skipped > 0 {
			text += fmt.Sprintf(", and %d were skipped", r.Skipped)
		}
		return &tenantsError{errors.New(text)}
	case r.Total == 0:
		return sourceError(err)
	}
	return &tenantsError{err}
}

// showProgress shows how far it is: a bar on a terminal, and elsewhere a line for each tenant that there
// was something to do for.
func (f *fleet) showProgress() (end func()) {
	c := f.call
	a := c.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	if !c.out.errTerminal || !c.out.terminal { // else the bar shows it to the same person
		a.ended = f.tenantLine
	}
	if !c.out.errTerminal || c.out.quiet {
		return func() {}
	}
	b := newBar(c.out)
	a.progress = b.show
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.progress, a.ended = nil, nil
		b.end()
	}
}

// tenantLine writes how a tenant's run ended, if it is worth a line.
func (f *fleet) tenantLine(e gooseplus.RunFinished) {
	c := f.call
	name := clean(e.Tenant)
	var locked bool
	if e.Err != nil {
		locked = errors.Is(e.Err, gooseplus.ErrLocked)
	}
	switch {
	case locked: // it is taken up again at the end
	case c.activity.notBegun(e.Tenant, e.Err): // it is skipped
	case e.Err != nil:
		c.out.line("%s  %s  %s", paint(c.out.colour, red, "failed "), name, clean(f.reason(e.Tenant, e.Err)))
	case e.Undone > 0:
		c.out.line("%s  %s  %d -> %d  %s", paint(c.out.colour, yellow, "undone "), name, e.From, e.To, rounded(e.Duration))
	case e.Applied > 0:
		c.out.line("%s  %s  %d -> %d  %s", paint(c.out.colour, green, "applied"), name, e.From, e.To, rounded(e.Duration))
	}
}
