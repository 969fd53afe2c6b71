package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/state"
)

// bury closes the fence of runs that are recorded as running, though their process doesn't hold the
// lock any more, and waits until the server has let go of what they had begun, for as long as waiting
// lasts: it is a part of the wait for the lock. Their starting point is this run's.
func (r *run) bury(ctx, waiting context.Context) error {
	st := r.known.state
	for poll := pollFirst; ; poll = min(2*poll, pollLast) {
		// They are read anew each time: one of them may be alive, and end itself meanwhile.
		running, err := st.Runs(ctx, r.db, state.Running)
		if err != nil {
			return r.known.tableError(ctx, err)
		}
		busy := ""
		for _, dead := range running {
			gone, err := r.departed(ctx, dead)
			if err != nil {
				return r.known.tableError(ctx, err)
			}
			if !gone {
				busy = dead.Holder
			}
		}
		if busy == "" {
			break
		}
		r.announceWait(ctx)
		if !sleep(waiting, poll) {
			return fmt.Errorf("%w: %w (the server still works for %s, which has lost it)", ErrLocked, stopped(waiting, nil), busy)
		}
	}
	cutOff, err := st.Runs(ctx, r.db, state.CutOff) // newest first
	if err != nil {
		return r.known.tableError(ctx, err)
	}
	r.inherited = nil
	for _, dead := range cutOff {
		if !r.known.covers(dead.Namespace) {
			continue // it stays, for a run of that namespace
		}
		r.inherited = append(r.inherited, dead)
		r.events.send(Warning{Message: fmt.Sprintf("the run of %s, started %s, was cut off; its starting point is this run's",
			dead.Holder, dead.Started.Format(time.RFC3339))})
	}
	return nil
}

// departed says whether nothing that a run has begun is under way any more, nor can be.
func (r *run) departed(ctx context.Context, dead state.Run) (bool, error) {
	if dead.Backend != "" {
		working, err := r.known.state.BackendWorks(ctx, r.db, dead.Backend)
		if err != nil || working {
			return false, err
		}
	}
	return r.known.state.TryCutOff(ctx, r.db, dead.ID, time.Now())
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
	known := slices.DeleteFunc(slices.Concat(r.mine, r.undone), func(v int64) bool { _, ok := r.known.find(v); return !ok })
	return r.load(ctx, known, directionDown)
}

// register records the run in the state table, where others see it.
func (r *run) register(ctx context.Context) error {
	planned := make([]int64, len(r.steps))
	for i, s := range r.steps {
		planned[i] = s.Version
	}
	err := r.known.state.Inherit(ctx, r.db, state.Run{
		ID: r.id, Holder: holderName(r.id), Namespace: r.known.namespace, Started: r.started, From: r.from,
		Start: r.start, Planned: slices.Concat(planned, r.mine, r.undone),
	})
	if err != nil {
		return r.known.tableError(ctx, err)
	}
	r.registered = true
	// From here on a new holder finds the row. One that came before would have missed it: so the
	// lock must still be held now.
	if err := mutex.Check(r.lock.held, lockPatience); err != nil {
		return fmt.Errorf("%w: %s", ErrLockLost, reason(err))
	}
	return nil
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

// leaveRow leaves the run's row to the next holder. A connection that is none of the orphans is idle now,
// but lives.
func (r *run) leaveRow(ctx context.Context) error {
	_, err := r.known.state.SetBackend(ctx, r.db, r.id, r.orphans.first())
	return err
}

func (r *run) endRow(ctx context.Context, db state.Querier, runErr error) error {
	outcome, text := state.Migrated, ""
	switch {
	case runErr == nil && r.forced:
		outcome = state.Forced
	case errors.Is(runErr, ErrRollForward):
		outcome, text = state.RolledBack, reason(runErr)
	case runErr != nil:
		outcome, text = state.Failed, reason(runErr)
	}
	own, err := r.known.state.EndRun(ctx, db, r.id, r.to, outcome, text, time.Now())
	if err != nil {
		return r.known.tableError(ctx, err)
	}
	return r.stillOurs(own)
}

func holderName(id string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), id)
}
