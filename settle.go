package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// settle decides, at the end of a run, what the state table keeps of it. The marks of a run that
// lost its lock stay: the next holder finds out what is true.
func (r *run) settle(ctx context.Context, err error) error {
	if errors.Is(err, ErrLockLost) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	all := err
	for _, p := range r.working {
		all = failure.Join(all, p.target.named(p.settle(ctx, p.errorOf(err))))
	}
	if !errors.Is(err, ErrRollForward) && r.progress.begun {
		if lost := persist(ctx, func() error { return r.stamps.stay(ctx, r) }); lost != nil {
			r.events.send(Warning{Message: r.whole.stateError(ctx, lost).Error()})
		}
		return all
	}
	if unknown := persist(ctx, func() error { return r.stamps.forget(ctx, r, r.progress.begun) }); unknown != nil {
		failed := r.whole.stateError(ctx, unknown)
		r.events.send(Warning{Message: failed.Error()})
		all = failure.Join(all, fmt.Errorf("the database may remember the environments %q: %w", r.stamps.announced, failed))
	}
	return all
}

// settle settles the mark of a part that has ended with err. If what stays there will have later runs refused for
// nothing, that is its error.
func (p *part) settle(ctx context.Context, err error) error {
	if errors.Is(err, ErrLockLost) {
		return nil
	}
	var stuck *RollbackError
	dirty := errors.As(err, &stuck) && errors.Is(stuck.Err, ErrDirty)
	unsettled := persist(ctx, func() error { return p.mark.settle(ctx, dirty) })
	if unsettled == nil {
		return nil
	}
	failed := p.target.stateError(ctx, unsettled)
	p.events.send(Warning{Message: failed.Error()})
	if err == nil || dirty { // the mark is there, though it may not say that the step failed
		return nil
	}
	return fmt.Errorf("the dirty mark of migration %s may remain: later runs are then refused until Force is called with the version that the database is at: %w",
		ref(p.mark.at.Version, p.mark.at.Source), failed)
}

// persist tries again, with pauses, because the server has to know.
func persist(ctx context.Context, try func() error) (err error) {
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		if err = try(); err == nil || pause > time.Second || !wait.Sleep(ctx, pause) {
			return err
		}
	}
}
