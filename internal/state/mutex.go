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
	const row = " WHERE id = 'mutex'"
	lock := "SELECT id FROM " + t.mutex() + row + " FOR UPDATE SKIP LOCKED"
	var locked, there bool
	var err error
	if t.partitioned() { // PostgreSQL can tell both at once
		err = tx.QueryRowContext(ctx, "WITH mine AS ("+lock+") SELECT EXISTS (SELECT 1 FROM mine), EXISTS (SELECT 1 FROM "+t.mutex()+row+")").
			Scan(&locked, &there)
	} else {
		var id string
		if err = tx.QueryRowContext(ctx, lock).Scan(&id); errors.Is(err, sql.ErrNoRows) {
			there, err = t.mutexThere(ctx, tx)
		} else {
			locked = err == nil
		}
	}
	if err == nil && !locked && !there {
		err = ErrNoMutex
	}
	return locked && err == nil, err
}
