package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// takeOver closes the fence of runs that are recorded as running, though their process doesn't hold the
// lock any more, and waits until the server has let go of what they had begun, for as long as waiting
// lasts: it is a part of the wait for the lock. Their starting point is this run's.
func (r *run) takeOver(ctx, waiting context.Context) error {
	st := r.part.state
	var seen sightings
	for began := time.Now(); ; {
		busy, err := r.endDead(ctx, &seen)
		if err != nil {
			return r.part.stateError(ctx, err)
		}
		if busy == "" {
			break
		}
		r.announceWait(waiting)
		if !sleep(waiting, poll(time.Since(began))) {
			return fmt.Errorf("%w: %w (the server still works for %s)", ErrLocked, stopped(waiting, nil), busy)
		}
	}
	cutOff, err := st.Runs.List(ctx, r.db, history.CutOff) // newest first
	if err != nil {
		return r.part.tableError(ctx, err)
	}
	r.inherited = nil
	for _, dead := range cutOff {
		if !r.options.covers(dead.Namespace) {
			continue // it stays, for a run of that namespace
		}
		r.inherited = append(r.inherited, dead)
		r.events.send(Warning{Message: fmt.Sprintf("the run of %s, started %s, was cut off; its starting point is this run's",
			dead.Holder, dead.Started.Format(time.RFC3339))})
	}
	return nil
}

// endDead declares runs dead and ends what is left of them. It says what the server still works for, "" if there
// is nothing any more.
func (r *run) endDead(ctx context.Context, seen *sightings) (busy string, err error) {
	st := r.part.state
	soon, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	running, err := st.Runs.List(soon, r.db, history.Running)
	if err != nil && soon.Err() != nil && ctx.Err() == nil {
		// A transaction of the dead run may keep everybody from the table.
		return r.endBlocker(ctx, history.Run{Holder: "somebody who has locked the state table"}, seen)
	}
	if err != nil {
		return "", err
	}
	for _, dead := range running {
		done, err := st.Runs.TryCutOff(ctx, r.db, dead.ID, time.Now())
		if err != nil {
			return "", err
		}
		if !done {
			if busy, err = r.endBlocker(ctx, dead, seen); err != nil {
				return "", err
			}
		}
	}
	backends, err := st.Connections.List(ctx, r.db)
	if err != nil {
		return "", err
	}
	for _, b := range backends {
		a, err := st.Connections.Activity(ctx, r.db, b)
		if err != nil {
			return "", err
		}
		if a.Gone {
			if err := st.Connections.Drop(ctx, r.db, b.Run, b.Name); err != nil {
				return "", err
			}
			continue
		}
		busy = fmt.Sprintf("%s, which has lost the lock: %s", b.Holder, a.Who)
		_ = r.end(ctx, b, a, seen, r.options.lockTimes.beats) // somebody else's stays, and is named
	}
	return busy, nil
}

// endBlocker ends the transaction that keeps a run from being declared dead.
func (r *run) endBlocker(ctx context.Context, dead history.Run, seen *sightings) (busy string, err error) {
	a, err := r.part.state.Connections.Blocker(ctx, r.db, dead.ID)
	if err != nil {
		return "", err
	}
	busy = dead.Holder + ", which has lost the lock"
	if a != nil {
		busy += ": " + a.Who
		_ = r.end(ctx, history.Connection{Run: dead.ID}, *a, seen, r.options.lockTimes.beats) // as above
	}
	return busy, nil
}

// inherit takes over the starting point of runs that were cut off, and the duty to undo what they
// did.
func (r *run) inherit(ctx context.Context, now []int64) error {
	for _, dead := range r.inherited { // newest first: the oldest one's start is kept
		planned := make(map[int64]bool)
		for _, v := range dead.Planned {
			planned[v] = true
		}
		undone, done := plan.Diff(dead.Start, now)
		for _, v := range done {
			if planned[v] && !slices.Contains(r.mine, v) {
				r.mine = append(r.mine, v)
			}
		}
		for _, v := range undone {
			if planned[v] && !slices.Contains(r.undone, v) {
				r.undone = append(r.undone, v)
			}
		}
		r.start = dead.Start
	}
	known := slices.DeleteFunc(slices.Concat(r.mine, r.undone), func(v int64) bool { _, ok := r.part.set.Find(v); return !ok })
	return r.load(ctx, known, directionDown)
}

