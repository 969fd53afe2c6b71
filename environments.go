package gooseplus

import (
	"context"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// environments are what the state table remembers of environments, seen by one run.
type environments struct {
	seen      []string // the environments of all runs
	unseen    []string // the run's environments that the database has not seen
	unstamped []string // the run's environments without a stamp: the database forgets them if the runs that announced them fail
	announced []string // the environments that this run has announced
	inherited []string // the ids of the dead runs whose work this run undoes if it fails
}

// unfamiliar refuses an environment that a protected database has not seen.
func (e *environments) unfamiliar(o *options, facts history.Facts) error {
	e.seen = facts.Environments
	e.unseen = slices.DeleteFunc(o.stamps(), func(name string) bool { return slices.Contains(facts.Environments, name) })
	e.unstamped = slices.DeleteFunc(o.stamps(), func(name string) bool { return slices.Contains(facts.Stamped, name) })
	if len(e.unseen) == 0 {
		return nil
	}
	for _, seen := range facts.Environments {
		if slices.Contains(o.protectedEnvironments, seen) {
			return fmt.Errorf("%w: it was migrated with %q, never with %q (if it is a copy for tests, run once with WithProtectedEnvironments())", ErrProtectedEnvironment, seen, e.unseen)
		}
	}
	return nil
}

// stamps are the environments that the database remembers: all but base, which every one has.
func (o *options) stamps() []string {
	var list []string
	for _, e := range o.environments {
		if e != "" && e != baseEnvironment && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list
}

// announce has the database remember the run's environments before the first step: a process that is killed leaves a
// database that knows what it has. Each run announces them for itself, because others may fail, and withdraw what they announced.
func (e *environments) announce(ctx context.Context, r *run) error {
	if r.whole.state == nil || len(e.unstamped) == 0 {
		return nil
	}
	if err := r.ensureState(ctx); err != nil {
		return err
	}
	ctx, cancel := wait.Outlive(ctx, markGrace)
	defer cancel()
	for _, name := range e.unstamped {
		e.announced = append(e.announced, name) // the answer may be all that is lost
		if err := r.whole.state.Marks.Announce(ctx, r.db.own, name, r.working[0].row.id); err != nil {
			return r.whole.stateError(ctx, err)
		}
	}
	return nil
}

// stay has the database remember the announced environments for good.
func (e *environments) stay(ctx context.Context, r *run) error {
	for _, name := range e.announced {
		if err := r.whole.state.Marks.Stamp(ctx, r.db.own, name); err != nil {
			return err
		}
	}
	return e.forget(ctx, r, true)
}

// forget withdraws what this run has announced. If settled, it also withdraws the announcements of the dead runs that this run
// has taken over from: their work is undone, or their environments are stamped.
func (e *environments) forget(ctx context.Context, r *run, settled bool) error {
	if len(e.announced) == 0 {
		return nil
	}
	runs := []string{r.working[0].row.id}
	if settled {
		runs = append(runs, e.inherited...)
	}
	for _, name := range e.announced {
		for _, run := range runs {
			if err := r.whole.state.Marks.Withdraw(ctx, r.db.own, name, run); err != nil {
				return err
			}
		}
	}
	return nil
}
