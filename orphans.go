package gooseplus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
)

// orphans are connections of the run that broke, by what the server calls them: it may still execute what
// it was told last.
type orphans struct {
	mu   sync.Mutex // a Go migration may give connections back on any goroutine
	list []string
	seen sightings // what each was found doing; used by letGo alone
}

func (o *orphans) add(backend string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, backend)
}

// first is "" if there are none.
func (o *orphans) first() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == 0 {
		return ""
	}
	return o.list[0]
}

func (o *orphans) remove(backend string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = slices.DeleteFunc(o.list, func(b string) bool { return b == backend })
}

// cancelPatience is how long the server has to heed the cancel request of a driver before the run ends the connection.
const cancelPatience = 2 * time.Second

// letGo ends the connections that the run has lost, and waits until the server has let go of them:
// what comes next would work beside a statement that was interrupted here and not there. If it can't be
// done before ctx ends, or the server can't be asked for as long as reread tries, nothing may come next.
func (r *run) letGo(ctx context.Context) error {
	var failing time.Time // since when it can't be asked
	for began := time.Now(); ; {
		what, err := r.interrupt(ctx)
		switch {
		case err == nil && what == "":
			return nil
		case err == nil:
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		}
		if what == "" {
			what = "which one can't be told"
		}
		r.gone = r.gone || err != nil && time.Since(failing) > reconnectFor
		if err != nil && r.gone || !sleep(ctx, poll(time.Since(began))) {
			return fmt.Errorf("the server may still execute a statement that was interrupted (%s): %w", what, stopped(ctx, err))
		}
	}
}

// interrupt ends a connection that the run has lost. "" means that there is none left.
func (r *run) interrupt(ctx context.Context) (what string, err error) {
	st := r.part.state
	for {
		name := r.orphans.first()
		if name == "" {
			break
		}
		b := history.Connection{Run: r.id, Name: name}
		a, err := st.Connections.Activity(ctx, r.db, b)
		if err != nil {
			return name, err
		}
		// On PostgreSQL an idle connection outside a transaction does nothing any more, and what is doing something else than
		// at first works for somebody else, behind a pooler.
		other := r.orphans.seen.other(name, a)
		if a.Gone || r.part.dialect.Goose == goose.DialectPostgres && (a.Idle && !a.InTransaction || other) {
			r.orphans.remove(name)
			continue
		}
		return a.Who, r.end(ctx, b, a, &r.orphans.seen, mutex.Beats{Patience: cancelPatience})
	}
	if r.failed == nil || r.lock == nil || r.lock.alive.Err() != nil { // the new holder is at the fence
		return "", nil
	}
	// A transaction that its connection has left may still be open on the server, and has the fence.
	a, err := st.Connections.Blocker(ctx, r.db, r.id)
	if err != nil || a == nil {
		return "", err
	}
	return a.Who, r.end(ctx, history.Connection{Run: r.id}, *a, &r.orphans.seen, mutex.Beats{Patience: cancelPatience})
}

// sightings are what connections were found doing, and since when.
type sightings map[string]sighting

type sighting struct {
	what         string
	since, first time.Time // first: whatever it did
}

// other notes what a connection does, and says whether it has been found doing something else before.
func (s *sightings) other(name string, a history.Activity) bool {
	before, ok := (*s)[name]
	if ok && before.what == a.What {
		return false
	}
	if *s == nil {
		*s = make(sightings)
	}
	now := time.Now()
	if !ok {
		before.first = now
	}
	(*s)[name] = sighting{a.What, now, before.first}
	return ok
}

// end ends a connection of a run that has lost it, or the lock: after grace.Patience if the server is executing
// something on it, and after grace.Every if it is idle. A run that lives is idle between two statements, and has noticed
// by then. One that isn't this user's is left alone.
func (r *run) end(ctx context.Context, b history.Connection, a history.Activity, seen *sightings, grace mutex.Beats) error {
	key := b.Name + " " + a.Who
	seen.other(key, a)
	left := grace.Patience - time.Since((*seen)[key].since)
	if a.Idle {
		left = grace.Every - time.Since((*seen)[key].first)
	}
	if !a.Own || left > 0 {
		return nil
	}
	return r.part.state.Connections.End(ctx, r.db, b, a)
}
