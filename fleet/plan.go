package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// A Plan says how a rollout brings the tenants of the fleet to the newest version of the Migrator. It has a form in JSON, for
// operators:
//
//	{
//	  "name": "2026-12-orders",
//	  "waves": [
//	    {"canaries": ["acme", "umbrella"]},
//	    {"share": 0.1, "soak": "30m"},
//	    {"share": 1, "approve": true}
//	  ],
//	  "budget": {"failures": 50, "rate": 0.02}
//	}
type Plan struct {
	// Name identifies the rollout for ever. To start the same plan under the same name again does nothing.
	Name string `json:"name"`
	// Servers are those whose tenants are brought to the new version; none means all of them.
	Servers []string `json:"servers,omitempty"`
	// Waves are parts of the rollout that come one after the other; none means a single one with all tenants.
	Waves []Wave `json:"waves,omitempty"`
	// Budget is how many tenants may fail before the rollout stops by itself.
	Budget Budget `json:"budget,omitzero"`
}

// A Wave begins when each tenant of the waves before it is at its end: done, stale, missing, or held. The last wave has all
// tenants that no wave before it has.
type Wave struct {
	// Canaries are tenants by their ids. The first of them that fails stops the rollout. A wave with Canaries has no Share.
	Canaries []string `json:"canaries,omitempty"`
	// Share is how much of the fleet, between 0 and 1, the rollout has reached when this wave has ended. Which tenants that are
	// is random, and the same each time.
	Share float64 `json:"share,omitempty"`
	// Soak is the time between the end of the wave before and the beginning of this one. In JSON it is a text as "30m".
	Soak time.Duration `json:"-"`
	// Approve pauses the rollout when it is this wave's turn, until somebody calls [Fleet.Resume].
	Approve bool `json:"approve,omitempty"`
}

// A Budget limits the tenants that fail: those that wait for another attempt count, and those that are stale or missing. The
// transaction that records the failure which uses it up stops the rollout too, so that no tenant begins after it.
type Budget struct {
	// Failures is the number of failed tenants with which the rollout stops; 0 is any number.
	Failures int `json:"failures,omitempty"`
	// Rate is the share of failed tenants, among those with a result, above which the rollout stops; 0 is any share. It is
	// ignored until 20 tenants have a result.
	Rate float64 `json:"rate,omitempty"`
}

// wave is the form of a Wave in JSON.
type wave struct {
	plainWave
	Soak string `json:"soak,omitempty"`
}

type plainWave Wave

// MarshalJSON writes Soak as a text.
func (w Wave) MarshalJSON() ([]byte, error) {
	one := wave{plainWave: plainWave(w)}
	if w.Soak != 0 {
		one.Soak = w.Soak.String()
	}
	return json.Marshal(one)
}

// UnmarshalJSON reads Soak as [time.ParseDuration] does.
func (w *Wave) UnmarshalJSON(text []byte) error {
	var one wave
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	*w = Wave(one.plainWave)
	if one.Soak == "" {
		return nil
	}
	soak, err := time.ParseDuration(one.Soak)
	w.Soak = soak
	return err
}

// check returns every fault of the plan.
func (p Plan) check(servers map[string]Server) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("plan: "+format, args...)) }
	if p.Name == "" {
		fault("it has no name")
	}
	if secret(p.Name) {
		fault("its name holds a DSN: it would be written to the ledger")
	}
	for _, s := range p.Servers {
		if _, ok := servers[s]; !ok {
			fault("there is no server %q", s)
		}
	}
	seen := make(map[string]bool)
	for i, w := range p.Waves {
		if len(w.Canaries) > 0 && w.Share != 0 {
			fault("wave %d has canaries and a share: make two waves of them", i+1)
		}
		if len(w.Canaries) == 0 && !(w.Share > 0 && w.Share <= 1) {
			fault("wave %d: the share %v is not above 0 and at most 1", i+1, w.Share)
		}
		if len(w.Canaries) > 0 && i == len(p.Waves)-1 {
			fault("the last wave has the tenants that are left, so it can't name canaries: add a wave with share 1")
		}
		if w.Soak < 0 {
			fault("wave %d: the soak time %v is negative", i+1, w.Soak)
		}
		for _, c := range w.Canaries {
			if seen[c] {
				fault("canary %q is named twice", c)
			}
			seen[c] = true
		}
	}
	if p.Budget.Failures < 0 {
		fault("the budget of %d failures is negative", p.Budget.Failures)
	}
	if !(p.Budget.Rate >= 0 && p.Budget.Rate <= 1) {
		fault("the rate %v of the budget is not between 0 and 1", p.Budget.Rate)
	}
	return errors.Join(faults...)
}

// rules are the waves of the plan, at least one.
func (p Plan) rules() []rules.Wave {
	if len(p.Waves) == 0 {
		return []rules.Wave{{Share: 1}}
	}
	list := make([]rules.Wave, len(p.Waves))
	for i, w := range p.Waves {
		list[i] = rules.Wave{Canaries: len(w.Canaries) > 0, Share: w.Share, Soak: w.Soak, Approve: w.Approve}
	}
	return list
}

// canaries are the tenants that the plan names, with the numbers of their waves.
func (p Plan) canaries() (tenants []string, waves []int64) {
	for i, w := range p.Waves {
		for _, c := range w.Canaries {
			tenants, waves = append(tenants, c), append(waves, int64(i))
		}
	}
	return tenants, waves
}

// same says whether two plans come to the same.
func (p Plan) same(other Plan) bool {
	return p.Name == other.Name && p.Budget == other.Budget && slices.Equal(p.Servers, other.Servers) &&
		slices.EqualFunc(p.Waves, other.Waves, func(a, b Wave) bool {
			return slices.Equal(a.Canaries, b.Canaries) && a.Share == b.Share && a.Soak == b.Soak && a.Approve == b.Approve
		})
}

// readPlan reads a plan from the ledger.
func readPlan(text []byte) (p Plan, err error) {
	if err = json.Unmarshal(text, &p); err != nil {
		err = fmt.Errorf("the plan in the ledger can't be read: %w", err)
	}
	return p, err
}

// judge says why a rollout has to stop after a failure.
func judge(text []byte, wave, failed, processed int) (string, error) {
	p, err := readPlan(text)
	if err != nil {
		return "", err
	}
	if waves := p.rules(); wave >= 0 && wave < len(waves) && waves[wave].Canaries {
		return fmt.Sprintf("a canary of wave %d failed", wave+1), nil
	}
	return rules.Budget{Failures: p.Budget.Failures, Rate: p.Budget.Rate}.Exceeded(failed, processed), nil
}

// bounds divide the tenants that aren't canaries among the waves.
func (p Plan) bounds(canaries, others int) []int64 {
	var list []int64
	for _, b := range rules.Bounds(p.rules(), canaries, others) {
		list = append(list, int64(b))
	}
	return list
}
