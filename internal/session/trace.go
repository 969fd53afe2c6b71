package session

import (
	"context"
	"database/sql/driver"
	"time"
)

// Trace is called before each statement that a step executes, on the goroutine that executes it. It returns a function that is
// called after the statement, before anything else is executed on the connection, with the error of the statement, which can
// be [driver.ErrSkip]: the statement then comes again. An error of either fails the statement.
type Trace func(context.Context, Traced) (after func(took time.Duration, err error) error, err error)

// Traced is a statement that a step is about to execute.
type Traced struct {
	Query string
	// InTransaction says that the session has opened a transaction for the step. Otherwise the step may have begun one itself.
	InTransaction bool
	// Ask executes a statement on the same connection, and returns its rows. Bytes are strings. It is nil as long as nothing
	// may come before the statement, see [Config.OnBegin].
	Ask func(query string) ([][]driver.Value, error)
}

// trace tells the configuration of a statement. It returns a function that needs the error of the statement.
func (c *conn) trace(ctx context.Context, query string) (after func(error) error, err error) {
	after = func(err error) error { return err }
	if c.s.cfg.Trace == nil {
		return after, nil
	}
	if at := c.s.books.at(); !at.active || at.done {
		return after, nil
	}
	if err := c.prepareFor(c.during(ctx), query); err != nil {
		return nil, err
	}
	t := Traced{Query: query, InTransaction: c.inTx}
	if link := c.link; c.tx == nil || !c.tx.pending {
		t.Ask = func(query string) ([][]driver.Value, error) {
			return call(ctx, link, func(dc driver.Conn) ([][]driver.Value, error) { return queryAll(ctx, dc, query) })
		}
	}
	var ended func(time.Duration, error) error
	if err := guard(func() (err error) { ended, err = c.s.cfg.Trace(ctx, t); return err }); err != nil {
		return nil, err
	}
	began := time.Now()
	return func(err error) error {
		took := time.Since(began)
		failed := guard(func() error { return ended(took, err) })
		if err != nil {
			return err
		}
		return failed
	}, nil
}

// execute executes a statement of a step.
func execute(ctx context.Context, c *conn, query string, f func(driver.Conn) (driver.Result, error)) (driver.Result, error) {
	after, err := c.trace(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := whole(ctx, c, query, f)
	return result, after(err)
}

// queryRows executes a query of a step.
func queryRows(ctx context.Context, c *conn, query string, f func(driver.Conn) (driver.Rows, error)) (driver.Rows, error) {
	after, err := c.trace(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, err := statement(ctx, c, query, f)
	if err != nil {
		return nil, after(c.leave(ctx, err))
	}
	return &rows{c: c, link: c.link, ctx: c.during(ctx), inner: inner, after: after}, nil
}
