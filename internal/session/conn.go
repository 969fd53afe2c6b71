package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"time"
)

// conn is a connection of a session: one of the parent pool's. database/sql calls it, and what it
// hands out, with a lock held that is the connection's own; it guards the fields. In an outer
// transaction one conn serves all connections of the session's pool, which are one at a time.
type conn struct {
	s      *Session
	parent *sql.Conn

	inTx  bool        // in a transaction that the session opened, or in a savepoint instead of it
	spent bool        // it must not be used again by anybody
	erred bool        // something on it has failed
	set   bool        // the settings are made, or were tried
	unset error       // why the settings are not made: no statement may run without them
	prior []Statement // put the settings back, in reverse

	backend []driver.Value // what the server calls it, nil if that is not asked
}

var (
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

// raw calls the driver. An error does not reach the parent's Raw, which would close a bad connection
// at once: the driver wants to see the rollback of a transaction, also of one that broke.
func (c *conn) raw(f func(driver.Conn) error) error {
	var err error
	gone := c.parent.Raw(func(dc any) error {
		err = f(dc.(driver.Conn)) // database/sql has no others
		return nil
	})
	if gone != nil { // the session was closed over it
		return ErrClosed
	}
	if errors.Is(err, driver.ErrBadConn) {
		c.spent = true
	}
	if err != nil && err != driver.ErrSkip && err != io.EOF {
		c.erred = true
	}
	return err
}

// call is raw for what uses the database outside or inside a transaction.
func (c *conn) call(f func(driver.Conn) error) error {
	if o := c.s.outer; o != nil {
		return o.watch(c.inTx, func() error { return c.raw(f) })
	}
	return c.raw(f)
}

// statement is call for statements.
func (c *conn) statement(ctx context.Context, f func(driver.Conn) error) error {
	return c.call(func(dc driver.Conn) error {
		if err := c.settle(ctx, dc); err != nil {
			return err
		}
		return f(dc)
	})
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.statement(ctx, func(dc driver.Conn) (err error) {
		e, ok := dc.(driver.ExecerContext)
		if !ok {
			return driver.ErrSkip
		}
		res, err = e.ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	var inner driver.Rows
	err := c.statement(ctx, func(dc driver.Conn) (err error) {
		q, ok := dc.(driver.QueryerContext)
		if !ok {
			return driver.ErrSkip
		}
		inner, err = q.QueryContext(ctx, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &rows{c, inner}, nil
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	var inner driver.Stmt
	err := c.statement(ctx, func(dc driver.Conn) (err error) {
		inner, err = prepare(ctx, dc, query)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newStmt(c, inner), nil
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) Ping(ctx context.Context) error {
	return c.call(func(dc driver.Conn) error {
		if p, ok := dc.(driver.Pinger); ok {
			return p.Ping(ctx)
		}
		return nil
	})
}

// CheckNamedValue is asked about the arguments of statements that are not prepared.
func (c *conn) CheckNamedValue(nv *driver.NamedValue) error {
	return c.raw(func(dc driver.Conn) error {
		if n, ok := dc.(driver.NamedValueChecker); ok {
			return n.CheckNamedValue(nv)
		}
		_, execs := dc.(driver.ExecerContext)
		_, queries := dc.(driver.QueryerContext)
		if !execs && !queries {
			return nil // it will be prepared, and the statement is asked
		}
		return driver.ErrSkip
	})
}

// ResetSession is called when the session's pool hands the connection on without giving it back. In
// an outer transaction nothing may be reset, and pgx refuses a connection in a transaction.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.s.outer != nil {
		return nil
	}
	return c.raw(func(dc driver.Conn) error {
		if r, ok := dc.(driver.SessionResetter); ok {
			return r.ResetSession(ctx)
		}
		return nil
	})
}

func (c *conn) IsValid() bool {
	valid := true
	err := c.raw(func(dc driver.Conn) error {
		if v, ok := dc.(driver.Validator); ok {
			valid = v.IsValid()
		}
		return nil
	})
	return err == nil && valid && !c.spent
}

// broken says whether the connection is of no use any more. pgx doesn't say so unless it is asked to use it.
func (c *conn) broken() bool {
	if !c.IsValid() {
		return true
	}
	if !c.erred {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingFor)
	defer cancel()
	return c.raw(func(dc driver.Conn) error {
		if _, says := dc.(driver.Validator); says {
			return nil
		}
		if p, ok := dc.(driver.Pinger); ok {
			return p.Ping(ctx)
		}
		return nil
	}) != nil
}

// pingFor bounds the question whether a connection still works.
const pingFor = time.Second

// Close gives the connection back. That of an outer transaction stays until the transaction ends.
func (c *conn) Close() error {
	defer c.s.giveBack(c)
	if c.s.outer != nil {
		return nil
	}
	return c.release()
}

// release returns the connection to the parent pool as it came from there, or closes it.
func (c *conn) release() error {
	if len(c.prior) > 0 && !c.spent {
		c.spent = c.raw(c.restore) != nil
	}
	if lost := c.s.cfg.Backend.Lost; lost != nil && c.backend != nil && c.broken() {
		_ = guard(func() error { lost(c.backend); return nil })
	}
	if c.spent {
		c.discard()
		return nil
	}
	if err := c.parent.Close(); err != nil && err != sql.ErrConnDone {
		return err
	}
	return nil
}

// discard has the parent pool close the connection, once no call is on its way. It does not matter
// who else closed it.
func (c *conn) discard() {
	_ = c.parent.Raw(func(any) error { return driver.ErrBadConn })
}

// restoreFor bounds what is done on connections after the context of their user.
const restoreFor = 10 * time.Second

// settle makes the settings before the first statement outside a transaction or, with SettingsFirst,
// before the first transaction if that comes first.
func (c *conn) settle(ctx context.Context, dc driver.Conn) error {
	switch {
	case c.inTx || c.s.outer != nil:
		return nil
	case c.set:
		return c.unset
	}
	c.set = true
	for _, s := range c.s.cfg.Settings {
		if c.unset = c.make(ctx, dc, s); c.unset != nil {
			c.spent = true
			break
		}
	}
	return c.unset
}

func (c *conn) make(ctx context.Context, dc driver.Conn, s Setting) error {
	row, err := queryRow(ctx, dc, s.Read)
	if err != nil {
		return err
	}
	var before, after Statement
	err = guard(func() error { before, after = s.Write(row[0]), s.Write(s.Value); return nil })
	if err != nil {
		return err
	}
	c.prior = append(c.prior, before)
	return run(ctx, dc, []Statement{after})
}

// restore puts the settings back, the last first.
func (c *conn) restore(dc driver.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), restoreFor)
	defer cancel()
	for i := len(c.prior) - 1; i >= 0; i-- {
		if err := run(ctx, dc, c.prior[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// harmless tells the errors that are none: they steer database/sql.
func harmless(err error) bool { return err == nil || err == driver.ErrSkip || err == io.EOF }
