package cli

import (
	"cmp"
	"context"
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
	steps    []stepDone                      // guarded by mu; of the last run without a tenant
	finished []gooseplus.RunFinished         // guarded by mu; of it: one, or one for each namespace
	warned   map[string]bool                 // guarded by mu
	forced   *gooseplus.VersionForced        // guarded by mu
	changed  map[string]int                  // guarded by mu; by tenant whose run has ended: the migrations that it applied and undid
	widths   [2]int                          // guarded by mu; of the version and the source
	goesBack bool                            // guarded by mu; the run is on its way back
	progress func(gooseplus.TenantsProgress) // guarded by mu; nil: nobody wants to know
	ended    func(gooseplus.RunFinished)     // guarded by mu; of a tenant's run, likewise
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
	return &activity{out: out, doing: make(map[string]doing), warned: make(map[string]bool), changed: make(map[string]int)}
}

// reset forgets the last run, since another one follows.
func (a *activity) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.steps, a.finished, a.forced, a.goesBack = nil, nil, nil, false
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
		a.set(e.Tenant, fmt.Sprintf("%s %s", map[bool]string{true: "applying", false: "undoing"}[e.Step.Direction == "up"], ref(e.Step)))
	case gooseplus.MigrationFinished:
		a.set(e.Tenant, "between two migrations")
		a.step(e)
	case gooseplus.WayBackStarted:
		a.set(e.Tenant, "on the way back")
		if e.Tenant == "" {
			a.goesBack = true
		}
	case gooseplus.RunFinished:
		delete(a.doing, e.Tenant)
		if e.Tenant == "" {
			a.finished = append(a.finished, e)
			break
		}
		a.changed[e.Tenant] += e.Applied + e.Undone
		if a.ended != nil {
			a.ended(e)
		}
	case gooseplus.VersionForced:
		a.forced = &e
	case gooseplus.TenantsProgress:
		if a.progress != nil {
			a.progress(e)
		}
	case gooseplus.Warning:
		if !a.warned[e.Message] { // ten thousand tenants have it too
			a.warned[e.Message] = true
			a.out.note("%s %s%s", paint(a.out.errColour, yellow, "warning:"), prefix(e.Tenant, e.Namespace), clean(e.Message))
		}
	}
}

// idle calls the tenants that there was nothing to do for up to date. The report of EachTenant can't know them.
func (a *activity) idle(r *gooseplus.TenantsReport) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, t := range r.Tenants {
		if n, ended := a.changed[t.Name]; t.State == gooseplus.TenantMigrated && ended && n == 0 {
			r.Tenants[i].State = gooseplus.TenantUpToDate
			r.Migrated, r.UpToDate = r.Migrated-1, r.UpToDate+1
		}
	}
}

// set says what a tenant's run is at. a.mu is held, as by all that observe calls.
func (a *activity) set(tenant, what string) { a.doing[tenant] = doing{what, time.Now()} }

func (a *activity) waiting(e gooseplus.LockWaiting) {
	if e.Tenant != "" {
		return // it is taken up again at the end
	}
	holder := "another runner, which has not said who it is"
	if e.Holder != "" {
		holder = fmt.Sprintf("%s since %s", clean(e.Holder), e.Since.UTC().Format(time.RFC3339))
	}
	a.out.note("waiting for the lock of %s", holder)
}

func (a *activity) begin(e gooseplus.RunStarted) {
	if e.Tenant != "" {
		return
	}
	for _, s := range e.Steps {
		a.widths[0] = max(a.widths[0], len(strconv.FormatInt(s.Version, 10)))
		a.widths[1] = max(a.widths[1], len(clean(s.Source)))
	}
}

func (a *activity) step(e gooseplus.MigrationFinished) {
	if e.Tenant != "" {
		return
	}
	if a.goesBack && (len(a.steps) == 0 || !a.steps[len(a.steps)-1].WayBack) {
		a.out.line("taking back what this run did:")
	}
	a.steps = append(a.steps, stepDone{
		Version: e.Step.Version, Source: e.Step.Source, Environment: e.Step.Environment, Direction: e.Step.Direction,
		Namespace: e.Step.Namespace, WayBack: a.goesBack, DurationMS: e.Duration.Milliseconds(), Error: newFailure(e.Err),
	})
	verb, c := "applied", green
	switch {
	case e.Err != nil:
		verb, c = "failed ", red
	case e.Step.Direction == "down":
		verb, c = "undone ", yellow
	}
	a.out.line("%s  %*d  %-*s  %s", paint(a.out.colour, c, verb), a.widths[0], e.Step.Version, a.widths[1], clean(e.Step.Source), rounded(e.Duration))
}

// describe says what is under way.
func (a *activity) describe() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.doing) == 0 {
		return "nothing is under way, the command is about to end"
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
