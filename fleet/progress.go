package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// Counts are numbers of tenants by their states.
type Counts struct {
	Pending int `json:"pending"` // their turn will come
	Claimed int `json:"claimed"` // a worker has them
	Done    int `json:"done"`
	Failed  int `json:"failed"`  // they are tried again
	Stale   int `json:"stale"`   // they are left out until Reset
	Held    int `json:"held"`    // they would be pending or failed, but are pinned, or their server is frozen
	Missing int `json:"missing"` // their schema or database is not there
	Undone  int `json:"undone"`
}

// Total is the sum.
func (c Counts) Total() int {
	return c.Pending + c.Claimed + c.Done + c.Failed + c.Stale + c.Held + c.Missing + c.Undone
}

func (c *Counts) add(state rules.State, held bool, n int) {
	switch state.Shown(held) {
	case rules.Claimed:
		c.Claimed += n
	case rules.Done:
		c.Done += n
	case rules.Failed:
		c.Failed += n
	case rules.Stale:
		c.Stale += n
	case rules.Held:
		c.Held += n
	case rules.Missing:
		c.Missing += n
	case rules.Undone:
		c.Undone += n
	default:
		c.Pending += n
	}
}

// Progress says where a rollout is.
type Progress struct {
	Name    string            `json:"name"`
	State   RolloutState      `json:"state"`
	Reason  string            `json:"reason,omitempty"` // of a pause or a stop
	Wave    int               `json:"wave"`             // the latest that is open, from 1; 0 while it is undone
	Waves   int               `json:"waves"`
	Tenants Counts            `json:"tenants"`
	Servers map[string]Counts `json:"servers"`
	At      time.Time         `json:"at"`      // when the tenants were counted
	Workers int               `json:"workers"` // with its migration set, that have lately given a sign of life
	Started time.Time         `json:"started"`
	Ended   time.Time         `json:"ended,omitzero"`
}

// Ended says whether the rollout has come to its end. A rollout that is paused or stopped has not.
func (s RolloutState) Ended() bool { return s == Done || s == Cancelled || s == Undone }

// Progress says where a rollout is. It is cheap: call it as often as you like. Of a rollout with more than 20,000 tenants that is
// running, the numbers of tenants are some seconds old, see [Progress].At; those of a rollout in any other state are of now.
func (f *Fleet) Progress(ctx context.Context, name string) (Progress, error) {
	r, err := f.ledger.Rollout(ctx, name)
	if err != nil {
		return Progress{}, wrap(err)
	}
	plan, err := readPlan(r.Plan)
	if err != nil {
		return Progress{}, wrap(err)
	}
	tallies, at, err := f.ledger.Tallies(ctx, r.ID)
	if err != nil {
		return Progress{}, wrap(err)
	}
	workers, err := f.ledger.Workers(ctx, r.Migrations)
	if err != nil {
		return Progress{}, wrap(err)
	}
	p := Progress{
		Name: r.Name, State: RolloutState(r.State), Reason: r.Reason, Wave: r.Wave + 1, Waves: len(plan.rules()),
		Servers: make(map[string]Counts), At: at, Workers: workers, Started: r.Started, Ended: r.Ended.Time,
	}
	for _, t := range tallies {
		p.Tenants.add(t.State, t.Held, t.Count)
		one := p.Servers[t.Server]
		one.add(t.State, t.Held, t.Count)
		p.Servers[t.Server] = one
	}
	return p, nil
}

// waitEvery is how often Wait asks.
const waitEvery = 200 * time.Millisecond

// Wait returns when a rollout is done, undone or cancelled, and also when it has stopped by itself or waits for approval, since
// it wouldn't go on alone. See [Progress].State. An error of the control database is returned only if ctx ends; Wait asks again.
func (f *Fleet) Wait(ctx context.Context, name string) (Progress, error) {
	for {
		r, err := f.ledger.Rollout(ctx, name)
		state := RolloutState(r.State)
		if errors.Is(err, ErrNoRollout) {
			return Progress{}, wrap(err)
		}
		if err == nil && (state.Ended() || state == Stopped || state == Paused && r.Reason != "") {
			return f.Progress(ctx, name)
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("rollout %q is %s: %w", name, state, context.Cause(ctx))
			}
			return Progress{Name: name, State: state}, wrap(err)
		case <-time.After(waitEvery):
		}
	}
}

// A TenantProgress says where a tenant is in a rollout.
type TenantProgress struct {
	Tenant   string    `json:"tenant"`
	Server   string    `json:"server"`
	State    string    `json:"state"` // pending, claimed, done, failed, stale, held, missing or undone, as in [Counts]
	Attempts int       `json:"attempts"`
	Version  int64     `json:"version"`        // the highest applied, -1 if it isn't known
	Error    string    `json:"error"`          // on one line, without passwords; "" if it didn't fail
	At       time.Time `json:"at"`             // when the state changed
	Again    time.Time `json:"again,omitzero"` // when it is tried again
}

// Failed ranges over the tenants of a rollout that are failed, stale or missing now, by their ids. Memory doesn't grow with
// their number. An error ends it.
func (f *Fleet) Failed(ctx context.Context, name string) iter.Seq2[TenantProgress, error] {
	return positions(ctx, f.ledger, name, true)
}

// Tenants is [Fleet.Failed] of all tenants of a rollout.
func (f *Fleet) Tenants(ctx context.Context, name string) iter.Seq2[TenantProgress, error] {
	return positions(ctx, f.ledger, name, false)
}

func positions(ctx context.Context, l *ledger.Ledger, name string, failed bool) iter.Seq2[TenantProgress, error] {
	return func(yield func(TenantProgress, error) bool) {
		r, err := l.Rollout(ctx, name)
		if err != nil {
			yield(TenantProgress{}, wrap(err))
			return
		}
		for p, err := range l.Positions(ctx, r.ID, failed) {
			if !failed {
				p.State = p.State.Shown(p.Held)
			}
			if !yield(TenantProgress{
				Tenant: p.Tenant, Server: p.Server, State: string(p.State), Attempts: p.Attempts, Version: p.Version,
				Error: p.Error, At: p.At, Again: p.Again.Time,
			}, wrap(err)) {
				return
			}
		}
	}
}

// AtLeast says whether a tenant is known to have a version, or a higher one: for an application that needs the version before
// it may serve the tenant. It asks the ledger alone, which knows what rollouts have found and done. A tenant that the ledger
// doesn't have is an error.
func (f *Fleet) AtLeast(ctx context.Context, tenant string, version int64) (bool, error) {
	at, known, err := f.ledger.Version(ctx, tenant)
	if err == nil && !known {
		err = fmt.Errorf("there is no tenant %q: was it ever given to Sync?", tenant)
	}
	return at >= version && err == nil, wrap(err)
}

// Rollouts returns the names of all rollouts, the latest first.
func (f *Fleet) Rollouts(ctx context.Context) ([]string, error) {
	names, err := f.ledger.Rollouts(ctx)
	return names, wrap(err)
}
