package drive

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// orphans are connections of the run that broke, by what the server calls them: it may still execute what
// it was told last.
type orphans struct {
	mu   sync.Mutex // a Go migration may give connections back on any goroutine
	list []string
	seen Sightings // what each was found doing; used by AwaitOrphans alone
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

// AwaitOrphans ends the connections that the run has lost, and waits until the server has let go of them: what comes next
// would work beside a statement that was interrupted here and not there. If it can't be done before ctx ends, or the
// server can't be asked, nothing may come next.
func (d *Driver) AwaitOrphans(ctx context.Context) error {
	if d == nil {
		return nil
	}
	var failing time.Time // since when it can't be asked
	for began := time.Now(); ; {
		what, err := d.interrupt(ctx)
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
		if err != nil && time.Since(failing) > AskFor {
			d.cfg.Patience.End()
		}
		if err != nil && d.cfg.Patience.Over() || !wait.Sleep(ctx, wait.Poll(time.Since(began))) {
			return fmt.Errorf("the server may still execute a statement that was interrupted (%s): %w", what, failure.Stopped(ctx, err))
		}
	}
}

// AskFor is how long a server is asked again that doesn't answer: it may restart or fail over.
const AskFor = 15 * time.Second

// interrupt ends a connection that the run has lost. "" means that there is none left.
func (d *Driver) interrupt(ctx context.Context) (what string, err error) {
	for {
		name := d.orphans.first()
		if name == "" {
			break
		}
		b := history.Connection{Run: d.cfg.Run, Name: name}
		a, err := d.cfg.State.Connections.Activity(ctx, d.cfg.DB, b)
		if err != nil {
			return name, err
		}
		// An idle connection outside a transaction does nothing any more, and what is doing something else than
		// at first works for somebody else, behind a pooler.
		other := d.orphans.seen.other(name, a)
		if a.Gone || a.Idle && !a.InTransaction || other {
			d.orphans.remove(name)
			continue
		}
		return a.Who, d.orphans.seen.End(ctx, d.cfg.DB, d.cfg.State, b, a, mutex.Beats{Patience: cancelPatience})
	}
	if !d.cfg.Hooks.Fenced() {
		return "", nil
	}
	// A transaction that its connection has left may still be open on the server, and has the fence.
	a, err := d.cfg.State.Connections.Blocker(ctx, d.cfg.DB, d.cfg.Run)
	if err != nil || a == nil {
		return "", err
	}
	return a.Who, d.orphans.seen.End(ctx, d.cfg.DB, d.cfg.State, history.Connection{Run: d.cfg.Run}, *a, mutex.Beats{Patience: cancelPatience})
}

// Sightings are what connections were found doing, and since when.
type Sightings map[string]sighting

type sighting struct {
	what         string
	since, first time.Time // first: whatever it did
}

// other notes what a connection does, and says whether it has been found doing something else before.
func (s *Sightings) other(name string, a history.Activity) bool {
	before, ok := (*s)[name]
	if ok && before.what == a.What {
		return false
	}
	if *s == nil {
		*s = make(Sightings)
	}
	now := time.Now()
	if !ok {
		before.first = now
	}
	(*s)[name] = sighting{a.What, now, before.first}
	return ok
}

// End ends a connection of a run that has lost it, or the lock: after grace.Patience if the server is executing
// something on it, and after grace.Every if it is idle. A run that lives is idle between two statements, and has noticed
// by then. One that isn't this user's is left alone.
func (s *Sightings) End(ctx context.Context, db *sql.DB, st *history.State, b history.Connection, a history.Activity, grace mutex.Beats) error {
	key := b.Name + " " + a.Who
	s.other(key, a)
	left := grace.Patience - time.Since((*s)[key].since)
	if a.Idle {
		left = grace.Every - time.Since((*s)[key].first)
	}
	if !a.Own || left > 0 {
		return nil
	}
	return st.Connections.End(ctx, db, b, a)
}
