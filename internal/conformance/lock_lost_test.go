package conformance

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestLockLostAfterAll: a migration ends the connection of the lock, as those do that end everybody's. If the run notices only when
// it has done everything, its error says so.
func TestLockLostAfterAll(t *testing.T) {
	t.Parallel()
	ends := `SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database());`
	fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_ends.sql": script(ends, "SELECT 1;")})
	choice(targetsOf("postgres")).onEach(t, func(t *testing.T, p *place) {
		err := p.locking(p.db, from(fsys)).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrLockLost)
		if errors.Is(err, gooseplus.ErrRollForward) || errors.Is(err, gooseplus.ErrRollBack) {
			return // it noticed earlier
		}
		p.want(t, []int64{1, 2}, []string{"a"})
		wantText(t, err, "the run itself has succeeded, and the database is at version 2")
	})
}
