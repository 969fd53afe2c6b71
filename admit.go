package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// facts reads what the state table remembers.
func (r *run) facts(ctx context.Context) (facts history.Facts, err error) {
	switch {
	case r.part.state == nil:
		return facts, nil
	case r.lock != nil || r.flagged && !r.options.globalLock:
		facts, err = r.part.state.ReadThere(ctx, r.db)
	case r.options.globalLock:
		facts, err = r.part.state.Read(ctx, r.db)
	} // Without a lock, a table that was not there at the first look has nothing to say.
	if err != nil {
		return facts, r.part.stateError(ctx, err)
	}
	return facts, nil
}

// admit refuses what must not be done on this database. Steps that were not finished, and that the run
// can recover, are left to it.
func (r *run) admit(ctx context.Context, facts history.Facts, applied []int64) error {
	dirty := unfinished(facts, applied)
	if r.lock == nil && r.options.globalLock { // to look at what another run is doing is no fault of it
		dirty = slices.DeleteFunc(dirty, func(s history.Step) bool { return slices.Contains(facts.Running, s.Run) })
	}
	r.unfinished = slices.DeleteFunc(slices.Clone(dirty), func(s history.Step) bool { return !r.recoverable(ctx, s) })
	if len(r.unfinished) < len(dirty) {
		return r.dirty(dirty)
	}
	if len(r.steps) == 0 {
		return nil
	}
	if err := r.unfamiliar(facts); err != nil {
		return err
	}
	return r.unprotected(facts, applied)
}

// unfamiliar refuses an environment that a protected database has not seen.
func (r *run) unfamiliar(facts history.Facts) error {
	r.unseen = r.options.stamps()
	r.unseen = slices.DeleteFunc(r.unseen, func(e string) bool { return slices.Contains(facts.Environments, e) })
	if len(r.unseen) == 0 {
		return nil
	}
	for _, e := range facts.Environments {
		if slices.Contains(r.options.protectedEnvironments, e) {
			return fmt.Errorf("%w: it was migrated with %q and never with %q", ErrProtectedEnvironment, e, r.unseen)
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

// stamp remembers the run's environments before the first step: a process that is killed leaves a
// database that knows what it has.
func (r *run) stamp(ctx context.Context) error {
	if r.part.state == nil || len(r.unseen) == 0 {
		return nil
	}
	if err := r.ensureStateAlone(ctx); err != nil {
		return err
	}
	ctx, cancel := outlive(ctx, markGrace)
	defer cancel()
	for _, e := range r.unseen {
		r.stamped = append(r.stamped, e) // the answer may be all that is lost
		if err := r.part.state.Marks.Stamp(ctx, r.db, e); err != nil {
			return r.part.stateError(ctx, err)
		}
	}
	return nil
}

// unstamp forgets the environments of a run that is back at its starting point.
func (r *run) unstamp(ctx context.Context) error {
	for _, e := range r.stamped {
		if err := r.part.state.Marks.Unstamp(ctx, r.db, e); err != nil {
			return err
		}
	}
	return nil
}

// unprotected refuses steps that go below a protected version.
func (r *run) unprotected(facts history.Facts, applied []int64) error {
	r.protected = nil
	for _, p := range facts.Protected {
		r.protected = append(r.protected, p.Version)
	}
	var faults []error
	for _, s := range r.steps {
		if s.Direction == directionDown {
			faults = append(faults, r.versionLocked(s, applied))
		}
	}
	return errors.Join(faults...)
}

// versionLocked refuses a step down that goes below one of the applied versions, if that is
// protected.
func (r *run) versionLocked(down plannedStep, applied []int64) error {
	for _, p := range r.protected {
		if p >= down.Version && slices.Contains(applied, p) {
			return r.migrationError(down, "", fmt.Errorf("%w: version %d", ErrVersionLocked, p))
		}
	}
	return nil
}

// versionLockedOnTheWayBack is versionLocked of what the run applied: to return to a starting point
// that has a protected version is not to go below it.
func (r *run) versionLockedOnTheWayBack(down plannedStep) error {
	own, _ := plan.Diff(r.mine, r.start)
	return r.versionLocked(down, own)
}
