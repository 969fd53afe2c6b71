// Package failure makes errors readable: on one line, without what goose puts around them, without passwords, and with
// the reason for which a context has ended.
package failure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/redact"
)

// Reason is the text of err without what goose puts around it, on one line, without secrets.
func Reason(err error) string {
	if err == nil {
		return "no reason given"
	}
	var texts []string
	all := appended(err)
	for i, e := range all {
		if partial, ok := e.(*goose.PartialError); ok {
			e = errors.New(Reason(partial.Err))
		}
		// A transaction or connection that is over already, because its context ended or the server
		// went away, is what goose finds when it cleans up; the reason comes before that.
		if e != sql.ErrTxDone && e != sql.ErrConnDone || len(texts) == 0 && i == len(all)-1 {
			texts = append(texts, e.Error())
		}
	}
	return redact.Text(strings.Join(strings.Fields(strings.Join(texts, "; ")), " "))
}

// appended takes apart what goose puts together with go.uber.org/multierr, and nothing else: a
// joined error of somebody else's is one reason.
func appended(err error) []error {
	if list, ok := err.(interface{ Errors() []error }); ok {
		return list.Errors()
	}
	return []error{err}
}

// RolledBack says whether the transaction of a step that failed was rolled back on its connection:
// goose adds the error of a rollback that failed to the step's own.
func RolledBack(err error) bool {
	var partial *goose.PartialError
	return errors.As(err, &partial) && len(appended(partial.Err)) == 1
}

// Tidy is err with the text that people need of it.
type Tidy struct{ Err error }

func (e Tidy) Error() string { return Reason(e.Err) }
func (e Tidy) Unwrap() error { return e.Err }

// Tidied is a Tidy of err, nil if that is nil.
func Tidied(err error) error {
	if err == nil {
		return nil
	}
	return Tidy{err}
}

// timeoutError is the cause of a context that one of the timeouts ended.
type timeoutError struct {
	what  string
	after time.Duration
}

// Timeout is the cause of a context that the timeout of the given name ended.
func Timeout(what string, after time.Duration) error { return &timeoutError{what, after} }

func (e *timeoutError) Error() string { return fmt.Sprintf("the %s of %v is over", e.what, e.after) }

func (e *timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Limit is context.WithTimeout with a cause that says which limit it was; 0 is none.
func Limit(ctx context.Context, d time.Duration, what string) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, Timeout(what, d))
}

// stoppedError is err as it looks once ctx has ended: the driver only knows that it was
// interrupted, the context's cause says why.
type stoppedError struct {
	cause, ctxErr, err error
}

// Stopped adds the cause of ctx to err, if ctx has ended.
func Stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &stoppedError{cause: context.Cause(ctx), ctxErr: ctx.Err(), err: err}
}

func (e *stoppedError) Error() string {
	if e.err == nil || errors.Is(e.cause, e.err) || errors.Is(e.err, e.cause) {
		return Reason(e.cause)
	}
	return Reason(e.cause) + ": " + Reason(e.err)
}

func (e *stoppedError) Unwrap() []error {
	if e.err == nil {
		return []error{e.cause, e.ctxErr}
	}
	return []error{e.cause, e.ctxErr, e.err}
}

// Join is errors.Join that leaves a single error as it is, and its message on one line.
func Join(errs ...error) error {
	var all error
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// IgnoreDone drops the error of a transaction that its context has rolled back already.
func IgnoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Ref is how a migration is called in messages.
func Ref(version int64, source string) string {
	if source == "" {
		return fmt.Sprint(version)
	}
	return fmt.Sprintf("%d (%s)", version, source)
}
