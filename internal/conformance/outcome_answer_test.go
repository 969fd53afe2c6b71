package conformance

import (
	"context"
	"strings"
	"testing"
)

// TestOutcomeLosesItsAnswer: the answer to the statement, or to its COMMIT, that records how the run ended is lost. No other runner
// has declared the run dead then.
func TestOutcomeLosesItsAnswer(t *testing.T) {
	t.Parallel()
	having(schemas).onDatabases(t, func(t *testing.T, p *place) {
		db, f := p.flaky(t)
		recording := false
		f.lose = func(statement string) bool {
			if strings.Contains(statement, "'migrated'") {
				recording = true
			}
			return f.lost == 0 && recording && (p.dialect == "postgres" || statement == "COMMIT")
		}
		if err := p.locking(db, from(chain(3))).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
		f.wantLost(t, 1)
		runs, err := p.migrator(from(chain(3))).Runs(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) != 1 || runs[0].Outcome != "migrated" {
			t.Errorf("the run is recorded as %+v", runs)
		}
	})
}
