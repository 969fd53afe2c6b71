package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// holding is the global lock while a run has it, and what is true only as long as that is so.
type holding struct {
	run  *run
	held mutex.Held
	stop func(patience time.Duration) // ends the watch; a check that is under way has as long
	// alive outlives the caller's context, for the way back; it ends with ErrLockLost as cause when
	// the lock is lost.
	alive context.Context
	end   context.CancelCauseFunc
	// rows are the run's rows in the state table as they were when they began: see run.restore.
	rows    []history.Run
	created bool // the schema, under this lock
	fresh   bool // and the state table, see setUp
	// inherited are the runs that were cut off, newest first, whose starting points this one takes over.
	inherited []history.Run
}

func newHolding(ctx context.Context, r *run, held mutex.Held) *holding {
	h := &holding{run: r, held: held}
	h.alive, h.end = context.WithCancelCause(context.WithoutCancel(ctx))
	h.stop = mutex.Watch(held, r.options.lockTimes.beats, func(err error) {
		h.end(fmt.Errorf("%w: %s", ErrLockLost, failure.Reason(err)))
	})
	return h
}

// lives says whether there is a lock, and it was not lost.
func (h *holding) lives() bool { return h != nil && h.alive.Err() == nil }

// during is ctx for as long as the lock is held.
func (h *holding) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(h.alive, func() { cancel(context.Cause(h.alive)) })
	return ctx, func() {
		detach()
		cancel(nil)
	}
}

// detached is the context of a way back, which outlives the run's. Nothing is undone without the lock, if there was one.
func (h *holding) detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	alive := context.WithoutCancel(ctx)
	if h != nil {
		alive = h.alive
	}
	return failure.Limit(alive, limit, "rollback timeout")
}

// check asks whether the lock is still held.
func (h *holding) check() error {
	if err := mutex.Check(h.held, lockPatience); err != nil {
		return fmt.Errorf("%w: %s", ErrLockLost, failure.Reason(err))
	}
	return nil
}

// release records how the run ended, if it had begun, and gives the lock back.
func (h *holding) release(caller context.Context, runErr error) error {
	h.run.disconnect(h.alive) // which may take its time, if a Go migration has kept a connection
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.alive), releaseLimit)
	defer cancel()
	err := h.dropCreated(failure.Join(runErr, h.recordOutcomes(ctx, runErr)))
	unlockErr := h.unlock(caller)
	switch {
	case unlockErr == nil, errors.Is(err, ErrLockLost):
		return err
	case err == nil:
		return h.lostAfterAll(unlockErr)
	}
	return failure.Join(err, unlockErr)
}

// lostAfterAll says of a run that has done everything, and has not held its lock to the end, what is true.
func (h *holding) lostAfterAll(lost error) error {
	if len(h.rows) != 1 {
		return fmt.Errorf("%w; the run itself has succeeded", lost)
	}
	return fmt.Errorf("%w; the run itself has succeeded, and the database is at version %d", lost, h.run.parts[0].end.to)
}

// unlock gives the lock back. An error means that it was not held to the end. Where nothing was recorded under it, the
// caller's context limits the wait for the server: the lock ends with its connection too.
func (h *holding) unlock(caller context.Context) error {
	defer h.end(nil)
	if len(h.rows) == 0 && caller.Err() != nil {
		h.stop(0)
		h.held.Abandon()
		return nil
	}
	h.stop(stopLimit)
	if lost := context.Cause(h.alive); lost != nil {
		h.held.Abandon()
		return lost
	}
	ctx := context.Background()
	if len(h.rows) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = wait.Outlive(caller, answerLimit)
		defer cancel()
	}
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	if err := h.held.Release(ctx); err != nil {
		return fmt.Errorf("%w: %s", ErrLockLost, failure.Reason(err))
	}
	return nil
}

// stillOurs is the error of a run that was declared dead.
func (h *holding) stillOurs(ours bool) error {
	if ours {
		return nil
	}
	return h.declaredDead()
}

// declaredDead ends a run that another runner has declared dead. The other runner has the lock, so nothing is undone.
func (h *holding) declaredDead() error {
	err := fmt.Errorf("%w: another runner has declared this one dead", ErrLockLost)
	if h != nil {
		h.end(err)
	}
	return err
}

