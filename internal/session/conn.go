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
	s    *Session
	link *link

	inTx  bool        // in a transaction that the session opened, or in a savepoint instead of it
	tx    *tx         // that is open, nil if there is none
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

// raw calls the driver on a connection of a session.
func raw[T any](ctx context.Context, c *conn, f func(driver.Conn) (T, error)) (T, error) {
	if ctx.Done() == nil && c.tx != nil {
		ctx = c.tx.ctx // as that of the call never ends
	}
	value, err := call(ctx, c.link, f)
	if errors.Is(err, driver.ErrBadConn) || c.link.lost || c.link.guarded && err != nil && ctx.Err() != nil {
		c.spent = true // drivers close a connection whose call they interrupt, and pgx doesn't say so
	}
	if !harmless(err) {
		c.erred = true
	}
	return value, err
}

// do is raw for what returns nothing but an error.
func (c *conn) do(ctx context.Context, f func(driver.Conn) error) error {
	_, err := raw(ctx, c, func(dc driver.Conn) (struct{}, error) { return struct{}{}, f(dc) })
	return err
}

// watched is raw for what uses the database outside or inside a transaction.
func watched[T any](ctx context.Context, c *conn, f func(driver.Conn) (T, error)) (value T, err error) {
	if o := c.s.outer; o != nil {
		err = o.watch(c.inTx, func() (err error) { value, err = raw(ctx, c, f); return err })
		return value, err
	}
	return raw(ctx, c, f)
}

// statement is watched for statements, which need the settings.
func statement[T any](ctx context.Context, c *conn, f func(driver.Conn) (T, error)) (value T, err error) {
	if err := c.settle(ctx); err != nil {
		return value, err
	}
	return watched(ctx, c, f)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return statement(ctx, c, func(dc driver.Conn) (driver.Result, error) {
		e, ok := dc.(driver.ExecerContext)
		if !ok {
			return nil, driver.ErrSkip
		}
		return e.ExecContext(ctx, query, args)
	})
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	inner, err := statement(ctx, c, func(dc driver.Conn) (driver.Rows, error) {
		q, ok := dc.(driver.QueryerContext)
		if !ok {
			return nil, driver.ErrSkip
		}
		return q.QueryContext(ctx, query, args)
	})
	if err != nil {
		return nil, err
	}
	return &rows{c, ctx, inner}, nil
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	inner, err := statement(ctx, c, func(dc driver.Conn) (driver.Stmt, error) { return prepare(ctx, dc, query) })
	if err != nil {
		return nil, err
	}
	return newStmt(c, inner), nil
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) Ping(ctx context.Context) error {
	_, err := watched(ctx, c, func(dc driver.Conn) (struct{}, error) {
		if p, ok := dc.(driver.Pinger); ok {
			return struct{}{}, p.Ping(ctx)
		}
		return struct{}{}, nil
	})
	return err
}

// CheckNamedValue is asked about the arguments of statements that are not prepared.
func (c *conn) CheckNamedValue(nv *driver.NamedValue) error {
	return c.do(background, func(dc driver.Conn) error {
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

// background is the context of calls that don't use the network.
var background = context.Background()

// ResetSession is called when the session's pool hands the connection on without giving it back. In
// an outer transaction nothing may be reset, and pgx refuses a connection in a transaction.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.s.outer != nil {
		return nil
	}
	return c.do(ctx, func(dc driver.Conn) error {
		if r, ok := dc.(driver.SessionResetter); ok {
			return r.ResetSession(ctx)
		}
		return nil
	})
}

func (c *conn) IsValid() bool {
	valid, err := raw(background, c, func(dc driver.Conn) (bool, error) {
		v, ok := dc.(driver.Validator)
		return !ok || v.IsValid(), nil
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
	ctx, cancel := context.WithTimeout(background, pingFor)
	defer cancel()
	return c.do(ctx, func(dc driver.Conn) error {
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
		c.spent = c.restore() != nil
	}
	if lost := c.s.cfg.Backend.Lost; lost != nil && c.backend != nil && c.broken() {
		_ = guard(func() error { lost(c.backend); return nil })
	}
	if c.spent {
		c.link.discard()
		return nil
	}
	if err := c.link.parent.Close(); err != nil && err != sql.ErrConnDone {
		return err
	}
	return nil
}

// restoreFor bounds what is done on connections after the context of their user.
const restoreFor = 10 * time.Second

// after is a context for what is done on the connection after that of its user. Where the network can be cut, an
// answer that is late costs more than a connection.
func (c *conn) after(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := restoreFor
	if c.link.guarded {
		limit = grace
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// settle makes the settings before the first statement outside a transaction or, with SettingsFirst,
// before the first transaction if that comes first.
func (c *conn) settle(ctx context.Context) error {
	switch {
	case c.inTx || c.s.outer != nil:
		return nil
	case c.set:
		return c.unset
	}
	c.set = true
	for _, s := range c.s.cfg.Settings {
		if c.unset = c.make(ctx, s); c.unset != nil {
			c.spent = true
			break
		}
	}
	return c.unset
}

func (c *conn) make(ctx context.Context, s Setting) error {
	row, err := c.queryRow(ctx, s.Read)
	if err != nil {
		return err
	}
	var before, after Statement
	err = guard(func() error { before, after = s.Write(row[0]), s.Write(s.Value); return nil })
	if err != nil {
		return err
	}
	c.prior = append(c.prior, before)
	return c.run(ctx, []Statement{after})
}

// restore puts the settings back, the last first.
func (c *conn) restore() error {
	ctx, cancel := c.after(background)
	defer cancel()
	for i := len(c.prior) - 1; i >= 0; i-- {
		if err := c.run(ctx, c.prior[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// find asks the connection for its backend.
func (c *conn) find(ctx context.Context) (err error) {
	b := c.s.cfg.Backend
	if b.Query == "" {
		return nil
	}
	if c.backend, err = c.queryRow(ctx, b.Query); err != nil {
		return err
	}
	return guard(func() error { return b.Found(ctx, c.backend) })
}

// queryRow reads the first row of a query of the session's own.
func (c *conn) queryRow(ctx context.Context, query string) ([]driver.Value, error) {
	return raw(ctx, c, func(dc driver.Conn) ([]driver.Value, error) { return queryRow(ctx, dc, query) })
}

// run executes statements of the session's own, up to the first that fails.
func (c *conn) run(ctx context.Context, statements []Statement) error {
	for _, s := range statements {
		n, err := raw(ctx, c, func(dc driver.Conn) (n int64, err error) {
			res, err := exec(ctx, dc, s.Query, s.Args)
			if err == nil && s.Check != nil {
				n, err = res.RowsAffected()
			}
			return n, err
		})
		if err != nil {
			return err
		}
		if s.Check == nil {
			continue
		}
		if err := guard(func() error { return s.Check(n) }); err != nil {
			return err
		}
	}
	return nil
}

// harmless tells the errors that are none: they steer database/sql.
func harmless(err error) bool { return err == nil || err == driver.ErrSkip || err == io.EOF }
