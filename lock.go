package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/mutex"
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
	// answerLimit is how long a process whose wait for the lock is over waits for each of the answers that its
	// error needs.
	answerLimit = time.Second

	// pollFirst and pollLast bound the mean time between two looks of a process that waits; between two
	// tries, which take six statements, for a mutex whose holder seems to be at work, it is tryAgain.
	pollFirst = 20 * time.Millisecond
	pollLast  = 150 * time.Millisecond
	tryAgain  = 300 * time.Millisecond
	tryFirst  = 100 * time.Millisecond
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
				return r.lastTry(ctx, waiting, m)
			}
			r.announceWait(waiting)
			if r.oneWriter() {
				break // to read would get in the holder's way
			}
			if busy = r.stillBusy(waiting); busy {
				continue
			}
			more, err := needed(waiting)
			if err != nil && waiting.Err() != nil {
				return r.lastTry(ctx, waiting, m)
			}
			if err != nil || !more {
				return nil, err
			}
			busy = r.flagged
		}
	}
}

// lastTry is for a process whose wait is over, and that may not have tried for a while.
func (r *run) lastTry(ctx, waiting context.Context, m mutex.Mutex) (l *lock, err error) {
	if r.options.lockWait > 0 && ctx.Err() == nil {
		soon, cancel := context.WithTimeout(ctx, answerLimit)
		defer cancel()
		if l, err = r.tryHold(soon, waiting, m); l != nil || errors.Is(err, ErrLocked) {
			return l, err
		}
	}
	return nil, fmt.Errorf("%w: %w%s", ErrLocked, stopped(waiting, err), r.holder(ctx))
}

// stillBusy is a look that asks for nothing but the run that the last one found.
func (r *run) stillBusy(ctx context.Context) bool {
	if !r.flagged {
		return false
	}
	busy, err := r.known.state.StillBusy(ctx, r.db, r.known.busy())
	return busy && err == nil
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
	ensure := r.known.state.TryEnsure
	for range 2 {
		// On SQLite the mutex is no row, and to write before it is held would only meet its holder.
		if !r.oneWriter() && !r.stateReady {
			err = ensure(ctx, r.db)
			r.stateReady = err == nil
		}
		if err == nil {
			held, err = m.TryLock(ctx)
		}
		if !errors.Is(err, state.ErrNoMutex) {
			break
		}
		r.stateReady, ensure = false, r.known.state.Ensure
	}
	if errors.Is(err, state.ErrNoMutex) || errors.Is(err, state.ErrBusy) || errors.Is(err, state.ErrCreating) {
		err = nil
	}
	return held, err
}

// oneWriter is true of SQLite: who reads while another process writes may be told that the database
// is locked, so that only the holder of the lock can rely on what it reads.
func (r *run) oneWriter() bool { return r.known.dialect.Goose == goose.DialectSQLite3 }

// upgradeLimit is how long a run without the lock waits for others that are at the state table.
const upgradeLimit = 5 * time.Second

// ensureState makes sure of the state table, once.
func (r *run) ensureState(ctx context.Context) error {
	if r.stateReady {
		return nil
	}
	err := r.known.state.Ensure(ctx, r.db)
	for began := time.Now(); errors.Is(err, state.ErrBusy) && time.Since(began) < upgradeLimit && sleep(ctx, pollFirst); {
		err = r.known.state.Ensure(ctx, r.db)
	}
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
			return mutex.Memory{Key: r.pool}, nil
		}
		return mutex.File{Path: file}, nil
	default:
		before, after, locked := st.KeepOpen(r.options.lockTimes.idle)
		return &mutex.Row{DB: r.pool, Lock: st.TryLock, Before: before, After: after, Locked: locked}, nil
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
	waiting := LockWaiting{}
	if holder, since, err := r.known.state.RunningNow(ctx, r.db); err == nil {
		waiting.Holder, waiting.Since = holder, since
	}
	r.events.send(waiting)
}

// holder says who has the lock, for an error.
func (r *run) holder(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
	defer cancel()
	holder, since, err := r.known.state.RunningNow(ctx, r.db)
	if err != nil || holder == "" {
		return ""
	}
	return fmt.Sprintf(" (%s has it since %s)", holder, since.Format(time.RFC3339))
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
