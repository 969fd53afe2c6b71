package gooseplus

import (
	"context"
	"runtime"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// lookers is how many goroutines look at batches of tenants, with a connection each.
func (c *tenantsCall) lookers() int {
	if c.m.db == nil || !c.known.whole.dialect.Schemas() {
		return 0
	}
	most := min(runtime.GOMAXPROCS(0), maxLookers)
	if limit := c.m.db.Stats().MaxOpenConnections; limit > 0 {
		most = min(most, limit-c.sharers()*c.m.options.mostConnections())
	}
	return max(1, most)
}

// maxLookers bounds the look, which is the server's work.
const maxLookers = 4

// upToDate finds the tenants that have nothing to do.
func (c *tenantsCall) upToDate(ctx context.Context, tenants []Tenant) []*TenantResult {
	list := make([]*TenantResult, len(tenants))
	found := c.sweep(ctx, tenants, nil)
	for i, t := range tenants {
		version, pending, unknown, ok := found.of(i, c.known, c.m.options.checksums != Ignore)
		if ok && pending == 0 && (unknown == 0 || c.m.options.unknown == Ignore) {
			list[i] = &TenantResult{Name: t.name(), State: TenantUpToDate, From: version, To: version}
		}
	}
	return list
}

// swept is what a sweep found: for each namespace, one for each tenant. It is nil if the sweep failed.
type swept [][]*history.Swept

// sweep reads the version tables of many tenants at once. It flags the tenants whose state table calls for a closer look: as
// for a run, and for stamps of the environments.
func (c *tenantsCall) sweep(ctx context.Context, tenants []Tenant, environments []string) (found swept) {
	version, err := c.known.whole.dialect.ParseName(c.m.options.versionTable)
	if err != nil || version.Schema != "" {
		return nil // a fault, which each run tells of
	}
	names := make([]string, len(tenants))
	for i, t := range tenants {
		names[i] = t.Schema
	}
	for _, part := range c.known.parts {
		// A run that was cut off has to be declared dead, as by a run alone.
		question := history.Question{Runs: c.m.options.globalLock, Namespace: part.set.Namespace, Environments: environments, Sums: c.m.options.keepsHistory()}
		one, err := history.Sweep(ctx, c.db.own, c.known.whole.state, inTable(version.Table, part.set.Namespace), question, names)
		if err != nil {
			return nil // each run says what is wrong by itself
		}
		found = append(found, one)
	}
	return found
}

// of says where a tenant is: the highest version that is applied, and how many are pending and unknown, in all namespaces. ok
// is false if the tenant needs a closer look: also if this program is too old for it, or, with edits, if a file may be edited.
func (found swept) of(tenant int, known *targets, edits bool) (version int64, pending, unknown int, ok bool) {
	if found == nil {
		return 0, 0, 0, false
	}
	for n, part := range known.parts {
		s := found[n][tenant]
		if s == nil || !s.Schema || !s.Ready || s.Flagged {
			return 0, 0, 0, false
		}
		if s.Sums.Requires > 0 && s.Sums.Requires > plan.Newest(part.set.Versions()) {
			return 0, 0, 0, false
		}
		if edits {
			if same, err := sameSums(part.set, s.Applied, s.Sums); err != nil || !same {
				return 0, 0, 0, false
			}
		}
		missing, strangers := part.set.Compare(s.Applied)
		version, pending, unknown = max(version, plan.Newest(s.Applied)), pending+missing, unknown+strangers
	}
	return version, pending, unknown, true
}

// refusing are the environments because of which a run that has something to do might be refused, see environments.unfamiliar. A
// run with one environment is not refused by a database that has seen it.
func (o *options) refusing() (refusing []string) {
	stamps := o.stamps()
	for _, e := range o.protectedEnvironments {
		if len(stamps) > 1 || len(stamps) == 1 && e != stamps[0] {
			refusing = append(refusing, e)
		}
	}
	return refusing
}
