package gooseplus

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/state"
)

const (
	// lockIdle is how long the server keeps a lock whose holder says nothing: a holder that is cut
	// off can't be told from one that is dead, and nobody else could ever migrate. The holder says
	// something every lockBeat, and gives up by itself after lockPatience without an answer.
	lockIdle     = 30 * time.Second
	lockBeat     = 2 * time.Second
	lockPatience = 10 * time.Second

	// releaseLimit is how long a run that has ended waits for connections that are still in use, and
	// for the server to take note of its end.
	releaseLimit = 10 * time.Second
	// lostLimit is that for the connection of a lock that is lost: it may never answer.
	lostLimit = 100 * time.Millisecond

	// pollFirst and pollLast bound the mean time between two looks of a process that waits; between two
	// tries, which take six statements, for a mutex whose holder seems to be at work, it is tryAgain.
	pollFirst = 10 * time.Millisecond
	pollLast  = 150 * time.Millisecond
	tryAgain  = 300 * time.Millisecond
	tryFirst  = 40 * time.Millisecond
)

// lockTimes are lockIdle, lockBeat and lockPatience; tests have less time.
type lockTimes struct {
	idle  time.Duration
	beats mutex.Beats
}

// lock is the global lock while this run holds it.
type lock struct {
	held mutex.Held
	stop func() // ends the watch
	// alive outlives the caller's context, for the way back; it ends with ErrLockLost as cause when
	// the lock is lost.
	alive context.Context
	end   context.CancelCauseFunc
}

// hold takes the global lock. While somebody else has it, this process holds neither a transaction
// nor a statement: it sleeps, asks whether it is still needed, and tries. If the run that it waited
// for has left nothing to do, there is nothing to lock for either: the lock is nil then, without an
// error.
func (r *run) hold(ctx context.Context, needed func(context.Context) (bool, error)) (*lock, error) {
	if r.db.Stats().MaxOpenConnections == 1 && !r.oneWriter() {
		return nil, errors.New("the lock takes a connection for itself, and the pool has SetMaxOpenConns(1)")
	}
	m, err := r.mutex(ctx)
	if err != nil {
		return nil, err
	}
	waiting := ctx
	if r.options.lockWait >= 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeoutCause(ctx, r.options.lockWait, &timeoutError{what: "wait for the lock", after: r.options.lockWait})
		defer cancel()
	}
	began := time.Now()
	for {
		l, err := r.tryHold(ctx, waiting, m)
		if err != nil || l != nil {
			return l, err
		}
		// As long as a run is under way the mutex is tried only now and then, in case its process is dead. One
		// that has just begun is not recorded yet.
		for tried, busy := time.Now(), true; time.Since(tried) < tryFirst || busy && time.Since(tried) < tryAgain; {
			if !sleep(waiting, poll(time.Since(began))) {
				return nil, fmt.Errorf("%w: %w%s", ErrLocked, stopped(waiting, nil), r.holder(ctx))
			}
			r.announceWait(ctx)
			if r.oneWriter() {
				break // to read would get in the holder's way
			}
			more, err := needed(ctx)
			if err != nil && waiting.Err() != nil {
				return nil, fmt.Errorf("%w: %w%s", ErrLocked, stopped(waiting, nil), r.holder(ctx))
			}
			if err != nil || !more {
				return nil, err
			}
			busy = r.flagged
		}
	}
}

// poll is how long a process that has waited for so long sleeps before it looks again: a part of that, so
// that many of them don't keep the server from the work that they wait for, nor sleep for long when it is done.
func poll(waited time.Duration) time.Duration {
	d := min(max(waited/8, pollFirst), pollLast)
	return d/2 + rand.N(d)
}

// alone calls what under the lock, if there is one. It doesn't when it is not needed any more.
func (r *run) alone(ctx context.Context, needed func(context.Context) (bool, error), what func(context.Context) error) (err error) {
	if err := r.makeSchema(ctx); err != nil {
		return err
	}
	if !r.options.globalLock {
		return what(ctx)
	}
	l, err := r.hold(ctx, needed)
	if err != nil || l == nil {
		return err
	}
	defer func() { err = r.release(l, err) }()
	ctx, cancel := l.during(ctx)
	defer cancel()
	return what(ctx)
}

