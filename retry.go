package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/session"
)

const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 2 * time.Second
)

// attempts has goose run a step for which the recorder is prepared, again and again while somebody
// else is in the way and the options say so. In the pauses goose has no connection, so that nobody
// waits for this run. ctx covers them all; if it ends in a pause, the error is that of the attempt
// before.
func (r *run) attempts(ctx context.Context, step plannedStep) error {
	var before error
	for attempt, pause := 1, retryFirst; ; attempt, pause = attempt+1, min(2*pause, retryLast) {
		r.trace.reset()
		r.session.StartStep(ctx, session.Step{Function: step.function, InTransaction: step.gooseTransaction, Watched: step.watched})
		_, err := r.provider.ApplyVersion(ctx, step.Version, step.Direction == directionUp)
		r.session.EndStep()
		if err == nil {
			return nil
		}
		if !r.again(ctx, step, attempt, err) {
			return r.repeated(attempt, err, before)
		}
		wait := pause/2 + rand.N(pause/2)
		if !r.timeFor(ctx, step, wait) {
			<-ctx.Done()
			return r.repeated(attempt, err, before)
		}
		r.events.send(Warning{Message: fmt.Sprintf("migration %s %s: attempt %d failed, there will be another one: %s",
			ref(step.Version, step.Source), step.Direction, attempt, reason(err))})
		if !sleep(ctx, wait) {
			return r.repeated(attempt, err, before)
		}
		before = err
		r.recorder.Again()
	}
}

// again says whether the attempt that failed with err is to be followed by another one: only if it
// left nothing, and if nothing but another session was in its way. In the one transaction of a whole run
// the pause would keep the locks of all migrations before.
func (r *run) again(ctx context.Context, step plannedStep, attempt int, err error) bool {
	t := r.options.statementTimeouts
	if t == nil || r.options.oneTransaction() || t.Retries < 0 || t.Retries > 0 && attempt > t.Retries || ctx.Err() != nil {
		return false
	}
	var panicked *panicError
	return r.contention(err) && !errors.As(err, &panicked) &&
		!r.maybeRecorded(step, err) && r.leftNothing(ctx, step, err)
}

func (r *run) contention(err error) bool { return r.part.dialect.Contention(err) }

// timeFor says whether to wait and try the step again makes sense. Where DDL commits by itself, a
// statement that the end of ctx interrupts may be executed all the same, while one that the server
// refuses is not: so none is begun that would still be waiting for its lock then.
func (r *run) timeFor(ctx context.Context, step plannedStep, wait time.Duration) bool {
	deadline, limited := ctx.Deadline()
	return !limited || step.Transactional ||
		time.Until(deadline) > wait+up(r.options.statementTimeouts.Lock, time.Second)
}

// repeatedError is the error of a step that was tried more than once.
type repeatedError struct {
	attempts int
	err      error // of the last one
	before   error // of the one before, if the last one doesn't tell what was in the way
}

// repeated makes the error of a step of that of its last attempt.
func (r *run) repeated(attempts int, err, before error) error {
	if attempts == 1 {
		return err
	}
	if r.contention(err) {
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
	text := fmt.Sprintf("attempt %d: %s", e.attempts, reason(e.err))
	if e.before != nil {
		text += fmt.Sprintf(" (attempt %d: %s)", e.attempts-1, reason(e.before))
	}
	return text
}

func (e *repeatedError) Unwrap() []error {
	if e.before == nil {
		return []error{e.err}
	}
	return []error{e.err, e.before}
}
