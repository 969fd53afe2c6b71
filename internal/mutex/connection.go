package mutex

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// connection is the one that a server's lock lives on. Statements go to it one at a time.
type connection struct {
	conn *sql.Conn
	// busy is taken by the user of conn. It is a channel because a check can hang in a dead connection for
	// longer than anybody wants to wait for it.
	busy chan struct{}
}

func connect(ctx context.Context, db *sql.DB) (*connection, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{conn, make(chan struct{}, 1)}, nil
}

// again calls try once more, a few times, while it fails on a connection of the pool that is dead already.
func again(try func() (Held, error)) (held Held, err error) {
	for range 3 {
		if held, err = try(); !errors.Is(err, driver.ErrBadConn) {
			break
		}
	}
	return held, err
}

// use calls f when nobody else uses the connection. It doesn't wait for longer than ctx lives.
func (c *connection) use(ctx context.Context, f func(*sql.Conn) error) error {
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return errNoAnswer
	}
	answer := make(chan error, 1)
	go func() {
		err := f(c.conn)
		<-c.busy
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-answer:
		return err
	default:
		return errNoAnswer
	}
}

// giveBack returns the connection to the pool.
func (c *connection) giveBack() error {
	if err := c.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return err
	}
	return nil
}

// Abandon implements Held: it has the pool close the connection, as soon as no call hangs in it any more.
func (c *connection) Abandon() {
	select {
	case c.busy <- struct{}{}:
		c.discard()
	default:
		go func() {
			c.busy <- struct{}{}
			c.discard()
		}()
	}
}

func (c *connection) discard() {
	_ = c.conn.Raw(func(dc any) error {
		if d, ok := dc.(interface{ Discard() }); ok {
			d.Discard()
		}
		return driver.ErrBadConn
	})
	_ = c.conn.Close()
}
