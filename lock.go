package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/wait"
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
	// nameLimit is how long the error of a process that did not get the lock waits for the holder's name. Where the
	// network is cut, its last call and this one both go on for a while after their time: 5 seconds are to be enough
	// for both.
	nameLimit = time.Second / 2

	// tryLimit is how long a try for the lock may take when the wait for it is over.
	tryLimit = 5 * time.Second
	// lookLimit is how long the look of a run that is to have the lock waits: the holder's migration may keep
	// everybody from the version table, and who has the lock is told without it.
	lookLimit = time.Second
	// upgradeLimit is how long a run without the lock waits for others that are at the state table.
	upgradeLimit = 5 * time.Second
)

// WithGlobalLock lets one of any number of processes migrate at a time: the others wait, and are
// done without migrating when nothing is left to do. The lock belongs to the version table, or to all
// version tables of the namespaces. It is an advisory lock of an open transaction on PostgreSQL (manual, section
// 13.3.5), GET_LOCK on MySQL and MariaDB, each on a connection of its own, so that the server frees it when its
// holder dies; on SQLite it is a lock on a file beside the database. A holder that was declared dead can't commit.
//
// It takes one connection, and another one while a step runs outside a transaction. A pool that is too small, such as
// one with SetMaxOpenConns(1), is an error, except on SQLite. On dialects other than PostgreSQL, MySQL (MariaDB)
// and SQLite it is a configuration fault.
//
// The default is false.
func WithGlobalLock(lock bool) Option {
	return optionFunc(func(o *options) { o.globalLock = lock })
}

// WithLockWait limits the wait for the global lock, and for statements that the server still executes for a run that
// was cut off. When the time is exceeded, the run returns [ErrLocked]. Zero tries once; a negative duration waits
// as long as the run may take ([WithTimeout]).
//
// The default is to wait as long as the run may take.
func WithLockWait(d time.Duration) Option {
	return optionFunc(func(o *options) { o.lockWait = d })
}

// lockTimes are lockIdle, lockBeat and lockPatience; tests have less time.
type lockTimes struct {
	idle  time.Duration
	beats mutex.Beats
}

// withLock calls what under the lock, if the options ask for one. It doesn't call what if another run has left nothing to
// do.
func (r *run) withLock(ctx context.Context, needed func(context.Context) (bool, error), what func(context.Context) error) (err error) {
	if !r.options.globalLock {
		if _, err := r.makeSchema(ctx); err != nil {
			return err
		}
		defer r.patient()()
		return what(ctx)
	}
	h, err := (&waiter{run: r, needed: needed}).hold(ctx)
	r.endWait(err)
	if err != nil || h == nil {
		return err
	}
	r.holding = h
	defer r.patient()()
	caller := ctx
	defer func() {
		err = h.release(caller, err)
		r.holding = nil
	}()
	ctx, cancel := h.during(ctx)
	defer cancel()
	return what(ctx)
}

// whileWaiting is a context that ends with the wait for a lock.
func (o *options) whileWaiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.lockWait < 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, o.lockWait, failure.Timeout("wait for the lock", o.lockWait))
}

// waiter is a run that waits for the global lock. While somebody else has it, it holds neither a transaction nor a
// statement: it sleeps, asks whether it is still needed, and tries.
type waiter struct {
	run     *run
	needed  func(context.Context) (bool, error) // whether there is something to do
	mutex   mutex.Mutex
	waiting context.Context // ends with the wait for the lock
	holder  string          // the server's name for the connection that has the lock; "" if none was found
	refused bool            // a try found that somebody has the lock
	idle    bool            // a try found that nothing is left to do
	busy    error           // of SQLite: why the last try ended though the lock was free, as somebody else writes to the file
}

