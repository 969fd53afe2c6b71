package gooseplus

import (
	"context"
	"fmt"

	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/versions"
)

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
	if err := r.undoFailed(ctx, step, versions.Rows{}); err != nil {
		return err
	}
	r.left = nil
	return nil
}

// lostFault is the end of a way back that can't know what is there.
func (r *run) lostFault(c plan.Change) error {
	s := r.step(c.Version)
	if c.Down {
		s = s.down()
	}
	r.left = &s
	is := "its row in the version table is gone"
	if s.Direction == directionDown {
		is = "the version table has it still"
	}
	return fmt.Errorf("%w: %s: its %s was executed, and %s", ErrDirty, ref(s.Version, s.Source), s.Direction, is)
}
