// Package mutex lets one of many processes go on, and tells it when it has lost that right.
//
// A server has a lock that it frees when the holder's connection ends: a transaction-level advisory lock (PostgreSQL) or a
// user-level lock (MySQL and MariaDB). Beside an SQLite file there is a file lock, which the kernel frees. SQLite in memory
// has a lock within the process. None of them needs a table, so the holder may create, upgrade, alter and drop any table.
package mutex

import (
	"context"
	"errors"
	"time"
)

// A Mutex is tried, never waited for. A process that waits inside the server would hold a snapshot, and CREATE INDEX
// CONCURRENTLY in the holder would wait for that snapshot for ever.
type Mutex interface {
	// TryLock returns nil and no error when somebody else has the mutex.
	TryLock(ctx context.Context) (Held, error)
	// Holder asks who has the mutex, without taking it: otherwise it would make another process's only try fail. "" means
	// that the mutex is free, or that only a try can tell.
	Holder(ctx context.Context) (string, error)
}

// Lease says how the server is to keep a lock.
type Lease struct {
	Idle time.Duration // how long it keeps the lock of a holder that says nothing
	Name string        // what it calls the connection, unless the application has given it a name
}

// Held is a mutex that this process has.
type Held interface {
	// Check asks whether the mutex is still held. It doesn't block after ctx has ended.
	Check(ctx context.Context) error
	// Release gives the mutex back. It doesn't block after ctx has ended. An error means that the mutex was lost before.
	Release(ctx context.Context) error
	// Abandon gives up a mutex that is lost. It doesn't ask the server, which may never answer.
	Abandon()
}

// Beats says how often a held mutex is checked and how long a check may take.
type Beats struct {
	Every, Patience time.Duration
}

// Watch checks a held mutex until stop is called, and calls lost, once, when a check fails or takes too long. stop waits for
// the watch to end. It leaves a running check that much patience, because an interrupted check breaks its connection.
func Watch(held Held, beats Beats, lost func(error)) (stop func(patience time.Duration)) {
	checks, interrupt := context.WithCancel(context.Background())
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
			if err := check(checks, held, beats.Patience); err != nil {
				lost(err)
				return
			}
		}
	}()
	return func(patience time.Duration) {
		defer interrupt()
		defer time.AfterFunc(patience, interrupt).Stop()
		close(quit)
		<-done
	}
}

var errNoAnswer = errors.New("the server doesn't answer")

// Check is held.Check with a limit.
func Check(held Held, patience time.Duration) error {
	return check(context.Background(), held, patience)
}

func check(ctx context.Context, held Held, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return held.Check(ctx)
}
