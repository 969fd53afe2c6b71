package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// Wait returns nil when the database can be reached and nothing is pending. It never migrates: it is for replicas and
// jobs that must not, while another process does. It asks again and again, after pauses of at most a second, as long as the
// server can't be reached or migrations are pending. With the lock ([WithGlobalLock]), a recorded run that has not ended counts
// as pending too: it may fail, and go back. Wait is read-only, and takes no lock.
//
// Only the context limits the wait ([WithTimeout] limits each question). The error then says what it waited for, names
// dirty migrations, and wraps the context's error. A configuration fault is returned at once, and so are [ErrUnknownVersion]
// with [Refuse] and every other error that waiting can't end.
func (m *Migrator) Wait(ctx context.Context) error {
	missing := ""
	for began := time.Now(); ; {
		now, err := m.awaited(ctx)
		if err != nil || now == "" {
			return err
		}
		if ctx.Err() == nil || missing == "" { // else the question was cut off
			missing = now
		}
		if !wait.Sleep(ctx, min(time.Second, 5*wait.Poll(time.Since(began)))) {
			return m.named(fmt.Errorf("%w: %s", failure.Stopped(ctx, nil), missing))
		}
	}
}

// awaited says what is missing still, "" if nothing is.
func (m *Migrator) awaited(ctx context.Context) (missing string, err error) {
	known, db, done, err := m.openAny(ctx)
	if errors.Is(err, ErrMigrationTable) && ctx.Err() == nil { // a tenant's own database
		return reason(err), nil
	}
	if err != nil {
		return "", err
	}
	defer done()
	limited, cancel := m.withTimeout(ctx)
	defer cancel()
	r := m.newRun(known, db, new(stream)) // nobody hears of this run
	defer r.disconnect(ctx)
	needed, err := r.looking.look(limited, everywhere(upTo(math.MaxInt64)))
	switch {
	case errors.Is(err, ErrMigrationTable), errors.Is(err, ErrDirty):
		return reason(err), nil
	case err != nil && limited.Err() != nil:
		return "there was no answer yet", nil
	case err != nil:
		return "", m.named(err)
	}
	n := 0
	for _, p := range r.parts {
		n += len(p.steps)
	}
	if n > 0 {
		return pending(n) + r.dirtySteps(limited), nil
	}
	if needed && r.parts[0].view.blind {
		return "there was no answer yet", nil
	}
	if needed { // it may still fail, and go back
		return "another run is in progress, or was cut off", nil
	}
	return "", nil
}

// dirtySteps says which steps keep every other process from migrating, "" if there are none.
func (r *run) dirtySteps(ctx context.Context) (text string) {
	facts, err := r.looking.facts(ctx)
	if err != nil {
		return "" // it is only an addition
	}
	for _, p := range r.parts {
		for _, s := range unfinished(p.target.own(facts), p.view.applied) {
			if s.Failed { // otherwise another process may be at it
				text += "; migration " + ref(s.Version, s.Source) + " is dirty: a person has to repair the database"
			}
		}
	}
	return text
}

func pending(n int) string {
	if n == 1 {
		return "1 migration is pending"
	}
	return fmt.Sprintf("%d migrations are pending", n)
}
