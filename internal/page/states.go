package page

import (
	"cmp"
	"iter"
	"slices"

	"github.com/gooseplus/gooseplus"
)

// The kinds of states, which are classes of the style sheet.
const (
	bad     = "bad"     // somebody has to look
	warn    = "warn"    // nothing is broken, and the tenant is not where it should be
	waiting = "waiting" // there is work to do
	good    = "good"
	other   = "other"
)

// unknown stands for a state that is empty.
const unknown = "unknown"

// meanings are the states that have a meaning here, the most urgent first.
var meanings = []struct {
	state string
	kind  string
}{
	{string(gooseplus.TenantDirty), bad},
	{string(gooseplus.TenantFailed), bad},
	{"stale", bad}, // in a rollout, as are claimed, held and done
	{string(gooseplus.TenantMissing), bad},
	{string(gooseplus.TenantNotUndone), bad},
	{string(gooseplus.TenantFailedAndUndone), warn},
	{string(gooseplus.TenantUndone), warn},
	{string(gooseplus.TenantLocked), warn},
	{"held", warn},
	{string(gooseplus.TenantSkipped), waiting},
	{"claimed", waiting},
	{string(gooseplus.TenantPending), waiting},
	{string(gooseplus.TenantMigrated), good},
	{"done", good},
	{string(gooseplus.TenantUpToDate), good},
}

// stateCount is a state that the fleet has, and how many tenants are in it.
type stateCount struct {
	State string
	Kind  string
	Count int
}

// countStates returns the states of the fleet, the most urgent first. Those that have no meaning here, by
// name, come before the good ones: nobody knows whether they are.
func countStates(tenants []Tenant) []stateCount {
	counts := make(map[string]int)
	for _, t := range tenants {
		counts[state(t)]++
	}
	var list, others, well []stateCount
	for _, m := range meanings {
		n := counts[m.state]
		delete(counts, m.state)
		switch {
		case n == 0:
		case m.kind == good:
			well = append(well, stateCount{m.state, m.kind, n})
		default:
			list = append(list, stateCount{m.state, m.kind, n})
		}
	}
	for s, n := range counts {
		others = append(others, stateCount{s, other, n})
	}
	slices.SortFunc(others, func(a, b stateCount) int { return cmp.Compare(a.State, b.State) })
	return slices.Concat(list, others, well)
}

// rows are the tenants in the order of their states. Tenants of one state keep their order.
func rows(tenants []Tenant, states []stateCount) iter.Seq[row] {
	place := make(map[string]int, len(states))
	next := make([]int, len(states)) // where the next tenant of a state goes
	for i, s := range states {
		place[s.State] = i
		if i+1 < len(states) {
			next[i+1] = next[i] + s.Count
		}
	}
	order := make([]int, len(tenants))
	for i, t := range tenants {
		p := place[state(t)]
		order[next[p]] = i
		next[p]++
	}
	return func(yield func(row) bool) {
		for _, i := range order {
			t := tenants[i]
			t.State = state(t)
			if !yield(row{t, states[place[t.State]].Kind}) {
				return
			}
		}
	}
}

func state(t Tenant) string { return cmp.Or(t.State, unknown) }
