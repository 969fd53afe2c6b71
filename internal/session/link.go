package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"
)

// link is a connection of the parent pool while it is borrowed. The driver is called through it and in no
// other way, one call at a time.
type link struct {
	parent  *sql.Conn
	guarded bool
	inner   driver.Conn // for the guard, which closes it under a call
	lost    bool        // that has happened: the driver is not called any more
}

// connect takes a connection from the parent pool, for which it may have to wait. If the driver doesn't
// return though ctx has ended, the connection is closed when it comes.
func connect(ctx context.Context, parent *sql.DB, guarded bool) (*link, error) {
	if !guarded {
		c, err := parent.Conn(ctx)
		return &link{parent: c}, err
	}
	take := func() (*sql.Conn, error) { return parent.Conn(ctx) }
	c, _, err := overtime(ctx, take, nil, func(late *sql.Conn) { (&link{parent: late}).discard() })
	if err != nil {
		return nil, err
	}
	l := &link{parent: c, guarded: true}
	return l, c.Raw(func(dc any) error { l.inner = dc.(driver.Conn); return nil }) // database/sql has no others
}

// call calls the driver. ctx is that of the call, or of the transaction or the rows that it is about: a guarded
// call that outlives it has its connection closed under it, and is given up if that doesn't help. What f finds out
// it has to return. An error does not reach the parent's Raw, which would close a bad connection at once: the
// driver wants to see the rollback of a transaction, also of one that broke.
func call[T any](ctx context.Context, l *link, f func(driver.Conn) (T, error)) (value T, err error) {
	if l.lost {
		return value, driver.ErrBadConn
	}
	direct := func() (value T, err error) {
		gone := l.parent.Raw(func(dc any) error {
			value, err = f(dc.(driver.Conn))
			return nil
		})
		if gone != nil { // the session was closed over it
			return value, ErrClosed
		}
		return value, err
	}
	if !l.guarded || ctx.Done() == nil {
		return direct()
	}
	value, l.lost, err = overtime(ctx, direct, func() { _ = l.inner.Close() }, nil)
	if l.lost {
		var none T
		return none, fmt.Errorf("%w: %w", context.Cause(ctx), errNoAnswer)
	}
	return value, err
}

// do is call for what returns nothing but an error.
func (l *link) do(ctx context.Context, f func(driver.Conn) error) error {
	_, err := call(ctx, l, func(dc driver.Conn) (struct{}, error) { return struct{}{}, f(dc) })
	return err
}

// discard has the parent pool close the connection, once no call is on its way; on one that is guarded, that is not
// waited for long. It does not matter who else closed it.
func (l *link) discard() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.parent.Raw(func(any) error { return driver.ErrBadConn })
	}()
	if !l.guarded {
		<-done
		return
	}
	select {
	case <-done:
	case <-time.After(closing):
	}
}
