// Package wait has the ways in which a run waits.
package wait

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// pollFirst and pollLast bound the mean time between two looks of a process that waits.
	pollFirst = 20 * time.Millisecond
	pollLast  = 150 * time.Millisecond
)

// Poll is how long a process that has waited for so long sleeps before it looks again: a part of that, so that many of
// them don't keep the server from the work that they wait for, nor sleep for long when it is done.
func Poll(waited time.Duration) time.Duration {
	d := min(max(waited/8, pollFirst), pollLast)
	return d*3/4 + rand.N(d/2)
}

// Sleep returns false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Outlive is a context that ends a while after ctx.
func Outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}

// Patience with a server that doesn't answer lasts once for a whole run: after that, the server counts as gone.
type Patience struct{ over bool }

// End ends it.
func (p *Patience) End() { p.over = true }

// Over says whether it has ended.
func (p *Patience) Over() bool { return p.over }
