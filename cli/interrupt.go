package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// errInterrupted is the cause of a context that a signal has ended.
var errInterrupted = errors.New("interrupted")

// interruptible returns a context that the first signal ends. Any further one says what is going on: to end
// there would leave things half-done. That nobody reads the output any more is no reason to end either.
func (c *call) interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals, broken, done := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan struct{})
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // as with nohup
			signal.Notify(signals, s)
		}
	}
	signal.Notify(broken, syscall.SIGPIPE)
	go func() {
		for first := true; ; first = false {
			select {
			case <-done:
				return
			case <-signals:
			}
			if first {
				cancel(errInterrupted)
				c.out.note("interrupted: waiting until the running migrations have ended or are undone; press Ctrl-C again to see which")
				continue
			}
			c.out.note("still running: %s", c.activity.describe())
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		signal.Stop(broken)
		close(done)
		cancel(nil)
	}
}
