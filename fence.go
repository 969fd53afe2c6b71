package gooseplus

import (
	"context"
	"fmt"
	"slices"
)

// unfenced says whether the run may execute anything that no row lock covers: a step, its Down, or what it has to undo
// of runs that were cut off.
func (r *run) unfenced() bool {
	return !r.oneWriter() && (len(r.unfinished) > 0 || slices.ContainsFunc(r.steps, unfenced) ||
		slices.ContainsFunc(r.ledger.Owed(), func(v int64) bool { return unfenced(r.step(v)) }))
}

// unfenced says whether a step, or its Down, has parts that no row lock covers.
func unfenced(s plannedStep) bool {
	return !s.sections[0].Transactional || !s.sections[1].Transactional
}

// stillOurs is the error of a run that was declared dead.
func (r *run) stillOurs(ours bool) error {
	if ours {
		return nil
	}
	return r.declaredDead()
}

// declaredDead is the end of a run that another runner has declared dead. That one has the lock: so nothing is undone either.
func (r *run) declaredDead() error {
	err := fmt.Errorf("%w: another runner has declared this one dead", ErrLockLost)
	if r.lock != nil {
		r.lock.end(err)
	}
	return err
}

// awaitOrphans waits until the server has let go of the connections that the run has lost.
func (r *run) awaitOrphans(ctx context.Context) error {
	if r.driver == nil {
		return nil
	}
	return r.driver.AwaitOrphans(ctx)
}
