package fleet

import (
	"context"
	"log/slog"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// tenant works on one tenant and records the result. It returns false if the tenant was not begun.
func (l *lane) tenant(ctx context.Context, c ledger.Claim, t tenant) bool {
	result := ledger.Result{Tenant: c.Tenant, Holder: l.holder.token, Server: l.server, Worker: l.id, Undo: l.undo, Version: -1}
	success, in := rules.Done, Running
	var a attempt
	begin := func(ctx context.Context, versions []string, more bool) bool {
		if l.undo {
			versions = nil
		}
		if more {
			in = ""
		}
		return l.begin(ctx, c.Tenant, string(in), versions)
	}
	if l.undo {
		success, in = rules.Undone, Undoing
		versions, err := l.owed(ctx, c.Tenant, t)
		if err != nil {
			a = attempt{version: -1, err: err}
		} else {
			a = t.down(ctx, versions, begin)
		}
	} else {
		a = t.up(ctx, begin)
	}
	o := outcome(ctx, l.db, a)
	if o == rules.NotBegun {
		l.halted = true
		return false
	}
	result.Verdict = rules.Judge(o, c.Attempts, c.Waits, success)
	result.Version, result.Added, result.Removed, result.Took = a.version, a.added, a.removed, a.took
	if (a.err != nil && o != rules.Occupied || c.Unsure) && !l.undo {
		l.makeSure(ctx, c, t, &result)
	}
	switch {
	case a.unlike:
		result.Error = "not undone: other versions were applied after those of the rollout, or they are not known any more"
	case a.err != nil:
		result.Error = clean(a.err.Error())
		l.log.Info("fleet: a tenant failed", slog.String("tenant", c.Tenant), slog.String("server", l.server),
			slog.String("state", string(result.Verdict.State)), slog.String("error", result.Error))
	}
	l.record(ctx, result)
	return true
}

// begin asks the ledger whether a run may touch the tenant.
func (l *lane) begin(ctx context.Context, tenant, in string, versions []string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if in != "" && !l.holder.valid() {
		return false
	}
	if versions == nil {
		versions = []string{}
	}
	ok, err := l.fleet.ledger.Begin(ctx, l.rollout, tenant, l.holder.token, in, versions, l.server, l.id)
	if err != nil {
		l.log.Info("fleet: a run did not begin, since the ledger does not answer", slog.String("tenant", tenant),
			slog.String("error", clean(err.Error())))
	}
	return err == nil && ok
}

// makeSure asks the tenant's own database what the rollout has applied: events don't tell it after a failure, or if an earlier
// run was cut off.
func (l *lane) makeSure(ctx context.Context, c ledger.Claim, t tenant, result *ledger.Result) {
	versions, err := l.fleet.ledger.Versions(ctx, l.rollout, c.Tenant)
	if err == nil {
		var applied map[string]bool
		if applied, err = t.applied(ctx); err == nil {
			result.Added, result.Removed, result.Exact = among(versions.Planned, applied), nil, true
			return
		}
	}
	result.Unsure = true
}

// owed are the versions of the rollout that are applied in a tenant.
func (l *lane) owed(ctx context.Context, tenant string, t tenant) ([]string, error) {
	versions, err := l.fleet.ledger.Versions(ctx, l.rollout, tenant)
	if err != nil {
		return nil, err
	}
	applied, err := t.applied(ctx)
	if err != nil {
		return nil, err
	}
	if versions.Unsure {
		return among(versions.Planned, applied), nil
	}
	return among(versions.Applied, applied), nil
}

func among(versions []string, applied map[string]bool) (list []string) {
	for _, v := range versions {
		if applied[v] {
			list = append(list, v)
		}
	}
	return list
}

// record records a result, however long it takes.
func (l *lane) record(ctx context.Context, r ledger.Result) {
	l.insist(ctx, func(ctx context.Context) error {
		s, err := l.fleet.ledger.Record(ctx, l.rollout, r, judge)
		if err == nil && (s.Stopped || !s.Kept) {
			l.halted = true
		}
		return err
	})
}

// drainLimit is how long a worker that was told to end tries to record what it has done.
const drainLimit = time.Minute

// insist writes to the ledger until it answers. A worker that was told to end gives up at last: the ledger knows which runs
// have begun, and the next worker asks the tenants.
func (l *lane) insist(ctx context.Context, write func(context.Context) error) {
	var draining time.Time
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		one, cancel := context.WithTimeout(ctx, answerLimit)
		err := write(one)
		cancel()
		if err == nil {
			return
		}
		l.log.Info("fleet: the ledger could not be written, trying again", slog.String("error", clean(err.Error())))
		if l.draining.Load() || l.stop.Err() != nil {
			if draining.IsZero() {
				draining = time.Now()
			}
			if time.Since(draining) > drainLimit {
				return
			}
		}
		time.Sleep(wait)
	}
}