// hold takes the global lock. If the run that this one waited for has left nothing to do, there is nothing to lock for
// either: the holding is nil then, without an error.
func (w *waiter) hold(ctx context.Context) (_ *holding, err error) {
	r := w.run
	if r.db.own.Stats().MaxOpenConnections == 1 && !r.whole.oneWriter() {
		return nil, errors.New("the lock takes a connection for itself, and the pool has SetMaxOpenConns(1)")
	}
	if w.mutex, err = r.whole.mutex(ctx, r.db, mutex.Lease{Idle: r.options.lockTimes.idle, Name: r.parts[0].applicationName()}); err != nil {
		return nil, err
	}
	var cancel context.CancelFunc
	w.waiting, cancel = r.options.whileWaiting(ctx)
	defer cancel()
	for began := time.Now(); ; {
		h, err := w.try(ctx)
		if err != nil || h != nil || w.idle {
			return h, err
		}
		w.refused = w.busy == nil
		for free := false; !free; {
			if !wait.Sleep(w.waiting, wait.Poll(time.Since(began))) {
				return w.lastTry(ctx)
			}
			w.waiting = r.announceWait(w.waiting)
			if r.whole.oneWriter() {
				break // to read would get in the holder's way
			}
			if w.holder, err = w.mutex.Holder(w.waiting); err != nil {
				break // the next try finds out more
			}
			free = w.holder == ""
		}
		if err != nil && w.waiting.Err() != nil {
			return w.lastTry(ctx)
		}
		if r.whole.oneWriter() || err != nil {
			continue
		}
		// The run that this one waited for has ended: it may have left nothing to do.
		more, err := w.needed(w.waiting)
		if err != nil && w.waiting.Err() != nil {
			return w.lastTry(ctx)
		}
		if err != nil || !more {
			return nil, err
		}
	}
}

// lastTry tries once more after the wait is over: the holder may have just released the lock.
func (w *waiter) lastTry(ctx context.Context) (h *holding, err error) {
	if ctx.Err() == nil {
		soon, cancel := context.WithTimeout(ctx, answerLimit)
		w.holder, err = w.mutex.Holder(soon)
		cancel()
		if w.run.options.lockWait > 0 && err == nil && w.holder == "" {
			if h, err = w.try(ctx); h != nil || w.idle || errors.Is(err, ErrLocked) {
				return h, err
			}
		}
	}
	if err == nil {
		err = w.busy
	}
	return nil, w.locked(ctx, w.waiting, err)
}

// locked is the error of a run that did not get the lock before the context ended.
func (w *waiter) locked(ctx, ended context.Context, err error) error {
	return fmt.Errorf("%w: %w%s", ErrLocked, failure.Stopped(ended, err), w.whoHasIt(ctx))
}

// whoHasIt names the holder of the lock, for an error. If no holder was found, it says what else was in the way, if that is known.
func (w *waiter) whoHasIt(ctx context.Context) string {
	if w.holder == "" && !w.refused {
		if stats := w.run.db.pool.Stats(); stats.MaxOpenConnections > 0 && stats.InUse >= stats.MaxOpenConnections {
			return fmt.Sprintf(" (all %d connections of the pool are in use, see SetMaxOpenConns of the *sql.DB)", stats.MaxOpenConnections)
		}
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nameLimit)
	defer cancel()
	holder, since, err := w.run.whole.state.Runs.RunningNow(ctx, w.run.db.own)
	switch {
	case err == nil && holder != "" && w.holder != "":
		return fmt.Sprintf(" (%s has it since %s, %s)", holder, since.Format(time.RFC3339), w.holder)
	case err == nil && holder != "":
		return fmt.Sprintf(" (%s has it since %s)", holder, since.Format(time.RFC3339))
	case w.holder != "":
		return fmt.Sprintf(" (%s has it)", w.holder)
	}
	return ""
}

// try tries once to get the lock. w.waiting also limits how long it waits for statements of dead runs.
func (w *waiter) try(ctx context.Context) (*holding, error) {
	w.busy = nil
	held, err := w.tryMutex(ctx)
	if err != nil || held == nil {
		return nil, err
	}
	h := newHolding(ctx, w.run, held)
	within, cancel := h.during(ctx)
	defer cancel()
	waiting, cancelWaiting := h.during(w.waiting)
	defer cancelWaiting()
	w.run.locate(held)
	if err = w.lookHeld(within); w.idle {
		return nil, h.unlock(ctx)
	}
	if err == nil {
		h.setUp(within)
	}
	if err == nil && !h.fresh {
		if h.created, err = w.run.makeSchema(within); err == nil {
			err = w.run.makeState(within, waiting)
		}
		if err == nil {
			err = h.takeOver(within, waiting)
		}
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrLocked) {
		err = w.locked(ctx, ctx, err) // nothing was touched
	}
	if err != nil {
		busy := w.run.whole.oneWriter() && w.run.whole.dialect.Contention(err) && !errors.Is(err, ErrLocked)
		err = failure.Join(h.dropCreated(err), h.unlock(ctx))
		if busy && !errors.Is(err, ErrLockLost) {
			w.busy = err // somebody writes to the file for a moment
			return nil, nil
		}
		return nil, err
	}
	return h, nil
}

