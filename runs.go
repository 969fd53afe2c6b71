package gooseplus

import (
	"context"
	"time"

	"github.com/gooseplus/gooseplus/internal/redact"
)

// RunOutcome says how a recorded run ended.
type RunOutcome string

// The outcomes of a run.
const (
	// RunRunning is a run that has the lock, or one whose process is gone and of which the next holder of
	// the lock will find that out.
	RunRunning    RunOutcome = "running"
	RunMigrated   RunOutcome = "migrated"    // it did what it was to do
	RunForced     RunOutcome = "forced"      // it was [Migrator.Force]
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
	Error     string // on one line, without passwords; "" if it succeeded
}

// Runs returns the runs that the state table remembers, newest first: the last hundred of those that had
// the lock ([WithGlobalLock]) and something to do. One whose Outcome is [RunRunning] has the lock now,
// unless its process is gone. It executes two statements at most; it writes nothing, creates nothing, and neither
// takes the lock nor waits for it. A run over several namespaces is one for each of them, the last one first; those of
// other namespaces are left out if one was chosen. Dialects that gooseplus leaves to goose (see [WithDialect]) remember no
// runs. A database that can't be read gives [ErrMigrationTable].
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
			Outcome: RunOutcome(r.Outcome), Error: redact.Text(r.Error),
		})
	}
	return runs, nil
}
