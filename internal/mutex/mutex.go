// Package mutex lets one of many processes go on, and tells it when it has lost that right.
//
// There are three kinds, after what the database can do: a row that an open transaction keeps locked,
// so that the server frees it when its holder dies; a file lock beside an SQLite file, which the
// kernel frees; and a lock within the process, for SQLite in memory.
package mutex

import (
	"context"
	"errors"
	"time"
)

// A Mutex is tried, never waited for: a process that waits inside the server would hold a snapshot,
// and CREATE INDEX CONCURRENTLY in the holder would wait for it for ever.
type Mutex interface {
	// TryLock returns nil and no error when somebody else has the mutex.
	TryLock(ctx context.Context) (Held, error)
}

// Held is a mutex that this process has.
type Held interface {
	// Check asks whether the mutex is still held. It may block for longer than ctx lives.
	Check(ctx context.Context) error
	// Release gives the mutex back. It doesn't wait for longer than ctx lives.
	Release(ctx context.Context) error
}

// Beats says how often a held mutex is checked and how long a check may take.
type Beats struct {
	Every, Patience time.Duration
}

// Watch checks a held mutex until stop is called, and calls lost, once, when a check fails or takes
// too long. stop waits for the watch to end, and so for a check that is under way, whose
// interruption would break the transaction it is made in.
func Watch(held Held, beats Beats, lost func(error)) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(beats.Every)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
			if err := Check(held, beats.Patience); err != nil {
				lost(err)
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

var errNoAnswer = errors.New("the server doesn't answer")

// Check is held.Check that takes no longer than patience. No other context may end it.
func Check(held Held, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- held.Check(ctx) }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	select { // it may have answered at the last moment
	case err := <-answer:
		return err
	default:
		return errNoAnswer
	}
}
