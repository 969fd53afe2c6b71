package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// The statements of a savepoint. One name is enough: the pool has one connection, and that has one
// transaction at a time.
const (
	savepointSQL  = `SAVEPOINT gooseplus_session`
	rollbackToSQL = `ROLLBACK TO SAVEPOINT gooseplus_session`
	releaseSQL    = `RELEASE SAVEPOINT gooseplus_session`
)

// savepoint is a transaction inside the outer one.
type savepoint struct {
	c   *conn
	ctx context.Context // of BeginTx
}

func (c *conn) savepoint(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly || sql.IsolationLevel(opts.Isolation) != sql.LevelDefault {
		return nil, errors.New("session: a transaction inside the outer one can't be read-only or have an isolation level")
	}
	err := c.s.outer.run(ctx, c.inTx, savepointSQL)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	sp := savepoint{c, ctx}
	err = c.s.outer.watch(true, func() error { return c.link.run(ctx, c.s.cfg.OnSavepoint) })
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = sp.Rollback() // if it fails, the transaction is lost
		return nil, err
	}
	return sp, nil
}

// Commit releases the savepoint. If that fails, as it does in PostgreSQL after a statement that
// failed, the savepoint is rolled back, like a transaction would be.
func (sp savepoint) Commit() error {
	err := sp.c.s.outer.run(sp.ctx, sp.c.inTx, releaseSQL)
	if err != nil {
		_ = sp.Rollback() // if it fails, the transaction is lost
		return err
	}
	sp.c.inTx = false
	return nil
}

// Rollback takes back what was done since the savepoint, also when the context is done. If it can't
// be done, nothing is known about what there is.
func (sp savepoint) Rollback() error {
	defer func() { sp.c.inTx = false }()
	ctx, cancel := sp.c.link.after(sp.ctx)
	defer cancel()
	err := sp.c.s.outer.run(ctx, sp.c.inTx, rollbackToSQL, releaseSQL)
	if err != nil {
		sp.c.s.outer.lose(err)
	}
	return err
}
