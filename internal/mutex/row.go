package mutex

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// Row is a row that a transaction on a connection of its own keeps locked.
type Row struct {
	DB *sql.DB
	// Lock locks the row in the transaction, or says false if somebody else has it.
	Lock func(context.Context, *sql.Tx) (bool, error)
	// Before and After are executed on the connection before the transaction begins and after it
	// has ended, if they are not empty. A connection on which After fails is closed.
	Before, After []string
	// Locked is executed in the transaction when it has the lock.
	Locked []string
}

var _ Mutex = (*Row)(nil)

// TryLock implements Mutex.
func (r *Row) TryLock(ctx context.Context) (_ Held, err error) {
	conn, err := r.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	h := &heldRow{row: r, conn: conn, busy: make(chan struct{}, 1)}
	defer func() {
		if h.tx == nil || err != nil {
			err = errors.Join(err, h.giveBack(context.WithoutCancel(ctx)))
		}
	}()
	if err := execAll(ctx, conn, r.Before); err != nil {
		return nil, err
	}
	// The transaction must not end with ctx: it is needed until the way back is done.
	// Read committed, and no query whose portal stays open: a snapshot that this transaction kept would
	// be waited for by CREATE INDEX CONCURRENTLY in the holder itself.
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, err
	}
	locked, err := r.lock(ctx, tx)
	if err != nil || !locked {
		return nil, errors.Join(err, tx.Rollback())
	}
	h.tx = tx
	return h, nil
}

func (r *Row) lock(ctx context.Context, tx *sql.Tx) (bool, error) {
	locked, err := r.Lock(ctx, tx)
	if err != nil || !locked {
		return false, err
	}
	for _, s := range r.Locked {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return false, err
		}
	}
	return true, nil
}

type heldRow struct {
	row  *Row
	conn *sql.Conn
	tx   *sql.Tx
	// busy is taken by who uses conn and tx. It is a channel because a check can hang in a dead
	// connection for longer than anybody wants to wait for it.
	busy chan struct{}
}

// Check implements Held.
func (h *heldRow) Check(ctx context.Context) error {
	h.busy <- struct{}{}
	defer func() { <-h.busy }()
	_, err := h.tx.ExecContext(ctx, "SELECT 1")
	return err
}

// Release implements Held. An error of the commit is returned: it means that the mutex was not
// held to the end.
func (h *heldRow) Release(ctx context.Context) error {
	released := make(chan error, 1)
	go func() {
		h.busy <- struct{}{}
		defer func() { <-h.busy }()
		released <- errors.Join(h.tx.Commit(), h.giveBack(ctx))
	}()
	select {
	case err := <-released:
		return err
	case <-ctx.Done():
		return errNoAnswer
	}
}

func (h *heldRow) giveBack(ctx context.Context) error {
	if err := execAll(ctx, h.conn, h.row.After); err != nil {
		// Its settings are not the pool's: it must not be used again.
		_ = h.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	err := h.conn.Close()
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

func execAll(ctx context.Context, conn *sql.Conn, statements []string) error {
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
