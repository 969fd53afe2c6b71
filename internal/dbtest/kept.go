package dbtest

import (
	"context"
	"database/sql/driver"
	"sync"
)

// kept are connections to a server on which databases are made and dropped. They stay open between tests.
type kept struct {
	mu   sync.Mutex
	idle []conn // guarded by mu
}

// conn is what a driver's connection can do. A connection of lib/pq has no goroutine.
type conn interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

// keeper connects anew where no connection is kept.
type keeper struct {
	driver.Connector
	kept *kept
}

func (k keeper) Connect(ctx context.Context) (driver.Conn, error) {
	for c := k.kept.take(); c != nil; c = k.kept.take() {
		if c.Ping(ctx) == nil {
			return keptConn{c, k.kept}, nil
		}
		_ = c.Close() // the server has ended it
	}
	c, err := k.Connector.Connect(ctx)
	if able, ok := c.(conn); ok && err == nil {
		return keptConn{able, k.kept}, nil
	}
	return c, err
}

// keptConn is kept when it is closed.
type keptConn struct {
	conn
	kept *kept
}

func (c keptConn) Close() error {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	c.kept.idle = append(c.kept.idle, c.conn)
	return nil
}

func (k *kept) take() conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.idle) == 0 {
		return nil
	}
	last := len(k.idle) - 1
	c := k.idle[last]
	k.idle = k.idle[:last]
	return c
}

func (k *kept) end() {
	if k == nil {
		return
	}
	for c := k.take(); c != nil; c = k.take() {
		_ = c.Close()
	}
}
