package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// A RolloutState is where a rollout is.
type RolloutState string

// The states of a rollout.
const (
	Running   RolloutState = "running"
	Paused    RolloutState = "paused"    // by Pause, or because a wave waits for approval
	Stopped   RolloutState = "stopped"   // by itself: a canary failed, or the budget is used up
	Undoing   RolloutState = "undoing"   // by Undo
	Done      RolloutState = "done"      // each tenant is at its end
	Cancelled RolloutState = "cancelled" // by Cancel
	Undone    RolloutState = "undone"
)

var (
	// ErrNoRollout is returned for a name that no rollout has.
	ErrNoRollout = ledger.ErrNoRollout
	// ErrActive is returned by Start while another rollout is running, paused, stopped or undoing.
	ErrActive = errors.New("another rollout is not at its end")
	// ErrPlanDiffers is returned by Start for a name under which another plan, or another migration set, was started.
	ErrPlanDiffers = errors.New("a rollout of this name was started with another plan or another migration set")
)

// Start begins a rollout. If it was started already, with the same plan and the same migrations, Start returns nil and changes
// nothing, whatever has become of the rollout. Only one rollout can be under way: see [ErrActive]. Stale tenants of earlier
// rollouts stay stale: see [Fleet.Reset].
func (f *Fleet) Start(ctx context.Context, p Plan) error {
	if err := p.check(f.servers); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	return f.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('gooseplus fleet start', 0))`); err != nil {
			return err
		}
		old, err := ledger.LockRollout(ctx, tx, p.Name)
		if err == nil {
			return sameRollout(old, p, f.migrations)
		} else if !errors.Is(err, ledger.ErrNoRollout) {
			return err
		}
		if active, err := ledger.Active(ctx, tx); err != nil {
			return err
		} else if active != "" {
			return fmt.Errorf("rollout %q: %w", active, ErrActive)
		}
		return f.begin(ctx, tx, p, text)
	})
}

// sameRollout returns an error unless a rollout was started with this plan and these migrations.
func sameRollout(old ledger.Rollout, p Plan, migrations string) error {
	plan, err := readPlan(old.Plan)
	if err != nil {
		return err
	}
	if !plan.same(p) || old.Migrations != migrations {
		return fmt.Errorf("rollout %q: %w", p.Name, ErrPlanDiffers)
	}
	return nil
}

// begin inserts the rollout, gives it its tenants, and appoints its coordinator.
func (f *Fleet) begin(ctx context.Context, tx *sql.Tx, p Plan, text []byte) error {
	canaries, waves := p.canaries()
	total, named, err := ledger.Count(ctx, tx, p.Servers, canaries)
	if err != nil {
		return err
	}
	if total == 0 {
		return errors.New("there is no tenant: was Sync called?")
	}
	if named != len(canaries) {
		return fmt.Errorf("%d of the %d canaries are no tenants of the servers of the plan", len(canaries)-named, len(canaries))
	}
	id, err := ledger.Insert(ctx, tx, p.Name, text, f.migrations)
	if err != nil {
		return err
	}
	if _, err := ledger.Assign(ctx, tx, id, p.Servers, canaries, waves, p.bounds(named, total-named)); err != nil {
		return err
	}
	return appointOne(ctx, tx, f, ledger.Coordinator{Rollout: id})
}

// change calls do in a transaction of the control database.
func (f *Fleet) change(ctx context.Context, do func(*sql.Tx) error) error {
	return wrap(f.ledger.InTx(ctx, do))
}

// move takes a rollout from one of some states to another. In the other already it does nothing.
func (f *Fleet) move(ctx context.Context, name string, to RolloutState, from ...RolloutState) error {
	return f.change(ctx, func(tx *sql.Tx) error {
		r, err := ledger.LockRollout(ctx, tx, name)
		if err != nil || r.State == string(to) {
			return err
		}
		if !slices.Contains(from, RolloutState(r.State)) {
			return fmt.Errorf("rollout %q is %s, and can't become %s", name, r.State, to)
		}
		if err := ledger.SetState(ctx, tx, r.ID, string(to), ""); err != nil {
			return err
		}
		return ledger.Dismiss(ctx, tx, r.ID)
	})
}

// Pause lets no tenant begin any more. Tenants in progress are finished. [Fleet.Resume] goes on.
func (f *Fleet) Pause(ctx context.Context, name string) error {
	return f.move(ctx, name, Paused, Running)
}

// Resume goes on with a rollout that is paused or stopped: it approves the wave that waits for it, or spends more than the
// budget. After a stop the next failure stops the rollout again, unless the failed tenants were reset ([Fleet.Reset]).
func (f *Fleet) Resume(ctx context.Context, name string) error {
	return f.move(ctx, name, Running, Paused, Stopped)
}

// Cancel ends a rollout. Tenants in progress are finished, and the others stay as they are. It can be undone, not resumed.
func (f *Fleet) Cancel(ctx context.Context, name string) error {
	return f.move(ctx, name, Cancelled, Running, Paused, Stopped)
}

// Undo undoes a rollout: exactly the versions that it has applied, in exactly the tenants in which it has applied any, whatever
// state the rollout is in. Tenants in progress are finished first. A tenant in which other versions were applied later is left
// as it is, stale; so is one with a version that has no Down. The rollout has to be the latest one of its tenants. [Fleet.Wait]
// waits for the end of it.
func (f *Fleet) Undo(ctx context.Context, name string) error {
	return f.change(ctx, func(tx *sql.Tx) error {
		r, err := ledger.LockRollout(ctx, tx, name)
		if err != nil || r.State == string(Undoing) || r.State == string(Undone) {
			return err
		}
		if r.Migrations != f.migrations {
			return fmt.Errorf("rollout %q: %w: only the program that started it can undo it", name, ErrPlanDiffers)
		}
		if active, err := ledger.Active(ctx, tx); err != nil {
			return err
		} else if active != "" && active != name {
			return fmt.Errorf("rollout %q: %w", active, ErrActive)
		}
		if later, err := ledger.Later(ctx, tx, r.ID); err != nil {
			return err
		} else if later > 0 {
			return fmt.Errorf("rollout %q: a later rollout has %d of its tenants: undo that one first", name, later)
		}
		if err := ledger.SetState(ctx, tx, r.ID, string(Undoing), ""); err != nil {
			return err
		}
		if _, err := ledger.Undo(ctx, tx, r.ID); err != nil {
			return err
		}
		return ledger.Dismiss(ctx, tx, r.ID)
	})
}

// Pin keeps a tenant as it is: rollouts leave it out, and don't wait for it. The reason is for people.
func (f *Fleet) Pin(ctx context.Context, tenant, reason string) error {
	return wrap(f.ledger.Pin(ctx, tenant, true, clean(reason)))
}

// Unpin lets rollouts have a tenant again. A rollout that is running takes it up.
func (f *Fleet) Unpin(ctx context.Context, tenant string) error {
	return wrap(f.ledger.Pin(ctx, tenant, false, ""))
}

// FreezeServer lets no tenant of a server begin any more. Tenants in progress are finished. Rollouts go on elsewhere and open
// their waves, but they don't end before [Fleet.Thaw]. The reason is for people.
func (f *Fleet) FreezeServer(ctx context.Context, server, reason string) error {
	return f.freeze(ctx, server, true, reason)
}

// Thaw lets rollouts have a frozen server again.
func (f *Fleet) Thaw(ctx context.Context, server string) error {
	return f.freeze(ctx, server, false, "")
}

func (f *Fleet) freeze(ctx context.Context, server string, frozen bool, reason string) error {
	if _, ok := f.servers[server]; !ok {
		return fmt.Errorf("fleet: there is no server %q", clean(server))
	}
	return wrap(f.ledger.Freeze(ctx, server, frozen, clean(reason)))
}

// Reset has failed, stale and missing tenants of a rollout tried again at once, as if they had never failed; all of them if
// none are named. It returns how many there were. A rollout that was done runs again; one that stopped needs [Fleet.Resume].
func (f *Fleet) Reset(ctx context.Context, name string, tenants ...string) (reset int, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		r, err := ledger.LockRollout(ctx, tx, name)
		if err != nil {
			return err
		}
		if r.State == string(Done) || r.State == string(Undone) {
			if active, err := ledger.Active(ctx, tx); err != nil {
				return err
			} else if active != "" {
				return fmt.Errorf("rollout %q: %w", active, ErrActive)
			}
		}
		n, err := ledger.Reset(ctx, tx, r, tenants)
		if reset = int(n); err != nil || n == 0 {
			return err
		}
		goesOn := map[RolloutState]RolloutState{Done: Running, Undone: Undoing}[RolloutState(r.State)]
		if goesOn == "" {
			return nil
		}
		if err := ledger.SetState(ctx, tx, r.ID, string(goesOn), "tenants were reset"); err != nil {
			return err
		}
		return ledger.Dismiss(ctx, tx, r.ID)
	})
	return reset, err
}