// tryHold tries once. What the server still does for dead runs is waited for no longer than waiting
// lasts.
func (r *run) tryHold(ctx, waiting context.Context, m mutex.Mutex) (*lock, error) {
	held, err := r.tryMutex(ctx, m)
	if err != nil {
		return nil, r.known.tableError(ctx, err)
	}
	if held == nil {
		return nil, nil
	}
	l := r.newLock(ctx, held)
	within, cancel := l.during(ctx)
	defer cancel()
	waiting, cancelWaiting := l.during(waiting)
	defer cancelWaiting()
	if err = r.ensureState(within); err != nil {
		err = r.known.tableError(within, err)
	} else {
		err = r.bury(within, waiting)
	}
	if err != nil {
		return nil, joined(err, l.release())
	}
	r.lock = l
	return l, nil
}

// tryMutex tries once, but a second time at once if nothing but the mutex's row was missing: nobody has
// it then. A replica of the original gooseplus may have deleted it, and may have the table that is to
// become this version's: that it has its lock, which is the same, is no error.
func (r *run) tryMutex(ctx context.Context, m mutex.Mutex) (held mutex.Held, err error) {
	for range 2 {
		// On SQLite the mutex is no row, and to write before it is held would only meet its holder.
		if !r.oneWriter() {
			err = r.ensureState(ctx)
		}
		if err == nil {
			held, err = m.TryLock(ctx)
		}
		if !errors.Is(err, state.ErrNoMutex) {
			break
		}
		r.stateReady = false
	}
	if errors.Is(err, state.ErrNoMutex) || errors.Is(err, state.ErrBusy) {
		err = nil
	}
	return held, err
}

// tryRow tries the mutex's row. That it is not to be had may mean that it isn't there, unless a run is
// recorded as running.
func (r *run) tryRow(ctx context.Context, tx *sql.Tx) (bool, error) {
	if r.flagged {
		return r.known.state.TryLockThere(ctx, tx)
	}
	return r.known.state.TryLock(ctx, tx)
}

// oneWriter is true of SQLite: who reads while another process writes may be told that the database
// is locked, so that only the holder of the lock can rely on what it reads.
func (r *run) oneWriter() bool { return r.known.dialect.Goose == goose.DialectSQLite3 }

// ensureState makes sure of the state table, once.
func (r *run) ensureState(ctx context.Context) error {
	if r.stateReady {
		return nil
	}
	err := r.known.state.Ensure(ctx, r.db)
	r.stateReady = err == nil
	return err
}

func (r *run) newLock(ctx context.Context, held mutex.Held) *lock {
	l := &lock{held: held}
	l.alive, l.end = context.WithCancelCause(context.WithoutCancel(ctx))
	l.stop = mutex.Watch(held, r.options.lockTimes.beats, func(err error) {
		l.end(fmt.Errorf("%w: %s", ErrLockLost, reason(err)))
	})
	return l
}

// during is ctx for as long as the lock is held.
func (l *lock) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(l.alive, func() { cancel(context.Cause(l.alive)) })
	return ctx, func() {
		detach()
		cancel(nil)
	}
}

