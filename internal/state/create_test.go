package state

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestTryEnsure(t *testing.T) {
	ctx := context.Background()

	t.Run("by many at once", func(t *testing.T) {
		onEach(t, "Odd", func(t *testing.T, p place) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					err := p.table.TryEnsure(ctx, p.db)
					for errors.Is(err, ErrCreating) {
						err = p.table.TryEnsure(ctx, p.db)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := p.count(t, "id = 'mutex'"); n != 1 {
				t.Errorf("%d mutex rows", n)
			}
		})
	})

	t.Run("while somebody creates the table", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			if !p.table.partitioned() {
				return
			}
			tx, err := p.db.Begin()
			must(t, err)
			defer tx.Rollback()
			var mine bool
			must(t, tx.QueryRow("SELECT pg_try_advisory_xact_lock(hashtextextended('\"goose_db_version_lock\"', 0))").Scan(&mine))
			if err := p.table.TryEnsure(ctx, p.db); !errors.Is(err, ErrCreating) {
				t.Errorf("TryEnsure = %v, want ErrCreating", err)
			}
			// One that doesn't try the lock waits for nobody either.
			must(t, p.table.Ensure(ctx, p.db))
			must(t, p.table.TryEnsure(ctx, p.db))
		})
	})

	t.Run("whose client says nothing any more", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			if !p.table.partitioned() {
				return
			}
			tx, err := p.db.Begin()
			must(t, err)
			defer tx.Rollback()
			if mine, there, err := p.table.claim(ctx, tx); !mine || there || err != nil {
				t.Fatalf("claim = %t, %t, %v", mine, there, err)
			}
			var idle string
			must(t, tx.QueryRow("SHOW idle_in_transaction_session_timeout").Scan(&idle))
			if idle != createIdle {
				t.Errorf("the server waits for %s, want %s", idle, createIdle)
			}
			must(t, tx.Rollback())
			must(t, p.db.QueryRow("SHOW idle_in_transaction_session_timeout").Scan(&idle))
			if idle != "0" {
				t.Errorf("the connection keeps the setting: %s", idle)
			}
		})
	})

	t.Run("over the original's table", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			_, err := p.db.Exec("CREATE TABLE " + p.table.Name() + " (status INTEGER NOT NULL DEFAULT 0)")
			must(t, err)
			must(t, p.table.TryEnsure(ctx, p.db))
			if n := p.count(t, "id = 'mutex'"); n != 1 {
				t.Errorf("%d mutex rows", n)
			}
		})
	})
}