// takeOver closes the fence of runs that are recorded as running, though their process doesn't hold the
// lock any more, and waits until the server has let go of what they had begun, for as long as waiting
// lasts: it is a part of the wait for the lock. This run goes back to their starting point if it fails.
func (h *holding) takeOver(ctx, waiting context.Context) error {
	r := h.run
	var seen drive.Sightings
	for began := time.Now(); ; {
		busy, err := h.fenceDeadRuns(ctx, &seen)
		if err != nil {
			return r.whole.stateError(ctx, err)
		}
		if busy == "" {
			break
		}
		waiting = r.announceWait(waiting)
		if !wait.Sleep(waiting, wait.Poll(time.Since(began))) {
			return fmt.Errorf("%w: %w (%s)", ErrLocked, failure.Stopped(waiting, nil), busy)
		}
	}
	cutOff, err := r.whole.state.Runs.List(ctx, r.db.own, history.CutOff) // newest first
	if err != nil {
		return r.whole.tableError(ctx, err)
	}
	for _, dead := range cutOff {
		if !r.options.covers(dead.Namespace) {
			continue // it stays, for a run of that namespace
		}
		h.inherited = append(h.inherited, dead)
	}
	r.looking.others = r.looking.others.inherit(h.inherited)
	return nil
}

// fenceDeadRuns declares runs dead and ends what is left of them. It says what is in the way, "" if nothing is any more.
func (h *holding) fenceDeadRuns(ctx context.Context, seen *drive.Sightings) (busy string, err error) {
	st, db, beats := h.run.whole.state, h.run.db.own, h.run.options.lockTimes.beats
	running, busy, err := h.running(ctx, seen)
	if err != nil || busy != "" {
		return busy, err
	}
	for _, dead := range running {
		done, err := st.Runs.TryCutOff(ctx, db, dead.ID, time.Now())
		if err != nil {
			return "", err
		}
		if !done {
			lost := dead.Holder + ", which lost the lock"
			if busy, err = h.endBlocker(ctx, dead.ID, lost, seen); err != nil {
				return "", err
			}
			if busy == "" {
				busy = "the server is still executing a statement of " + lost
			}
		}
	}
	backends, err := st.Connections.List(ctx, db)
	if err != nil {
		return "", err
	}
	for _, b := range backends {
		a, err := st.Connections.Activity(ctx, db, b)
		if err != nil {
			return "", err
		}
		if a.Gone {
			if err := st.Connections.Drop(ctx, db, b.Run, b.Name); err != nil {
				return "", err
			}
			continue
		}
		busy = fmt.Sprintf("the server is still executing a statement of %s, which lost the lock: %s", b.Holder, a.Who)
		_ = seen.End(ctx, db, st, b, a, beats) // somebody else's stays, and is named
	}
	return busy, nil
}

// running lists the runs that are recorded as running. A transaction of a dead one may keep everybody from the table: it
// says so. Otherwise the server only takes its time.
func (h *holding) running(ctx context.Context, seen *drive.Sightings) (list []history.Run, busy string, err error) {
	st, db := h.run.whole.state, h.run.db.own
	for _, limit := range []time.Duration{answerLimit, tryLimit} {
		soon, cancel := context.WithTimeout(ctx, limit)
		list, err = st.Runs.List(soon, db, history.Running)
		late := soon.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !late {
			return list, "", err
		}
		if busy, err = h.endBlocker(ctx, "", "somebody who has locked the state table", seen); busy != "" || err != nil {
			return nil, busy, err
		}
	}
	return nil, fmt.Sprintf("the state table %s gave no answer within %v", st.Name(), tryLimit), nil
}

// endBlocker ends the transaction that keeps a run from being declared dead, or everybody from the state table. It says whose
// it is, "" if there is none.
func (h *holding) endBlocker(ctx context.Context, run, whose string, seen *drive.Sightings) (busy string, err error) {
	st, db := h.run.whole.state, h.run.db.own
	a, err := st.Connections.Blocker(ctx, db, run)
	if err != nil || a == nil {
		return "", err
	}
	_ = seen.End(ctx, db, st, history.Connection{Run: run}, *a, h.run.options.lockTimes.beats) // somebody else's stays, and is named
	return fmt.Sprintf("the server is still executing a statement of %s: %s", whose, a.Who), nil
}

// inheritedBy are the runs that were cut off, newest first, from which a part takes over.
func (h *holding) inheritedBy(p *part) (list []history.Run) {
	if h == nil {
		return nil
	}
	for _, dead := range h.inherited {
		if dead.Namespace == p.target.set.Namespace {
			list = append(list, dead)
		}
	}
	return list
}

// giveUpInheritance marks the dead runs of a part as crashed. The run has nothing to do, so their work is finished and
// stays.
func (h *holding) giveUpInheritance(ctx context.Context, p *part) error {
	if len(h.inheritedBy(p)) == 0 {
		return nil
	}
	if err := p.target.state.Runs.Crash(ctx, h.run.db.own, p.target.set.Namespace); err != nil {
		return p.target.named(p.target.stateError(ctx, err))
	}
	return nil
}