// lookHeld looks under the lock if the look before got no answer, and asks for foreign histories, before anything is
// created. If nothing is left to do, the run ends without writing anything: its role may have no right to.
func (w *waiter) lookHeld(ctx context.Context) error {
	looking := &w.run.looking
	looking.held = true
	if w.run.parts[0].view.blind { // the holder that blocked the table is gone, or the server was slow
		needed, err := w.needed(ctx)
		if w.idle = err == nil && !needed; err != nil || w.idle {
			return err
		}
	}
	return looking.vetHeld(ctx)
}

// tryMutex asks the server once. It has up to tryLimit for the answer even if the wait for the lock is over, because
// WithLockWait(0) leaves no time at all.
func (w *waiter) tryMutex(ctx context.Context) (mutex.Held, error) {
	within, cancel := context.WithCancel(ctx)
	if deadline, ok := w.waiting.Deadline(); ok {
		within, cancel = context.WithDeadline(ctx, later(deadline, time.Now().Add(tryLimit)))
	}
	defer cancel()
	held, err := w.mutex.TryLock(within)
	switch {
	case err == nil:
		return held, nil
	case ctx.Err() != nil:
		return nil, w.locked(ctx, ctx, err)
	case within.Err() != nil:
		return nil, w.locked(ctx, within, err)
	}
	return nil, w.run.whole.tableError(ctx, err)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// announceWait tells the observers, once in a run, that it has to wait. It returns the context of the wait.
func (r *run) announceWait(ctx context.Context) context.Context {
	if r.progress.waited {
		return ctx
	}
	r.progress.waited = true
	if r.events.silent() {
		return ctx
	}
	began := time.Now()
	soon, cancel := context.WithTimeout(ctx, answerLimit) // the holder may keep everybody from the table
	defer cancel()
	waiting := LockWaiting{}
	if holder, since, err := r.whole.state.Runs.RunningNow(soon, r.db.own); err == nil {
		waiting.Holder, waiting.Since = holder, since
	}
	ctx, end := r.events.begin(ctx, waiting)
	r.progress.waitEnds = func(err error) {
		r.events.send(LockWaitFinished{Duration: time.Since(began), Err: err})
		end()
	}
	return ctx
}

// mutex is the lock that suits the database.
func (t *target) mutex(ctx context.Context, db site, lease mutex.Lease) (mutex.Mutex, error) {
	m, err := t.state.Mutex(ctx, db.own, db.pool, lease)
	if err != nil {
		return nil, t.tableError(ctx, err)
	}
	return m, nil
}

// locate has this run call the state table by the name that the server has for it: what a migration, or the
// application, sets the search_path to doesn't matter any more.
func (r *run) locate(held mutex.Held) {
	located := r.whole.state.Under(held)
	r.whole.state = located
	for _, p := range r.parts {
		p.target.state = located
	}
}

// oneWriter is true of SQLite: a read fails with "database is locked" while another process writes, so only the holder of
// the lock can rely on its reads.
func (t *target) oneWriter() bool { return t.dialect.OneWriter() }

// makeState makes sure of the state table. Replicas of older versions that use it are waited for.
func (r *run) makeState(ctx, waiting context.Context) error {
	for began := time.Now(); ; {
		err := r.whole.state.Ensure(ctx, r.db.own, r.parts.tables()...)
		if err == nil {
			return nil
		}
		if !errors.Is(err, history.ErrBusy) {
			return r.whole.stateError(ctx, err)
		}
		waiting = r.announceWait(waiting)
		if !wait.Sleep(waiting, wait.Poll(time.Since(began))) {
			return fmt.Errorf("%w: %w: %w", ErrLocked, failure.Stopped(waiting, nil), err)
		}
	}
}

// ensureState makes sure of the state table, once, where the run has no lock. With the lock, it is there.
func (r *run) ensureState(ctx context.Context) error {
	if r.holding != nil || r.progress.stateReady {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, upgradeLimit)
	defer cancel()
	err := r.makeState(ctx, waiting)
	r.endWait(err)
	r.progress.stateReady = err == nil
	return err
}