// release gives the lock back. An error means that it was not held to the end.
func (l *lock) release() error {
	l.stop()
	defer l.end(nil)
	wait := releaseLimit
	if l.alive.Err() != nil {
		wait = lostLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	err := l.held.Release(ctx)
	if lost := context.Cause(l.alive); lost != nil {
		return lost
	}
	if err != nil {
		return fmt.Errorf("%w: %s", ErrLockLost, reason(err))
	}
	return nil
}

// mutex is the lock that suits the database.
func (r *run) mutex(ctx context.Context) (mutex.Mutex, error) {
	st := r.known.state
	switch r.known.dialect.Goose {
	case goose.DialectSQLite3:
		file, err := st.File(ctx, r.db)
		if err != nil {
			return nil, r.known.tableError(ctx, err)
		}
		if file == "" {
			return mutex.Memory{Key: r.db}, nil
		}
		return mutex.File{Path: file}, nil
	default:
		before, after, opening := st.KeepOpen(r.options.lockTimes.idle)
		return &mutex.Row{DB: r.db, Lock: r.tryRow, Before: before, After: after, Opening: opening}, nil
	}
}

// announceWait tells the observers, once in a run, that it has to wait.
func (r *run) announceWait(ctx context.Context) {
	if r.announced {
		return
	}
	r.announced = true
	waiting := LockWaiting{}
	if holder, since, err := r.known.state.RunningNow(ctx, r.db); err == nil {
		waiting.Holder, waiting.Since = holder, since
	}
	r.events.send(waiting)
}

// holder says who has the lock, for an error.
func (r *run) holder(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	runs, err := r.known.state.Runs(ctx, r.db, state.Running)
	if err != nil || len(runs) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s has it since %s)", runs[0].Holder, runs[0].Started.Format(time.RFC3339))
}

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
	var err error
	if r.inherited, err = st.Runs(ctx, r.db, state.CutOff); err != nil { // newest first
		return r.known.tableError(ctx, err)
	}
	for _, dead := range r.inherited {
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
		ID: r.id, Holder: holderName(r.id), Started: r.started, From: r.from,
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

// release records how the run ended, if it had begun, and gives the lock back.
func (r *run) release(l *lock, runErr error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.alive), releaseLimit)
	defer cancel()
	r.disconnect(ctx)
	err := runErr
	if r.registered {
		err = joined(runErr, r.recordOutcome(ctx, runErr))
	}
	if releaseErr := l.release(); releaseErr != nil && !errors.Is(err, ErrLockLost) {
		err = joined(err, releaseErr)
	}
	return err
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
		// A connection that is none of the orphans is idle now, but lives.
		_, err := r.known.state.SetBackend(ctx, r.db, r.id, r.orphans.first())
		return joined(busy, err)
	}
	outcome, text := state.Migrated, ""
	switch {
	case errors.Is(runErr, ErrRollForward):
		outcome, text = state.RolledBack, reason(runErr)
	case runErr != nil:
		outcome, text = state.Failed, reason(runErr)
	}
	own, err := r.known.state.EndRun(ctx, r.db, r.id, r.to, outcome, text, time.Now())
	if err != nil {
		return r.known.tableError(ctx, err)
	}
	return r.stillOurs(own)
}

// fence configures the session through which a run with the lock does all its work. Each transaction begins
// with the run's own row, which stays locked until it ends: nobody can declare the run dead
// meanwhile. What the server does outside a transaction, or in one that DDL has committed, no row
// lock can show; so the run's row says which connection it is on.
func (r *run) fence() session.Config {
	cfg := session.Config{OnBegin: []session.Statement{{
		Query: r.known.state.Fence(r.id),
		Check: func(rows int64) error { return r.stillOurs(rows > 0) },
	}}}
	if !r.oneWriter() && slices.ContainsFunc(r.steps, unfenced) {
		cfg.Backend = session.Backend{Query: r.known.state.BackendQuery(), Found: r.onBackend}
		if r.known.state.Orphans() {
			cfg.Backend.Lost = func(row []driver.Value) { r.orphans.add(backendName(row)) }
		}
	}
	return cfg
}

// unfenced says whether a step, or its Down, has parts that no row lock covers.
func unfenced(s plannedStep) bool { return !s.Transactional || !s.downTransactional }

// onBackend is told what the server calls a connection before goose gets it. A name that is not needed any
// more is taken back: behind a pooler the connection outlives this process, and whoever comes after it
// would wait.
func (r *run) onBackend(ctx context.Context, row []driver.Value) error {
	backend := ""
	switch {
	case len(row) != 1 || r.current.Transactional && !r.named.Load():
		return nil
	case !r.current.Transactional:
		backend = backendName(row)
	}
	r.named.Store(backend != "")
	ours, err := r.known.state.SetBackend(ctx, r.db, r.id, backend)
	if err != nil {
		return err
	}
	return r.stillOurs(ours)
}

func backendName(row []driver.Value) string { return fmt.Sprintf("%s", row[0]) }

func (r *run) stillOurs(ours bool) error {
	if ours {
		return nil
	}
	return fmt.Errorf("%w: another runner has declared this one dead", ErrLockLost)
}

func holderName(id string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), id)
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
