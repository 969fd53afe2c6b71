package gooseplus

import (
	"context"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// RunOutcome says how a recorded run ended.
type RunOutcome string

// The outcomes of a run.
const (
	// RunRunning is a run that has the lock, or whose process is gone: the next holder of the lock finds that out.
	RunRunning    RunOutcome = "running"
	RunMigrated   RunOutcome = "migrated"    // it succeeded
	RunForced     RunOutcome = "forced"      // it was [Migrator.Force]
	RunAccepted   RunOutcome = "accepted"    // it was [Migrator.Accept]
	RunRolledBack RunOutcome = "rolled back" // it failed, and the database is where it was
	RunFailed     RunOutcome = "failed"      // it failed, and the database is at To
	RunCutOff     RunOutcome = "cut off"     // its process is gone; the next run takes over its starting point
	RunCrashed    RunOutcome = "crashed"     // its process is gone, and a later run has taken over from it
)

// Run is what the state table remembers of a run that had the lock.
type Run struct {
	Namespace string    // "" when the run had no namespace
	Holder    string    // host/process id/run
	Started   time.Time // by the clock of its host, in UTC
	Ended     time.Time // the zero time while it is running
	From, To  int64     // the highest version applied before and after; To is 0 while it is running
	Outcome   RunOutcome
	// Application is the version of the application that ran, see [WithApplicationVersion].
	Application string
	Error       string // on one line, without passwords; "" if it succeeded
	// InProgress is what the newest run of all is at, if it is [RunRunning]; otherwise nil.
	InProgress *InProgress
}

// Runs returns the last hundred runs that had the lock ([WithGlobalLock]) and something to do, newest first. A run whose
// Outcome is [RunRunning] has the lock now, unless its process is gone. Runs executes two statements at most, and two more
// while a run is in progress. It is read-only, and neither takes the lock nor waits for it. A run over several namespaces gives
// one Run for each namespace, the last one first; with a chosen namespace, only its runs are returned. Dialects that gooseplus
// leaves to goose (see [WithDialect]) record no runs. A database that can't be read gives [ErrMigrationTable].
func (m *Migrator) Runs(ctx context.Context) ([]Run, error) {
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	if known.whole.state == nil {
		return nil, nil
	}
	recorded, err := known.whole.state.Runs.Recorded(ctx, db.own)
	if err == nil && len(recorded) == 0 && m.options.bound {
		_, err = known.whole.schemaMissing(ctx, db.own)
	}
	if err != nil {
		return nil, m.named(known.whole.stateError(ctx, err))
	}
	runs := []Run{}
	for _, r := range recorded {
		if m.options.namespace != "" && r.Namespace != m.options.namespace {
			continue
		}
		runs = append(runs, Run{
			Namespace: r.Namespace, Holder: r.Holder, Started: r.Started, Ended: r.Ended, From: r.From, To: r.To,
			Outcome: RunOutcome(r.Outcome), Application: r.Application, Error: redact.Text(r.Error),
		})
		if last := &runs[len(runs)-1]; last.Outcome == RunRunning && len(runs) == 1 {
			last.InProgress = m.inProgress(ctx, known, db, r)
		}
	}
	return runs, nil
}

// InProgress says which migration a run that has not ended is working on.
type InProgress struct {
	// Connection is what the server calls the connection with the lock: "backend pid 7061" or "connection id 13". Ending
	// it there ends the run. "" means that the database is SQLite, or that nobody has the lock: the process is gone.
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
