package gooseplus

import (
	"context"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// InProgress is what a run that has not ended is at.
type InProgress struct {
	// Connection is what the server calls the connection with the lock: "backend pid 7061" or "connection id 13". To end it
	// there ends the run. "" means that nobody has the lock, so that the process is gone, or that the database is SQLite.
	Connection string
	// Version is the first of the planned migrations that the version table doesn't have yet, or still has if it is to be
	// undone; 0 if all are done.
	Version int64
	Source  string    // as in [MigrationStatus]; "" if the migration isn't known here
	Since   time.Time // when the migration before it was recorded, or the run began; zero if that is unknown
}

// inProgress finds out what a recorded run is at. It writes nothing, and what can't be read is left out.
func (m *Migrator) inProgress(ctx context.Context, known *targets, db site, r history.Run) *InProgress {
	now := new(InProgress)
	if lock, err := known.whole.state.Mutex(ctx, db.own, db.pool, mutex.Lease{Idle: lockIdle}); err == nil {
		now.Connection, _ = lock.Holder(ctx)
	}
	i := slices.IndexFunc(known.parts, func(t *target) bool { return t.set.Namespace == r.Namespace })
	if i < 0 {
		return now
	}
	entries, err := known.parts[i].table.Entries(ctx, db.own)
	if err != nil {
		return now
	}
	var applied []int64
	var last time.Time
	for _, e := range entries {
		applied = append(applied, e.Version)
		if slices.Contains(r.Planned, e.Version) && e.At.After(last) {
			last = e.At
		}
	}
	at, first := plan.Next(r.Start, r.Planned, applied)
	if now.Version = at; at == 0 {
		return now
	}
	switch {
	case first || last.Unix() == r.Started.Unix(): // SQLite's version table knows seconds
		now.Since = r.Started.UTC()
	case last.After(r.Started):
		now.Since = last.UTC()
	}
	migration, _ := known.parts[i].set.Find(at)
	now.Source = migration.Source
	return now
}
