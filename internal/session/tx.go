package session

import (
	"context"
	"database/sql/driver"
)

// tx is a transaction of a session's connection.
type tx struct {
	c     *conn
	ctx   context.Context // of BeginTx
	inner driver.Tx
}

// BeginTx opens a transaction in which OnBegin is done, or a savepoint of the outer transaction.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.s.outer != nil {
		return c.savepoint(ctx, opts)
	}
	inner, err := c.begin(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return &tx{c, ctx, inner}, nil
}

func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *conn) begin(ctx context.Context, opts driver.TxOptions) (inner driver.Tx, err error) {
	err = c.raw(func(dc driver.Conn) (err error) {
		if c.s.cfg.SettingsFirst {
			if err = c.settle(ctx, dc); err != nil {
				return err
			}
		}
		if inner, err = begin(ctx, dc, opts); err != nil {
			return err
		}
		if err = run(ctx, dc, c.s.cfg.OnBegin); err == nil {
			err = ctx.Err() // a driver without contexts didn't notice
		}
		if err != nil && inner.Rollback() != nil {
			c.spent = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return inner, nil
}

func (t *tx) Commit() error {
	t.c.inTx = false
	return t.c.raw(func(driver.Conn) error { return t.inner.Commit() })
}

// Rollback leaves a connection whose transaction's context is done to the pool only if the driver
// can tell whether it is still good, as database/sql does.
func (t *tx) Rollback() error {
	t.c.inTx = false
	return t.c.raw(func(dc driver.Conn) error {
		_, resets := dc.(driver.SessionResetter)
		_, validates := dc.(driver.Validator)
		err := t.inner.Rollback()
		if t.ctx.Err() != nil && !(resets && validates) {
			t.c.spent = true
		}
		return err
	})
}
