package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// grace is how long a call may go on after its context has ended. The drivers that heed it tell the server
// meanwhile that its work is not wanted any more; lib/pq waits for an answer for as long as the network is cut.
const grace = 2 * time.Second

// closing is how long a call is waited for when the connection was closed under it.
const closing = time.Second / 2

// errNoAnswer is what is wrong with a connection on which a call was given up.
var errNoAnswer = errors.New("the server doesn't answer")

// Guard makes a session over connections of parent that does nothing but to keep the promise of contexts: every
// call on its pool, COMMIT and the rows of a query included, returns soon after its context has ended, whatever
// the network and the driver do, and costs the server nothing. It is for databases behind a network.
//
// endsBySQL has transactions ended by statements, for a driver that heeds no context when it is told to end one, and
// that has no other way to do it: go-sql-driver/mysql. begin is what every transaction begins with; if there is any, a
// statement outside of a transaction has one of its own.
func Guard(parent *sql.DB, endsBySQL bool, begin ...Statement) *Session {
	return Open(parent, Config{Guarded: true, endsBySQL: endsBySQL, OnBeginSettings: begin, Enclosed: len(begin) > 0})
}

// overtime waits for f no longer than for the grace after the end of ctx; then it interrupts it, which is to make
// it return. A later result is thrown away. f is called on another goroutine.
func overtime[T any](ctx context.Context, f func() (T, error), interrupt func(), late func(T)) (value T, interrupted bool, err error) {
	type answer struct {
		value    T
		err      error
		panicked any
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			a.panicked = recover()
			answers <- a
		}()
		a.value, a.err = f()
	}()
	ended := ctx.Done()
	var timer <-chan time.Time
	for {
		select {
		case a := <-answers:
			if a.panicked != nil {
				panic(a.panicked)
			}
			return a.value, interrupted, a.err
		case <-ended:
			ended, timer = nil, time.After(grace)
		case <-timer:
			if interrupt != nil && !interrupted {
				interrupted, timer = true, time.After(closing)
				go interrupt()
				continue
			}
			if late != nil {
				go func() {
					if a := <-answers; a.err == nil && a.panicked == nil {
						late(a.value)
					}
				}()
			}
			return value, true, fmt.Errorf("%w: %w", context.Cause(ctx), errNoAnswer)
		}
	}
}
