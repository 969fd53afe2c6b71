package state

import (
	"context"
	"database/sql"
	"errors"
)

// ErrNoMutex is returned by TryLock when the mutex row is missing, which a replica of the original
// gooseplus can bring about. Ensure puts it back.
var ErrNoMutex = errors.New("the state table has no mutex row")

// TryLock locks the mutex row for as long as the transaction is open. It doesn't wait: false means
// that somebody has it. SKIP LOCKED rather than NOWAIT tells so without an error, which a hundred
// waiting replicas would write to the server's log ten times a second.
func (t *Table) TryLock(ctx context.Context, tx *sql.Tx) (bool, error) {
	locked, err := t.TryLockThere(ctx, tx)
	if err != nil || locked {
		return locked, err
	}
	there, err := t.mutexThere(ctx, tx)
	if err == nil && !there {
		err = ErrNoMutex
	}
	return false, err
}

// TryLockThere is TryLock of a row that is known to be there.
func (t *Table) TryLockThere(ctx context.Context, tx *sql.Tx) (bool, error) {
	var id string
	err := tx.QueryRowContext(ctx, "SELECT id FROM "+t.mutex()+" WHERE id = 'mutex' FOR UPDATE SKIP LOCKED").Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
