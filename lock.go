package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
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
	// stopLimit is how long a check of the lock that is under way at its end may take.
	stopLimit = 2 * time.Second
	// answerLimit is how long a process whose wait for the lock is over waits for each of the answers that its
	// error needs.
	answerLimit = time.Second

	// tryLimit is how long a try for the lock may take when the wait for it is over.
	tryLimit = 5 * time.Second
	// lookLimit is how long the look of a run that is to have the lock waits: the holder's migration may keep
	// everybody from the version table, and who has the lock is told without it.
	lookLimit = time.Second

	// pollFirst and pollLast bound the mean time between two looks of a process that waits.
	pollFirst = 20 * time.Millisecond
	pollLast  = 150 * time.Millisecond
)

// lockTimes are lockIdle, lockBeat and lockPatience; tests have less time.
type lockTimes struct {
	idle  time.Duration
	beats mutex.Beats
}

// lock is the global lock while this run holds it.
type lock struct {
	held mutex.Held
	stop func(patience time.Duration) // ends the watch; a check that is under way has as long
	// alive outlives the caller's context, for the way back; it ends with ErrLockLost as cause when
	// the lock is lost.
	alive context.Context
	end   context.CancelCauseFunc
	// runs are those that are recorded under the lock, as they were when they began: see restore.
	runs []history.Run
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
	for began := time.Now(); ; {
		l, err := r.tryHold(ctx, waiting, m)
		if err != nil || l != nil {
			return l, err
		}
		for free := false; !free; {
			if !sleep(waiting, poll(time.Since(began))) {
				return r.lastTry(ctx, waiting, m)
			}
			r.announceWait(waiting)
			if r.oneWriter() {
				break // to read would get in the holder's way
			}
			if r.holds, err = m.Holder(waiting); err != nil {
				break // the next try finds out more
			}
			free = r.holds == ""
		}
		if err != nil && waiting.Err() != nil {
			return r.lastTry(ctx, waiting, m)
		}
		if r.oneWriter() || err != nil {
			continue
		}
		// The run that this one waited for has ended: it may have left nothing to do.
		more, err := needed(waiting)
		if err != nil && waiting.Err() != nil {
			return r.lastTry(ctx, waiting, m)
		}
		if err != nil || !more {
			return nil, err
		}
	}
}

// lastTry is for a process whose wait is over. Somebody who had the lock a moment ago may have given it back.
func (r *run) lastTry(ctx, waiting context.Context, m mutex.Mutex) (l *lock, err error) {
	if ctx.Err() == nil {
		soon, cancel := context.WithTimeout(ctx, answerLimit)
		r.holds, err = m.Holder(soon)
		cancel()
		if r.options.lockWait > 0 && err == nil && r.holds == "" {
			if l, err = r.tryHold(ctx, waiting, m); l != nil || errors.Is(err, ErrLocked) {
				return l, err
			}
		}
	}
	return nil, r.locked(ctx, waiting, err)
}

// locked is the error of a run that did not get the lock in time.
func (r *run) locked(ctx, waiting context.Context, err error) error {
	return fmt.Errorf("%w: %w%s", ErrLocked, stopped(waiting, err), r.holder(ctx))
}

// poll is how long a process that has waited for so long sleeps before it looks again: a part of that, so
// that many of them don't keep the server from the work that they wait for, nor sleep for long when it is done.
func poll(waited time.Duration) time.Duration {
	d := min(max(waited/8, pollFirst), pollLast)
	return d*3/4 + rand.N(d/2)
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
	caller := ctx
	defer func() { err = r.release(caller, l, err) }()
	ctx, cancel := l.during(ctx)
	defer cancel()
	return what(ctx)
}

// tryHold tries once. What the server still does for dead runs is waited for no longer than waiting
// lasts.
func (r *run) tryHold(ctx, waiting context.Context, m mutex.Mutex) (*lock, error) {
	held, err := r.tryMutex(ctx, waiting, m)
	if err != nil || held == nil {
		return nil, err
	}
	l := r.newLock(ctx, held)
	within, cancel := l.during(ctx)
	defer cancel()
	waiting, cancelWaiting := l.during(waiting)
	defer cancelWaiting()
	r.locate(held)
	if err = r.ensureState(within, waiting); err == nil {
		err = r.takeOver(within, waiting)
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrLocked) {
		err = r.locked(ctx, ctx, err) // nothing was touched
	}
	if err != nil {
		return nil, joined(err, l.release(ctx))
	}
	r.lock = l
	return l, nil
}

