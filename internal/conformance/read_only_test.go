package conformance

import (
	"context"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestReadOnlyByDefault: the transactions of the application may only read unless they say otherwise. With nothing pending a
// boot succeeds, with the lock or without; with something pending it fails, and leaves nothing.
func TestReadOnlyByDefault(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onEach(t, func(t *testing.T, p *place) {
		if err := p.locking(p.db, from(chain(2))).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		database := column[string](t, p.db, "SELECT quote_ident(current_database())")[0]
		p.exec(t, "ALTER DATABASE "+database+" SET default_transaction_read_only = on")
		for _, lock := range []bool{false, true} {
			db := p.instance(t)
			if err := p.over(db, from(chain(2)), gooseplus.WithGlobalLock(lock)).Migrate(ctx); err != nil {
				t.Errorf("lock %v, nothing pending: %v", lock, err)
			}
			if p.driver == "postgres" {
				continue // lib/pq begins each transaction as one that writes
			}
			err := p.over(db, from(chain(3)), gooseplus.WithGlobalLock(lock)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantText(t, err, "read-only transaction")
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
		}
		locks{p}.wantNothingNamed(t)
		p.exec(t, "SET default_transaction_read_only = off", "ALTER DATABASE "+database+" RESET default_transaction_read_only")
		if err := p.locking(p.instance(t), from(chain(3))).Migrate(ctx); err != nil {
			t.Error(err)
		}
		p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
	})
}
