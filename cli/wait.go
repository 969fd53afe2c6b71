package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus"
)

// waitPause is the pause between two looks for a SQLite file.
const waitPause = 200 * time.Millisecond

// wait waits until the database can be reached and nothing is pending. It limits each question to connectTimeout, so that
// one that gets no answer doesn't take all the time.
func wait(c *call, limit time.Duration) error {
	began := time.Now()
	if limit < 0 {
		return usagef("--timeout %v is negative", limit)
	}
	ctx, question := c.ctx, connectTimeout
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(c.ctx, limit, timeUp(limit))
		defer cancel()
		question = min(question, limit)
	}
	c.settings.pools.patient = true
	if t, err := c.settings.target(mainDatabase); c.settings.standalone && err == nil {
		for t.absent() {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w: there is no file %s", context.Cause(ctx), t.shown())
			case <-time.After(waitPause):
			}
		}
	}
	m, err := c.migrator(ctx)
	if err != nil {
		return err
	}
	if err := m.With(gooseplus.WithTimeout(question)).Wait(ctx); err != nil {
		return err
	}
	c.warn(m)
	c.data = map[string]any{"duration_ms": time.Since(began).Milliseconds()}
	c.out.line("the database can be reached, and nothing is pending")
	return nil
}

// timeUp is the cause of a context that has waited for so long.
type timeUp time.Duration

func (e timeUp) Error() string { return fmt.Sprintf("timeout of %v exceeded", time.Duration(e)) }
func (e timeUp) Unwrap() error { return context.DeadlineExceeded }
