package session

import (
	"context"
	"database/sql/driver"
	"time"
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
	t, err := c.begin(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return t, nil
}

func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *conn) begin(ctx context.Context, opts driver.TxOptions) (*tx, error) {
	if c.s.cfg.SettingsFirst {
		if err := c.settle(ctx); err != nil {
			return nil, err
		}
	}
	inner, err := raw(ctx, c, func(dc driver.Conn) (driver.Tx, error) { return begin(ctx, dc, opts) })
	if err != nil {
		return nil, err
	}
	t := &tx{c, ctx, inner}
	c.tx = t
	if err = c.run(ctx, c.s.cfg.OnBegin); err == nil {
		err = ctx.Err() // a driver without contexts didn't notice
	}
	if err != nil {
		if t.rollback() != nil {
			c.spent = true
		}
		return nil, err
	}
	return t, nil
}

func (t *tx) Commit() error {
	t.c.inTx = false
	return t.commit()
}

func (t *tx) commit() error { return t.end("COMMIT", driver.Tx.Commit) }

func (t *tx) rollback() error { return t.end("ROLLBACK", driver.Tx.Rollback) }

// end ends the transaction, with the driver's method or, where that can't be interrupted, the statement that it
// sends.
func (t *tx) end(statement string, method func(driver.Tx) error) error {
	t.c.tx = nil
	if !t.c.link.guarded || !t.c.s.cfg.EndsBySQL {
		return t.c.do(t.ctx, func(driver.Conn) error { return method(t.inner) })
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.ctx))
	defer cancel()
	defer context.AfterFunc(t.ctx, func() {
		select {
		case <-ctx.Done():
		case <-time.After(grace):
			cancel()
		}
	})()
	return t.c.do(ctx, func(dc driver.Conn) error {
		_, err := exec(ctx, dc, statement, nil)
		return err
	})
}

// Rollback leaves a connection whose transaction's context is done to the pool only if the driver
// can tell whether it is still good, as database/sql does.
func (t *tx) Rollback() error {
	t.c.inTx = false
	tells, _ := raw(background, t.c, func(dc driver.Conn) (bool, error) {
		_, resets := dc.(driver.SessionResetter)
		_, validates := dc.(driver.Validator)
		return resets && validates, nil
	})
	err := t.rollback()
	if t.ctx.Err() != nil && !tells {
		t.c.spent = true
	}
	return err
}
