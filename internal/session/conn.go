package session

import (
	"context"
	"database/sql/driver"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// conn is a connection of a session's pool. It takes one of the parent pool's when it is used for the first time:
// goose holds one while a Go migration works on another, and both can have the same then. database/sql calls it, and
// what it hands out, with a lock held that is the connection's own; it guards the fields. In an outer transaction one
// conn serves all connections of the session's pool, which are one at a time.
type conn struct {
	s    *Session
	link *link // nil as long as it has none

	inTx bool // in a transaction that the session opened, or in a savepoint instead of it
	tx   *tx  // that is open, nil if there is none

	enclosed bool // in the transaction of one statement
	begun    bool // a statement has begun a transaction by itself
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

// background is the context of calls that don't use the network.
var background = context.Background()

// during is the context that a call is bound to: its own, unless that never ends, and that of the transaction or of
// the step does.
func (c *conn) during(ctx context.Context) context.Context {
	switch {
	case ctx.Done() != nil:
		return ctx
	case c.tx != nil:
		return c.tx.ctx
	}
	if at := c.s.books.at(); at.active {
		return at.ctx
	}
	return ctx
}

// raw calls the driver on a connection of a session.
func raw[T any](ctx context.Context, c *conn, f func(driver.Conn) (T, error)) (value T, err error) {
	ctx = c.during(ctx)
	if err := c.s.attach(ctx, c); err != nil {
		return value, err
	}
	return call(ctx, c.link, f)
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

// statement is watched for statements, which need the settings, and what a transaction begins with.
func statement[T any](ctx context.Context, c *conn, query string, f func(driver.Conn) (T, error)) (value T, err error) {
	if err := c.prepareFor(c.during(ctx), query); err != nil {
		return value, err
	}
	if err := c.enclose(ctx, query); err != nil {
		return value, err
	}
	value, err = watched(ctx, c, f)
	if err == nil {
		err = c.began(ctx, query)
	}
	return value, err
}

func (c *conn) prepareFor(ctx context.Context, query string) error {
	if err := c.s.attach(ctx, c); err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	if (c.s.cfg.Kind == PostgreSQL || c.s.cfg.Kind == MySQL) && sqltext.PreparesTransaction(query) {
		return errPrepares
	}
	c.link.lasting = c.link.lasting || c.s.cfg.Kind.lasts(query)
	if c.s.outer != nil && c.inTx && c.s.cfg.Ends != nil && c.s.cfg.Ends(query) {
		c.s.books.ended()
	}
	if c.tx == nil {
		c.link.outside = c.link.outside || !c.inTx
		return c.usual(ctx)
	}
	return c.tx.beginBefore(ctx, query)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	ctx = c.during(ctx) // the driver is to heed it too
	return execute(ctx, c, query, func(dc driver.Conn) (driver.Result, error) {
		e, ok := dc.(driver.ExecerContext)
		if !ok {
			return nil, driver.ErrSkip
		}
		return e.ExecContext(ctx, query, args)
	})
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ctx = c.during(ctx) // the driver is to heed it too
	return queryRows(ctx, c, query, func(dc driver.Conn) (driver.Rows, error) {
		q, ok := dc.(driver.QueryerContext)
		if !ok {
			return nil, driver.ErrSkip
		}
		return q.QueryContext(ctx, query, args)
	})
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	ctx = c.during(ctx) // the driver is to heed it too
	inner, err := whole(ctx, c, query, func(dc driver.Conn) (driver.Stmt, error) { return prepare(ctx, dc, query) })
	if err != nil {
		return nil, err
	}
	return newStmt(c, inner, query), nil
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(background, query)
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

// Raw calls f with the driver's own connection, which f must not keep, and must leave as it was.
func (c *conn) Raw(f func(driverConn any) error) error {
	if err := c.prepareFor(c.during(background), ""); err != nil {
		return err
	}
	return c.do(background, func(dc driver.Conn) error { return f(dc) })
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

// ResetSession is called when the session's pool hands the connection on without giving it back. In
// an outer transaction nothing may be reset, and pgx refuses a connection in a transaction.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.s.outer != nil || c.link == nil {
		return nil
	}
	return c.do(ctx, func(dc driver.Conn) error {
		if r, ok := dc.(driver.SessionResetter); ok {
			return r.ResetSession(ctx)
		}
		return nil
	})
}

func (c *conn) IsValid() bool { return c.link == nil || c.link.valid() }

// Close gives the connection back. The connection of an outer transaction stays until the transaction ends.
func (c *conn) Close() error {
	defer c.s.books.giveBack(c)
	if c.s.outer != nil || c.link == nil {
		return nil
	}
	return c.s.detach(c)
}

// Discard has the connection closed, and not given back to the parent pool, when its user closes it. It is called
// from within Raw.
func (c *conn) Discard() {
	if c.link != nil {
		c.link.spent = true
	}
}

// settle makes the settings before the first statement outside a transaction or, with SettingsFirst,
// before the first transaction if that comes first.
func (c *conn) settle(ctx context.Context) error {
	l := c.link
	switch {
	case c.inTx || c.s.outer != nil && c.s.outer.tx != nil:
		return nil
	case l.set:
		return l.unset
	}
	l.set = true
	if needsDedicated(c.s) {
		if l.unset = l.dedicated(ctx, c.s.parent); l.unset != nil {
			return l.unset
		}
		c.s.direct.Store(true)
	}
	for _, s := range c.s.cfg.Settings {
		if l.unset = l.make(ctx, s); l.unset != nil {
			l.spent = true
			break
		}
	}
	return l.unset
}

func (l *link) make(ctx context.Context, s Setting) error {
	row, err := l.queryRow(ctx, s.Read)
	if err != nil {
		return err
	}
	var before, after Statement
	keep := false
	err = guard(func() error {
		keep = s.Keep != nil && s.Keep(row[0])
		before, after = s.Write(row[0]), s.Write(s.Value)
		return nil
	})
	if err != nil || keep {
		return err
	}
	l.prior = append(l.prior, before)
	return l.run(ctx, []Statement{after})
}

// restore puts the settings back, the last first.
func (l *link) restore() error {
	ctx, cancel := l.after(background)
	defer cancel()
	for i := len(l.prior) - 1; i >= 0; i-- {
		if err := l.run(ctx, l.prior[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}
