package drive

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// orphans are connections of the run that broke, by what the server calls them: it may still execute what
// it was told last.
type orphans struct {
	mu   sync.Mutex // a Go migration may give connections back on any goroutine
	list []string
	seen Sightings // what each was found doing; used by Await alone
}

func (o *orphans) add(backend string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, backend)
}

// first is "" if there are none.
func (o *orphans) first() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == 0 {
		return ""
	}
	return o.list[0]
}

func (o *orphans) has(backend string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Contains(o.list, backend)
}

func (o *orphans) remove(backend string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = slices.DeleteFunc(o.list, func(b string) bool { return b == backend })
}

// cancelPatience is how long the server has to heed the cancel request of a driver before the run ends the connection.
const cancelPatience = 2 * time.Second

// Await ends the connections that the run has lost, and waits until the server has let go of them. Otherwise the next step
// would run beside a statement that was interrupted here and goes on there. After an error no step may follow.
func (c *Connections) Await(ctx context.Context) error {
	if c == nil {
		return nil
	}
	var failing time.Time // since when it can't be asked
	for began := time.Now(); ; {
		what, err := c.interrupt(ctx)
		switch {
		case err == nil && what == "":
			return nil
		case err == nil:
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		}
		if what == "" {
			what = "which one can't be told"
		}
		if err != nil && time.Since(failing) > AskFor {
			c.cfg.Patience.End()
		}
		if err != nil && c.cfg.Patience.Over() || !wait.Sleep(ctx, wait.Poll(time.Since(began))) {
			return fmt.Errorf("the server may still execute a statement that was interrupted (%s): %w", what, failure.Stopped(ctx, err))
		}
	}
}

// AskFor is how long a server is asked again that doesn't answer: it may restart or fail over.
const AskFor = 15 * time.Second

// interrupt ends a connection that the run has lost. "" means that there is none left.
func (c *Connections) interrupt(ctx context.Context) (what string, err error) {
	for {
		name := c.orphans.first()
		if name == "" {
			break
		}
		b := history.Connection{Run: c.cfg.Run, Name: name}
		a, err := c.cfg.State.Connections.Activity(ctx, c.cfg.DB, b)
		if err != nil {
			return name, err
		}
		// An idle connection outside a transaction does nothing any more, and what is doing something else than
		// at first works for somebody else, behind a pooler.
		other := c.orphans.seen.other(name, a)
		if a.Gone || a.Idle && !a.InTransaction || other {
			c.orphans.remove(name)
			continue
		}
		return a.Who, c.orphans.seen.End(ctx, c.cfg.DB, c.cfg.State, b, a, mutex.Beats{Patience: cancelPatience})
	}
	if !c.cfg.Hooks.Fenced() {
		return "", nil
	}
	// A transaction that its connection has left may still be open on the server, and has the fence.
	a, err := c.cfg.State.Connections.Blocker(ctx, c.cfg.DB, c.cfg.Run)
	if err != nil || a == nil {
		return "", err
	}
	return a.Who, c.orphans.seen.End(ctx, c.cfg.DB, c.cfg.State, history.Connection{Run: c.cfg.Run}, *a, mutex.Beats{Patience: cancelPatience})
}
