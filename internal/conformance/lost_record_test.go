package conformance

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"
)

// TestLostRecord loses the answer to what records a step that was executed outside a transaction, and that nothing
// else could put right.
func TestLostRecord(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	x := noTransaction("CREATE TABLE x (id INTEGER);", "DROP TABLE x;")
	withX, withXTables := append(slices.Clone(grownVersions), 12), append(slices.Clone(grownTables), "x")

	t.Run("DELETE of the version of a Down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": x})
			db, f := p.flaky(t)
			f.lose = once("DROP TABLE x", "DELETE FROM", "goose_db_version")
			if err := p.over(db, from(fsys)).Rollback(ctx, 1); err != nil {
				t.Error(err)
			}
			f.wantLost(t, 1)
			p.want(t, grownVersions, grownTables)
		})
	})

	t.Run("COMMIT of a Down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": x})
			db, f := p.flaky(t)
			f.lose = once("DROP TABLE x", "COMMIT")
			wantFailedStep(t, p.over(db, from(fsys)).Rollback(ctx, 1), 12, "down")
			f.wantLost(t, 1)
			p.want(t, withX, withXTables)
		})
	})

	t.Run("INSERT of the version of an Up without a Down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, nil)
			fsys["sql/base/12_x.sql"] = noTransaction("CREATE TABLE x (id INTEGER);", "")
			db, f := p.flaky(t)
			f.lose = once("TABLE x", "INSERT INTO", "goose_db_version")
			if err := p.over(db, from(fsys)).Migrate(ctx); err != nil {
				t.Error(err)
			}
			f.wantLost(t, 1)
			p.want(t, withX, withXTables)
		})
	})
}
