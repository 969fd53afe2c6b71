package conformance

import (
	"context"
	"maps"
	"testing"
	"testing/fstest"
)

// The tests of the way back play the ways in which a run can fail at version 12, or between 11 and 12. Wherever nothing is
// said to the contrary, the database must be back where the earlier deployment left it.

// earlier is what a deployment before the one under test has applied: 10 is newer than the late
// versions of the next, so that going down to a version number would go wrong.
var earlier = map[string]*fstest.MapFile{
	"01_users.sql": table("users"),
	"10_teams.sql": table("teams"),
}

var (
	earlierVersions = []int64{1, 10}
	earlierTables   = []string{"teams", "users"}
)

// deploy applies the earlier deployment and returns the files of the next one: the earlier ones,
// two tables with the versions 5 (late) and 11, and those given, which have versions from 12.
func deploy(t *testing.T, p *place, more map[string]*fstest.MapFile) fstest.MapFS {
	t.Helper()
	if err := p.migrator(from(files(earlier))).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	named := maps.Clone(earlier)
	named["05_late.sql"] = table("late")
	named["11_next.sql"] = table("next")
	maps.Copy(named, more)
	return files(named)
}
