package conformance

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestVersionRows: rows of the version table that goose before v3, other tools or people have left are no other runner's, and a
// table without the zero version isn't taken for a missing one when nothing is applied any more.
func TestVersionRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	failing := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b"), "3_x.sql": script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")}
	good := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b")}
	onDatabases(t, func(t *testing.T, p *place) {
		for _, lock := range []gooseplus.Option{gooseplus.WithGlobalLock(false), gooseplus.WithGlobalLock(true)} {
			p := &place{target: p.target, dsn: p.database(t)}
			p.db = p.instance(t)
			if err := p.migrator(lock, from(files(good))).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.exec(t, "DROP TABLE b", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, FALSE)", "DELETE FROM goose_db_version WHERE version_id = 0")
			err := p.migrator(lock, from(files(failing))).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			p.want(t, []int64{1}, []string{"a"})
			p.exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, TRUE)", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, FALSE)")
			if err := p.migrator(lock, from(files(good))).Migrate(ctx); err != nil {
				t.Error(err)
			}
			p.exec(t, "DELETE FROM goose_db_version WHERE version_id = 0")
			if err := p.migrator(lock, from(files(good))).RollbackTo(ctx, 0); err != nil {
				t.Error(err)
			}
			p.want(t, nil, nil)
		}
	})
}
