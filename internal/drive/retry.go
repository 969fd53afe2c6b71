package drive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/wait"
)

const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 2 * time.Second
)

// attempts has goose run a step for which the recorder is prepared, again and again while somebody
// else is in the way and the configuration says so. In the pauses goose has no connection, so that nobody
// waits for this run. ctx covers them all; if it ends in a pause, the error is that of the attempt
// before.
func (d *Driver) attempts(ctx context.Context, step Step) error {
	var before error
	for attempt, longest := 1, retryFirst; ; attempt, longest = attempt+1, min(2*longest, retryLast) {
		d.trace.reset()
		d.session.StartStep(ctx, session.Step{Function: step.Function, InTransaction: step.GooseTransaction, Watched: step.Watched, Plain: step.Plain})
		err := d.execute(ctx, step)
		d.session.EndStep()
		if err == nil {
			return nil
		}
		if !d.again(ctx, step, attempt, err) {
			return d.repeated(attempt, err, before)
		}
		pause := longest/2 + rand.N(longest/2)
		if !d.timeFor(ctx, step, pause) {
			<-ctx.Done()
			return d.repeated(attempt, err, before)
		}
		d.cfg.Hooks.Warn(fmt.Sprintf("%s: attempt %d failed, there will be another one: %s", step, attempt, failure.Reason(err)))
		if !wait.Sleep(ctx, pause) {
			return d.repeated(attempt, err, before)
		}
		before = err
		d.recorder.Again()
	}
}

func (d *Driver) execute(ctx context.Context, step Step) error {
	if step.Texts != nil {
		return d.executeText(ctx, step)
	}
	if step.Instead != nil {
		return d.provider.ApplyInstead(ctx, step.Version)
	}
	_, err := d.provider.ApplyVersion(ctx, step.Version, !step.Down)
	return err
}

// again says whether the attempt that failed with err is to be followed by another one: only if it
// left nothing, and if nothing but another session was in its way.
func (d *Driver) again(ctx context.Context, step Step, attempt int, err error) bool {
	if d.cfg.Retries >= 0 && attempt > d.cfg.Retries || ctx.Err() != nil {
		return false
	}
	var panicked *PanicError
	return d.cfg.Dialect.Contention(err) && !errors.As(err, &panicked) &&
		!d.maybeRecorded(step, err) && d.leftNothing(ctx, step, err)
}

// timeFor says whether to wait and try the step again makes sense. Where DDL commits by itself, a
// statement that the end of ctx interrupts may be executed all the same, while one that the server
// refuses is not: so none is begun that would still be waiting for its lock then.
func (d *Driver) timeFor(ctx context.Context, step Step, pause time.Duration) bool {
	deadline, limited := ctx.Deadline()
	return !limited || step.Transactional ||
		time.Until(deadline) > pause+d.cfg.LockWait
}

// repeatedError is the error of a step that was tried more than once.
type repeatedError struct {
	attempts int
	err      error // of the last one
	before   error // of the one before, if the last one doesn't tell what was in the way
}

// repeated makes the error of a step of that of its last attempt.
func (d *Driver) repeated(attempts int, err, before error) error {
	if attempts == 1 {
		return err
	}
	if d.cfg.Dialect.Contention(err) {
		return &repeatedError{attempts, err, nil}
	}
	// goose's own error of an attempt says whether its transaction was rolled back: here, that is the
	// last one's alone.
	var partial *goose.PartialError
	if errors.As(before, &partial) {
		before = partial.Err
	}
	return &repeatedError{attempts, err, before}
}

func (e *repeatedError) Error() string {
	text := fmt.Sprintf("attempt %d: %s", e.attempts, failure.Reason(e.err))
	if e.before != nil {
		text += fmt.Sprintf(" (attempt %d: %s)", e.attempts-1, failure.Reason(e.before))
	}
	return text
}

func (e *repeatedError) Unwrap() []error {
	if e.before == nil {
		return []error{e.err}
	}
	return []error{e.err, e.before}
}
