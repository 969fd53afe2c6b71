package conformance

import (
	"context"
	"testing"
	"testing/fstest"
)

// TestLockHoldsNoCatalog: the lock's own transaction has no lock on a relation, so a migration may work on all of them.
func TestLockHoldsNoCatalog(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		const held = "CREATE TABLE held AS SELECT l.relation::regclass::text AS name FROM pg_locks l JOIN pg_stat_activity a USING (pid)" +
			" WHERE l.locktype = 'relation' AND a.state = 'idle in transaction' AND a.datname = current_database();"
		m := p.locking(p.instance(t), from(files(map[string]*fstest.MapFile{"1_held.sql": noTransaction(held, "DROP TABLE IF EXISTS held;")})))
		if err := m.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		if names := column[string](t, p.db, "SELECT name FROM held"); len(names) > 0 {
			t.Errorf("locked: %q", names)
		}
	})
}