// tryMutex tries once. It may take a moment longer than the wait for the lock lasts, which may last no time at all.
func (r *run) tryMutex(ctx, waiting context.Context, m mutex.Mutex) (mutex.Held, error) {
	within, cancel := context.WithCancel(ctx)
	if deadline, ok := waiting.Deadline(); ok {
		within, cancel = context.WithDeadline(ctx, later(deadline, time.Now().Add(tryLimit)))
	}
	defer cancel()
	held, err := m.TryLock(within)
	switch {
	case err == nil:
		return held, nil
	case ctx.Err() != nil:
		return nil, r.locked(ctx, ctx, err)
	case within.Err() != nil:
		return nil, r.locked(ctx, within, err)
	}
	return nil, r.part.tableError(ctx, err)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// locate has this run call the state table by the name that the server has for it: what a migration, or the
// application, sets the search_path to doesn't matter any more.
func (r *run) locate(held mutex.Held) {
	part := *r.part
	switch h := held.(type) {
	case interface{ Key() string }:
		part.state = part.state.Located(h.Key())
	case interface{ Autocommits() bool }:
		if h.Autocommits() {
			part.state = part.state.Autocommitting()
		}
	}
	r.part = &part
}

// oneWriter is true of SQLite: who reads while another process writes may be told that the database
// is locked, so that only the holder of the lock can rely on what it reads.
func (r *run) oneWriter() bool { return r.part.dialect.Goose == goose.DialectSQLite3 }

// upgradeLimit is how long a run without the lock waits for others that are at the state table.
const upgradeLimit = 5 * time.Second

// ensureState makes sure of the state table, once. Replicas of older versions that use it are waited for.
func (r *run) ensureState(ctx, waiting context.Context) error {
	if r.stateReady {
		return nil
	}
	began := time.Now()
	for {
		err := r.part.state.Ensure(ctx, r.db)
		if err == nil {
			r.stateReady = true
			return nil
		}
		if !errors.Is(err, history.ErrBusy) {
			return r.part.stateError(ctx, err)
		}
		r.announceWait(waiting)
		if !sleep(waiting, poll(time.Since(began))) {
			return fmt.Errorf("%w: %w: %w", ErrLocked, stopped(waiting, nil), err)
		}
	}
}

// ensureStateAlone is ensureState for a run that may have no lock.
func (r *run) ensureStateAlone(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, upgradeLimit)
	defer cancel()
	return r.ensureState(ctx, waiting)
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

// release gives the lock back. An error means that it was not held to the end. Where nothing was recorded under it, the
// caller's context limits the wait for the server: the lock ends with its connection too.
func (l *lock) release(caller context.Context) error {
	defer l.end(nil)
	if len(l.runs) == 0 && caller.Err() != nil {
		l.stop(0)
		l.held.Abandon()
		return nil
	}
	l.stop(stopLimit)
	if lost := context.Cause(l.alive); lost != nil {
		l.held.Abandon()
		return lost
	}
	ctx := context.Background()
	if len(l.runs) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = outlive(caller, answerLimit)
		defer cancel()
	}
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	if err := l.held.Release(ctx); err != nil {
		return fmt.Errorf("%w: %s", ErrLockLost, reason(err))
	}
	return nil
}

// mutex is the lock that suits the database.
func (r *run) mutex(ctx context.Context) (mutex.Mutex, error) {
	st := r.part.state
	switch r.part.dialect.Goose {
	case goose.DialectSQLite3:
		file, database, err := st.File(ctx, r.db)
		if err != nil {
			return nil, r.part.tableError(ctx, err)
		}
		if file == "" {
			return mutex.Memory{Key: r.pool}, nil
		}
		return mutex.File{Path: file, Beside: database}, nil
	case goose.DialectMySQL:
		return &mutex.MySQL{DB: r.db, Name: st.MutexKey(), Idle: r.options.lockTimes.idle}, nil
	default:
		return &mutex.Postgres{DB: r.db, Key: st.MutexKey(), Idle: r.options.lockTimes.idle}, nil
	}
}

// announceWait tells the observers, once in a run, that it has to wait.
func (r *run) announceWait(ctx context.Context) {
	if r.announced {
		return
	}
	r.announced = true
	if r.events.silent() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit) // the holder may keep everybody from the table
	defer cancel()
	waiting := LockWaiting{}
	if holder, since, err := r.part.state.Runs.RunningNow(ctx, r.db); err == nil {
		waiting.Holder, waiting.Since = holder, since
	}
	r.events.send(waiting)
}

// holder says who has the lock, for an error. It isn't asked for where nobody was found to have it.
func (r *run) holder(ctx context.Context) string {
	if r.holds == "" && !r.announced {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
	defer cancel()
	holder, since, err := r.part.state.Runs.RunningNow(ctx, r.db)
	switch {
	case err == nil && holder != "" && r.holds != "":
		return fmt.Sprintf(" (%s has it since %s, %s)", holder, since.Format(time.RFC3339), r.holds)
	case err == nil && holder != "":
		return fmt.Sprintf(" (%s has it since %s)", holder, since.Format(time.RFC3339))
	case r.holds != "":
		return fmt.Sprintf(" (%s has it)", r.holds)
	}
	return ""
}

// release records how the run ended, if it had begun, and gives the lock back.
func (r *run) release(caller context.Context, l *lock, runErr error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.alive), releaseLimit)
	defer cancel()
	r.disconnect(ctx)
	err := runErr
	if r.registered {
		err = joined(runErr, r.recordOutcome(ctx, runErr))
	}
	if releaseErr := l.release(caller); releaseErr != nil && !errors.Is(err, ErrLockLost) {
		err = joined(err, releaseErr)
	}
	return err
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
