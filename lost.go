package gooseplus

import (
	"context"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
)

// lost returns the steps of this run that were executed, and of which the version table tells the contrary: a
// migration has deleted rows, or left open the transaction in which goose wrote one. The last one comes first.
func (r *run) lost(rows history.Rows) (list []plannedStep) {
	unsure := func(v int64) bool { // of this one the table tells the truth
		return r.failed != nil && r.failed.maybeRecorded && r.failed.step.Version == v
	}
	for _, v := range slices.Backward(r.mine) {
		if _, own := r.keys[v]; own && !unsure(v) && !slices.Contains(rows.Applied, v) {
			list = append(list, r.step(v))
		}
	}
	for _, v := range slices.Backward(r.undone) {
		if slices.Contains(rows.Applied, v) && rows.Same(r.found, v) && !unsure(v) {
			list = append(list, r.step(v).down())
		}
	}
	return list
}

// inOrder merges the versions that are to be undone with those that were lost, newest first: which of the lost ones
// came after which of the others, only the run knows. What it has inherited came before all.
func (r *run) inOrder(back []int64, lost []plannedStep) []int64 {
	list := slices.Clone(back)
	for _, s := range lost {
		if s.Direction == directionUp && !slices.Contains(r.start, s.Version) {
			list = append(list, s.Version)
		}
	}
	when := func(v int64) int {
		if _, own := r.keys[v]; !own {
			return -1
		}
		return slices.Index(r.mine, v)
	}
	slices.SortStableFunc(list, func(a, b int64) int { return when(b) - when(a) })
	return list
}

// undoLost executes the Down of a step up whose row is gone, as that of one that failed half-way.
func (r *run) undoLost(ctx context.Context, version int64) error {
	step := r.step(version)
	if err := r.versionLockedOnTheWayBack(step.down()); err != nil {
		return err
	}
	if err := r.mark(ctx, step); err != nil {
		return err
	}
	r.left = &step
	if err := r.undoFailed(ctx, step, history.Rows{}); err != nil {
		return err
	}
	r.left = nil
	return nil
}

// lostFault is the end of a way back that can't know what is there.
func (r *run) lostFault(s plannedStep) error {
	r.left = &s
	is := "its row in the version table is gone"
	if s.Direction == directionDown {
		is = "the version table has it still"
	}
	return fmt.Errorf("%w: %s: its %s was executed, and %s", ErrDirty, ref(s.Version, s.Source), s.Direction, is)
}
