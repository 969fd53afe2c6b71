package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/gooseplus/gooseplus/internal/mutex"
)

// orphans are connections of the run that broke, by what the server calls them: it may still execute what
// it was told last.
type orphans struct {
	mu   sync.Mutex // a Go migration may give connections back on any goroutine
	list []string
	last map[string]string // what each was found executing; used by letGo alone
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

func (o *orphans) found(backend, what string) {
	if o.last == nil {
		o.last = make(map[string]string)
	}
	o.last[backend] = what
}

func (o *orphans) remove(backend string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = slices.DeleteFunc(o.list, func(b string) bool { return b == backend })
}

// letGo ends the connections that the run has lost, and waits until the server has let go of them:
// what comes next would work beside a statement that was interrupted here and not there. If it can't be
// done before ctx ends, nothing may come next.
func (r *run) letGo(ctx context.Context) error {
	poll := pollFirst
	for {
		backend := r.orphans.first()
		if backend == "" {
			return nil
		}
		gone, err := r.interrupt(ctx, backend)
		if gone {
			r.orphans.remove(backend)
			continue
		}
		if !sleep(ctx, poll) {
			return fmt.Errorf("the server may still execute a statement that was interrupted: %w", stopped(ctx, err))
		}
		poll = min(2*poll, pollLast)
	}
}

// interrupt ends a connection of the run unless it is gone.
func (r *run) interrupt(ctx context.Context, backend string) (gone bool, err error) {
	what, err := r.known.state.Executing(ctx, r.db, backend)
	if err != nil || what == "" {
		return err == nil, err
	}
	if last, again := r.orphans.last[backend]; again && last != what {
		return true, nil
	}
	r.orphans.found(backend, what)
	if !r.known.state.Kills() {
		return false, nil
	}
	// A server that was restarted counts its connections anew. As long as the mutex's connection lives,
	// this one's number can't be somebody else's.
	if err := errors.Join(r.lock.alive.Err(), mutex.Check(r.lock.held, lockPatience)); err != nil {
		return false, err
	}
	return false, r.known.state.Kill(ctx, r.db, backend)
}
