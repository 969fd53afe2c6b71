// Package mutex lets one of many processes go on, and tells it when it has lost that right.
//
// There are four kinds: a transaction-level advisory lock (PostgreSQL) and a user-level lock (MySQL and
// MariaDB), each on a connection of its own, which the server frees when that connection ends; a file lock
// beside an SQLite file, which the kernel frees; and a lock within the process, for SQLite in memory. None of
// them needs a table, so the holder may create, upgrade, alter and drop any.
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
	// Holder asks who has the mutex, without taking it: a probe that took it would make somebody's only try
	// fail. "" means that it is free, or that only a try can tell.
	Holder(ctx context.Context) (string, error)
}

// Held is a mutex that this process has.
type Held interface {
	// Check asks whether the mutex is still held. It may block for longer than ctx lives.
	Check(ctx context.Context) error
	// Release gives the mutex back. An error means that it was not held to the end. It doesn't wait for longer
	// than ctx lives.
	Release(ctx context.Context) error
	// Abandon closes a mutex that is lost, without a word to the server, which may never answer.
	Abandon()
}

// Beats says how often a held mutex is checked and how long a check may take.
type Beats struct {
	Every, Patience time.Duration
}

// Watch checks a held mutex until stop is called, and calls lost, once, when a check fails or takes
// too long. stop waits for the watch to end. A check that is under way, whose interruption would break the
// connection it is made on, then has patience left.
func Watch(held Held, beats Beats, lost func(error)) (stop func(patience time.Duration)) {
	quit, done := make(chan struct{}), make(chan struct{})
	var last time.Duration // set before quit is closed
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
			if err := check(held, beats.Patience, quit, &last); err != nil {
				lost(err)
				return
			}
		}
	}()
	return func(patience time.Duration) {
		last = patience
		close(quit)
		<-done
	}
}

var errNoAnswer = errors.New("the server doesn't answer")

// Check is held.Check that takes no longer than patience. No other context may end it.
func Check(held Held, patience time.Duration) error { return check(held, patience, nil, nil) }

func check(held Held, patience time.Duration, quit <-chan struct{}, last *time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- held.Check(ctx) }()
	var over <-chan time.Time
	for {
		select {
		case err := <-answer:
			return err
		case <-quit:
			quit, over = nil, time.After(*last)
			continue
		case <-ctx.Done():
		case <-over:
		}
		select { // it may have answered at the last moment
		case err := <-answer:
			return err
		default:
			return errNoAnswer
		}
	}
}
