package conformance

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestRunsTellWhatIsInProgress looks at a run from outside while it is at its second migration.
func TestRunsTellWhatIsInProgress(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		ctx := context.Background()
		asked := false
		err := p.migrator(from(files(earlier)), gooseplus.WithGlobalLock(true), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			started, ok := e.(gooseplus.MigrationStarted)
			if !ok || started.Step.Version != earlierVersions[1] {
				return
			}
			asked = true
			runs, err := p.migrator(from(files(earlier)), gooseplus.WithGlobalLock(true)).Runs(ctx)
			if err != nil || len(runs) != 1 || runs[0].InProgress == nil {
				t.Errorf("runs %+v, %v", runs, err)
				return
			}
			at := runs[0].InProgress
			number := map[string]string{"postgres": "backend pid ", "mysql": "connection id "}[p.dialect]
			if at.Version != earlierVersions[1] || at.Source != started.Step.Source || !strings.HasPrefix(at.Connection, number) || time.Since(at.Since) > time.Hour {
				t.Errorf("in progress: %+v", at)
			}
		})).Migrate(ctx)
		if err != nil || !asked {
			t.Fatal(err, asked)
		}
		runs, err := p.migrator(from(files(earlier))).Runs(ctx)
		if err != nil || len(runs) != 1 || runs[0].InProgress != nil {
			t.Errorf("runs %+v, %v", runs, err)
		}
	})
}