// register records the run in the state table, where others see it.
func (r *run) register(ctx context.Context) error {
	planned := make([]int64, len(r.steps))
	for i, s := range r.steps {
		planned[i] = s.Version
	}
	record := history.Run{
		ID: r.id, Holder: holderName(r.id), Namespace: r.part.set.Namespace, Started: r.started, From: r.from,
		Start: r.start, Planned: slices.Concat(planned, r.mine, r.undone),
	}
	if err := r.part.state.Runs.Inherit(ctx, r.db, record); err != nil {
		return r.part.stateError(ctx, err)
	}
	r.lock.runs = append(r.lock.runs, record)
	r.registered = true
	// From here on a new holder finds the row. One that came before would have missed it: so the
	// lock must still be held now.
	return r.lock.check()
}

// check asks whether the lock is still held.
func (l *lock) check() error {
	if err := mutex.Check(l.held, lockPatience); err != nil {
		return fmt.Errorf("%w: %s", ErrLockLost, reason(err))
	}
	return nil
}

// restore makes the state table again after a migration has removed it, with the runs that it knew: as long as
// this process has the lock, nobody else can have declared them dead. It says whether the table was gone.
func (r *run) restore(ctx context.Context) (gone bool, err error) {
	if r.lock == nil || !r.registered {
		return false, nil
	}
	there, err := r.part.state.IsThere(ctx, r.db)
	if err != nil || there {
		return false, err
	}
	if err := r.part.state.Ensure(ctx, r.db); err != nil {
		return false, err
	}
	for _, record := range r.lock.runs {
		if err := r.part.state.Runs.Start(ctx, r.db, record); err != nil {
			return false, err
		}
	}
	r.backends.mu.Lock()
	r.backends.list = nil
	r.backends.mu.Unlock()
	return true, r.lock.check()
}

// joined is errors.Join that leaves a single error as it is, and its message on one line.
func joined(errs ...error) error {
	var all error
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// recordOutcome ends the run's row. That of a run that lost its lock is left for the next holder,
// who finds it running, and has to make sure that nothing of it is under way any more; and so is that
// of a run for which the server still works.
func (r *run) recordOutcome(ctx context.Context, runErr error) error {
	lost, busy := errors.Is(runErr, ErrLockLost), error(nil)
	if !lost {
		busy = r.letGo(ctx)
	}
	if lost || busy != nil {
		return joined(busy, r.leaveRow(ctx))
	}
	return r.endRow(ctx, r.db, runErr)
}

// leaveRow leaves the run's row to the next holder, and of the connections that it names those that the server may
// still work on. The others are idle now, but live.
func (r *run) leaveRow(ctx context.Context) error {
	r.backends.mu.Lock()
	defer r.backends.mu.Unlock()
	r.backends.list = slices.DeleteFunc(r.backends.list, func(name string) bool { return name == r.orphans.first() })
	return r.dropBackends(ctx)
}

func (r *run) endRow(ctx context.Context, db history.Querier, runErr error) error {
	outcome, text := history.Migrated, ""
	switch {
	case runErr == nil && r.forced:
		outcome = history.Forced
	case errors.Is(runErr, ErrRollForward):
		outcome, text = history.RolledBack, reason(runErr)
	case runErr != nil:
		outcome, text = history.Failed, reason(runErr)
	}
	own, err := r.part.state.Runs.End(ctx, db, r.id, r.to, outcome, text, time.Now(), r.backends.list...)
	if err == nil {
		return r.stillOurs(own)
	}
	if there, checkErr := r.part.state.IsThere(ctx, r.db); checkErr == nil && !there {
		r.events.send(Warning{Message: fmt.Sprintf("a migration has removed the state table %s: the outcome of the run was not recorded", r.part.state.Name())})
		return nil
	}
	return r.unrecorded(ctx, err)
}

// unrecorded is the error of a run whose outcome could not be recorded. What it did stays done: so it is not that
// of a table that can't be read, by which nothing was touched.
func (r *run) unrecorded(ctx context.Context, err error) error {
	return fmt.Errorf("the run has ended at version %d, but its outcome could not be recorded in %s, where the next run finds it as cut off: %w",
		r.to, r.part.state.Name(), tidyError{stopped(ctx, err)})
}

func holderName(id string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), id)
}
