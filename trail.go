package gooseplus

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// trail is what a run leaves that had no error. A later run can undo exactly that, as long as nobody else has worked on the
// database since.
type trail struct {
	runs   []string // the run's rows in the state table; none without the lock
	parts  []partTrail
	others others
}

// partTrail is the trail in one namespace.
type partTrail struct {
	namespace string
	applied   []int64           // the versions that were not applied at the starting point, oldest first
	rows      [sha256.Size]byte // the fingerprint of the version table's rows afterwards
	strangers []int64           // the versions that another runner applied during the run
}

// trailOf is the trail of a run that has ended without an error.
func trailOf(r *run) (t trail) {
	t.others = r.looking.others
	for _, p := range r.parts {
		rows := p.found
		if slices.Contains(r.working, p) {
			rows = p.end.rows
		}
		if p.row.registered {
			t.runs = append(t.runs, p.row.id)
		}
		t.parts = append(t.parts, partTrail{p.target.set.Namespace, p.ledger.Added(), rows.Fingerprint(), p.ledger.Strangers(rows)})
	}
	return t
}

// applied are the versions of all namespaces, in the order in which they were applied.
func (t trail) applied() (list []int64) {
	for _, p := range t.parts {
		list = append(list, p.applied...)
	}
	return list
}

// undo is a run that undoes exactly what the run of the trail applied, newest first. It refuses a database on which another
// process has worked since: that process may have built on these versions.
func (m *Migrator) undo(ctx context.Context, t trail) error { return m.migrateIf(ctx, t.goals, t.vet) }

// errWorkedOn is the refusal to undo something that another process may have built on.
var errWorkedOn = failure.Outcome("another process has worked on this database since")

func workedOn(what string, args ...any) error {
	return fmt.Errorf("%w: %s. Nothing was touched", errWorkedOn, fmt.Sprintf(what, args...))
}

func (t trail) goals(namespace string) goal {
	return func(_, applied []int64) (down, up []int64, err error) {
		var ours []int64
		for _, p := range t.parts {
			if p.namespace == namespace {
				ours = p.applied
			}
		}
		if gone, _ := plan.Diff(ours, applied); len(gone) > 0 {
			return nil, nil, workedOn("it undid %v", gone)
		}
		for _, v := range slices.Backward(applied) {
			if slices.Contains(ours, v) {
				down = append(down, v)
			}
		}
		return down, nil, nil
	}
}

// vet refuses a database on which another process has worked since.
func (t trail) vet(ctx context.Context, r *run) error {
	if r.holding != nil {
		list, err := r.whole.state.Runs.List(ctx, r.db.own)
		if err != nil {
			return r.whole.stateError(ctx, err)
		}
		if err := t.last(list); err != nil {
			return err
		}
	}
	for i, p := range r.parts {
		for _, step := range p.steps {
			if err := t.others.mayTake(p, step); err != nil {
				return p.target.named(err)
			}
		}
		rows, err := p.owned(ctx, r.db.own, false)
		if err != nil {
			return p.target.named(p.target.tableError(ctx, err))
		}
		switch was := t.parts[i]; {
		case len(was.strangers) > 0:
			return p.target.named(workedOn("it applied %v", was.strangers))
		case rows.Fingerprint() != was.rows:
			return p.target.named(workedOn("the applied versions are %v, and not what this call left", rows.Applied))
		}
	}
	return nil
}

// last refuses a database whose state table has a run that ended after the runs of the trail. Only the end counts: a run that
// began before them may have waited for the lock.
func (t trail) last(recorded []history.Run) error {
	var ended time.Time
	for _, run := range recorded {
		if slices.Contains(t.runs, run.ID) && run.Ended.After(ended) {
			ended = run.Ended
		}
	}
	for _, run := range recorded {
		if !slices.Contains(t.runs, run.ID) && !(run.Ended.Before(ended) && !run.Ended.IsZero()) {
			return workedOn("the run of %s, started %s", run.Holder, run.Started.Format(time.RFC3339))
		}
	}
	if ended.IsZero() {
		return workedOn("the run of this call is no longer recorded")
	}
	return nil
}
