package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus"
)

// activity is what is going on, and what was done: it hears the events of the runs that a command makes.
type activity struct {
	out *printer

	mu       sync.Mutex
	doing    map[string]doing                // guarded by mu; by tenant
	tenants  map[string]tenantActivity       // guarded by mu; by tenant whose run has begun or ended
	warned   map[string]bool                 // guarded by mu
	run      runActivity                     // guarded by mu; of the last run without a tenant
	progress func(gooseplus.TenantsProgress) // guarded by mu; nil: nobody wants to know
	ended    func(gooseplus.RunFinished)     // guarded by mu; of a tenant's run, likewise
	wordsFor func(tenant string) words       // guarded by mu; nil without tenants
}

// runActivity is what one run did.
type runActivity struct {
	steps    []stepDone
	finished []gooseplus.RunFinished // one, or one for each namespace
	forced   *gooseplus.VersionForced
	widths   [2]int // of the version and the source
	goesBack bool   // the run is on its way back
}

// tenantActivity is what the runs of a tenant did.
type tenantActivity struct {
	begun   bool // a run has read its starting point and has something to do
	ended   bool
	changed int // how many migrations were applied or undone
}

type doing struct {
	what  string
	since time.Time
}

// stepDone is a step of a run in JSON.
type stepDone struct {
	Version     int64    `json:"version"`
	Source      string   `json:"source"`
	Environment string   `json:"environment,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Direction   string   `json:"direction"`
	WayBack     bool     `json:"way_back"`
	DurationMS  int64    `json:"duration_ms"`
	Error       *failure `json:"error,omitempty"`
}

func newActivity(out *printer) *activity {
	return &activity{out: out, doing: make(map[string]doing), warned: make(map[string]bool), tenants: make(map[string]tenantActivity)}
}

// speakOfTenants says what the words for a tenant are.
func (a *activity) speakOfTenants(wordsFor func(tenant string) words) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wordsFor = wordsFor
}

// reset forgets the last run, since another one follows.
func (a *activity) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run = runActivity{}
}

func (a *activity) observe(_ context.Context, event gooseplus.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e := event.(type) {
	case gooseplus.LockWaiting:
		a.set(e.Tenant, "waiting for the lock")
		a.waiting(e)
	case gooseplus.RunStarted:
		a.set(e.Tenant, "beginning")
		a.begin(e)
	case gooseplus.MigrationStarted:
		what := "undoing " + ref(e.Step)
		if e.Step.Direction == "up" {
			what = "applying " + ref(e.Step)
		}
		a.set(e.Tenant, what)
		a.out.detail("%s%s", prefix(e.Tenant, ""), what)
	case gooseplus.MigrationFinished:
		a.set(e.Tenant, "between two migrations")
		a.step(e)
	case gooseplus.BatchStarted:
		what := "applying " + counted(len(e.Steps), "migration") + " in one transaction"
		a.set(e.Tenant, what)
		a.out.detail("%s%s", prefix(e.Tenant, ""), what)
	case gooseplus.BatchFinished:
		a.set(e.Tenant, "between two migrations")
		if e.Err != nil {
			a.out.note("%s%s failed in one transaction, and left nothing: %s", prefix(e.Tenant, e.Namespace), counted(len(e.Steps), "migration"), a.out.failure(e.Err).Message)
			break
		}
		a.out.detail("%s%s applied in one transaction in %s", prefix(e.Tenant, e.Namespace), counted(len(e.Steps), "migration"), rounded(e.Duration))
	case gooseplus.WayBackStarted:
		a.set(e.Tenant, "undoing the run")
		if e.Tenant == "" {
			a.run.goesBack = true
		}
	case gooseplus.RunFinished:
		delete(a.doing, e.Tenant)
		if e.Tenant == "" {
			a.run.finished = append(a.run.finished, e)
			break
		}
		t := a.tenants[e.Tenant]
		t.ended, t.changed = true, t.changed+e.Applied+e.Undone
		a.tenants[e.Tenant] = t
		if a.ended != nil {
			a.ended(e)
		}
	case gooseplus.VersionForced:
		if e.Tenant == "" {
			a.run.forced = &e
			break
		}
		t := a.tenants[e.Tenant]
		t.changed++ // if nothing else, the dirty mark
		a.tenants[e.Tenant] = t
	case gooseplus.TenantsWayBackStarted:
		a.out.note("too many tenants failed: undoing what was done to %s", counted(e.Tenants, "tenant"))
	case gooseplus.TenantsProgress:
		if a.progress != nil {
			a.progress(e)
		}
	case gooseplus.Warning:
		if !a.warned[e.Message] { // ten thousand tenants have it too
			a.warned[e.Message] = true
			w := a.out.words
			if a.wordsFor != nil {
				w = a.wordsFor(e.Tenant)
			}
			a.out.note("%s %s%s", paint(a.out.errColour, yellow, "warning:"), prefix(e.Tenant, e.Namespace), clean(w.of(e.Message)))
		}
	}
}

// correct corrects the states in the report of EachTenant, which doesn't know what the runs did: a tenant whose run did
// nothing is up to date, and a tenant that was interrupted before its run began is skipped.
func (a *activity) correct(r *gooseplus.TenantsReport) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range r.Tenants {
		t := &r.Tenants[i]
		did := a.tenants[t.Name]
		switch {
		case t.State == gooseplus.TenantMigrated && did.ended && did.changed == 0:
			t.State = gooseplus.TenantUpToDate
			r.Migrated, r.UpToDate = r.Migrated-1, r.UpToDate+1
		case a.notBegun(t.Name, t.Err) && (t.State == gooseplus.TenantFailed || t.State == gooseplus.TenantLocked):
			t.State = gooseplus.TenantSkipped
			r.Failed, r.Skipped = r.Failed-1, r.Skipped+1
		}
	}
}

// notBegun says whether a tenant's run was interrupted before it began.
func (a *activity) notBegun(tenant string, err error) bool {
	return errors.Is(err, errInterrupted) && !a.tenants[tenant].begun
}

// lastForced is what Force did.
func (a *activity) lastForced() *gooseplus.VersionForced {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.run.forced
}

// set says what a tenant's run is at. a.mu is held, as by all that observe calls.
func (a *activity) set(tenant, what string) { a.doing[tenant] = doing{what, time.Now()} }

func (a *activity) waiting(e gooseplus.LockWaiting) {
	if e.Tenant != "" {
		return // it is taken up again at the end
	}
	if e.Holder == "" {
		a.out.note("waiting for the lock; its holder is not recorded yet") // on SQLite it may be any other writer
		return
	}
	a.out.note("waiting for the lock, which is held by %s since %s", clean(e.Holder), e.Since.UTC().Format(time.RFC3339))
}

func (a *activity) begin(e gooseplus.RunStarted) {
	a.out.detail("%s%s from %s", prefix(e.Tenant, e.Namespace), counted(len(e.Steps), "step"), at(e.From))
	if e.Tenant != "" {
		t := a.tenants[e.Tenant]
		t.begun = true
		a.tenants[e.Tenant] = t
		return
	}
	for _, s := range e.Steps {
		a.run.widths[0] = max(a.run.widths[0], len(strconv.FormatInt(s.Version, 10)))
		a.run.widths[1] = max(a.run.widths[1], len(clean(s.Source)))
	}
}

func (a *activity) step(e gooseplus.MigrationFinished) {
	if e.Tenant != "" {
		return
	}
	if a.run.goesBack && (len(a.run.steps) == 0 || !a.run.steps[len(a.run.steps)-1].WayBack) {
		a.out.line("undoing what this run did:")
	}
	a.run.steps = append(a.run.steps, stepDone{
		Version: e.Step.Version, Source: e.Step.Source, Environment: e.Step.Environment, Direction: e.Step.Direction,
		Namespace: e.Step.Namespace, WayBack: a.run.goesBack, DurationMS: e.Duration.Milliseconds(), Error: a.out.failure(e.Err),
	})
	verb, c := "applied", green
	switch {
	case e.Err != nil:
		verb, c = "failed ", red
	case e.Step.Direction == "down":
		verb, c = "undone ", yellow
	}
	a.out.line("%s  %*d  %-*s  %s", paint(a.out.colour, c, verb), a.run.widths[0], e.Step.Version, a.run.widths[1], clean(e.Step.Source), rounded(e.Duration))
}

// describe says what is under way.
func (a *activity) describe() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.doing) == 0 {
		return "nothing is running; the command is about to end"
	}
	tenants := slices.SortedFunc(maps.Keys(a.doing), func(x, y string) int {
		return cmp.Or(a.doing[x].since.Compare(a.doing[y].since), strings.Compare(x, y))
	})
	var list []string
	for i, t := range tenants {
		if i == describedTenants {
			list = append(list, fmt.Sprintf("and %d more tenants", len(tenants)-i))
			break
		}
		d := a.doing[t]
		list = append(list, fmt.Sprintf("%s%s, for %s", prefix(t, ""), d.what, rounded(time.Since(d.since))))
	}
	return strings.Join(list, "; ")
}

const describedTenants = 4

func prefix(tenant, namespace string) (s string) {
	if tenant != "" {
		s = fmt.Sprintf("tenant %s: ", clean(tenant))
	}
	if namespace != "" {
		s += fmt.Sprintf("namespace %s: ", clean(namespace))
	}
	return s
}

func ref(s gooseplus.Step) string {
	if s.Source == "" {
		return strconv.FormatInt(s.Version, 10)
	}
	return fmt.Sprintf("%d (%s)", s.Version, clean(s.Source))
}

// rounded is a duration as people want to read it.
func rounded(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}
