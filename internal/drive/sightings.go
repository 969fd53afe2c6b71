package drive

import (
	"context"
	"database/sql"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
)

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
// by then. A connection of another user is left alone.
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