// register records the run in the state table, with a row for each part, where others see it.
func (h *holding) register(ctx context.Context, parts []*part) error {
	for _, p := range parts {
		var planned []int64
		for _, s := range p.steps {
			planned = append(planned, s.covered()...)
		}
		row := history.Run{
			ID: p.row.id, Holder: holderName(p.row.id), Application: h.run.options.application, Namespace: p.target.set.Namespace, Started: p.row.started, From: p.end.from,
			Start: p.ledger.Start(), Planned: append(planned, p.ledger.Owed()...), Others: h.run.looking.others.forHeir(p),
			Remembers: (memory{p}).remembers(),
		}
		start := p.target.state.Runs.Inherit
		if h.fresh {
			start = p.target.state.Runs.First
		}
		if err := start(ctx, h.run.db.own, row); err != nil {
			return p.target.named(p.target.stateError(ctx, err))
		}
		h.rows = append(h.rows, row)
		p.row.registered = true
	}
	// A new holder finds the rows from now on. A process that took the lock before would have missed the rows, so the lock
	// must still be held now. ErrLockLost alone would say that the run had succeeded.
	if err := h.check(); err != nil {
		return rolledForward(err)
	}
	return nil
}

func holderName(id string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), id)
}

// recordOutcomes ends the rows of all parts, at once: a process that dies between two would leave a part of a starting
// point. A run that lost its lock, or for which the server is still executing a statement, leaves its rows to the next
// holder, who finds them running and waits until nothing of the run is under way.
func (h *holding) recordOutcomes(ctx context.Context, runErr error) error {
	var registered []*part
	var busy error
	lost := errors.Is(runErr, ErrLockLost)
	for _, p := range h.run.parts {
		if !p.row.registered || p.end.seal.rows != nil {
			continue
		}
		registered = append(registered, p)
		if !lost {
			busy = failure.Join(busy, p.driver.Connections().Await(ctx))
		}
	}
	switch {
	case len(registered) == 0:
		return nil
	case lost || busy != nil:
		for _, p := range registered {
			busy = failure.Join(busy, p.driver.Connections().Leave(ctx))
		}
		return busy
	}
	err := h.recordAll(ctx, registered, runErr)
	if err != nil {
		switch gone, failed := h.run.restore(ctx); {
		case gone && failed == nil:
			err = h.recordAll(ctx, registered, runErr)
		case gone:
			err = fmt.Errorf("the run has ended at version %d, but a migration has removed its row from %s, and it can't be put back: %w",
				registered[0].end.to, h.run.whole.state.Name(), failure.Tidy{Err: failure.Stopped(ctx, failed)})
		}
	}
	if errors.Is(err, drive.ErrDead) {
		err = h.declaredDead()
	}
	return err
}

// recordAll ends the rows of the parts, in one transaction.
func (h *holding) recordAll(ctx context.Context, parts []*part, runErr error) error {
	if len(parts) == 1 {
		return h.recordOutcome(ctx, h.run.db.own, parts[0], parts[0].errorOf(runErr))
	}
	tx, err := h.run.db.own.BeginTx(ctx, nil)
	if err != nil {
		return unrecorded(ctx, parts[0], err)
	}
	for _, p := range parts {
		if err := h.recordOutcome(ctx, tx, p, p.errorOf(runErr)); err != nil {
			return failure.Join(err, failure.IgnoreDone(tx.Rollback()))
		}
	}
	if err := tx.Commit(); err != nil {
		return unrecorded(ctx, parts[0], err)
	}
	return nil
}

// recordOutcome ends the part's row.
func (h *holding) recordOutcome(ctx context.Context, db history.Querier, p *part, err error) error {
	outcome, text := history.Migrated, ""
	switch {
	case err == nil && p.row.forced:
		outcome = history.Forced
	case err == nil && p.row.accepted:
		outcome = history.Accepted
	case errors.Is(err, ErrRollForward):
		outcome, text = history.RolledBack, reason(err)
	case err != nil:
		outcome, text = history.Failed, reason(err)
	}
	st, at := p.target.state, time.Now()
	own, err := st.Runs.End(ctx, db, p.row.id, p.end.to, outcome, text, at, p.driver.Connections().Named()...)
	if err == nil && own {
		return nil
	}
	// If only the answer was lost, database/sql may have sent the statement again, which found a run that has ended.
	if ended, askErr := st.Runs.EndedAs(ctx, h.run.db.own, p.row.id, outcome, at); askErr == nil && ended {
		return nil
	}
	if err == nil {
		return drive.ErrDead
	}
	return unrecorded(ctx, p, err)
}

// unrecorded is the error of a run whose outcome could not be recorded. Its migrations stay applied, so it isn't
// ErrMigrationTable, which says that nothing was touched.
func unrecorded(ctx context.Context, p *part, err error) error {
	return fmt.Errorf("the run has ended at version %d, but its outcome could not be recorded in %s: the next run will treat it as cut off: %w",
		p.end.to, p.target.state.Name(), failure.Tidy{Err: failure.Stopped(ctx, err)})
}
