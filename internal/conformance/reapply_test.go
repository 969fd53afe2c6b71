package conformance

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestLostCommitOfAReapply: that nothing but the answer to the COMMIT of an Up was lost doesn't end the
// way back of a run down.
func TestLostCommitOfAReapply(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x"), "13_y.sql": table("y")})
		fsys["sql/base/11_next.sql"] = script("CREATE TABLE next (id INTEGER);", "DROP TABLE never;")
		db, f := p.flaky(t)
		f.lose = once("CREATE TABLE x", "COMMIT")
		var end gooseplus.RunFinished
		err := p.over(db, from(fsys), finished(&end)).Rollback(ctx, 3)
		f.wantLost(t, 1)
		wantFailedStep(t, err, 11, "down")
		p.want(t, append(slices.Clone(grownVersions), 12, 13), append(slices.Clone(grownTables), "x", "y"))
	})
}

func TestLostCommitOfTheLastReapply(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x")})
		fsys["sql/base/11_next.sql"] = script("CREATE TABLE next (id INTEGER);", "DROP TABLE never;")
		db, f := p.flaky(t)
		f.lose = once("CREATE TABLE x", "COMMIT")
		err := p.over(db, from(fsys)).Rollback(ctx, 2)
		f.wantLost(t, 1)
		wantFailedStep(t, err, 11, "down")
		p.want(t, append(slices.Clone(grownVersions), 12), append(slices.Clone(grownTables), "x"))
	})
}
