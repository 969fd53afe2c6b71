package conformance

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestBatchesAreLimited: a batch ends before it has so many statements that a transaction with them takes too many of the
// server's locks, and its time is that of its migrations together, however long that is.
func TestBatchesAreLimited(t *testing.T) {
	t.Parallel()
	having(transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		named := make(map[string]*fstest.MapFile)
		for i, statements := range []int{100, 200, 1, 300, 301, 2, 2} {
			var up, down strings.Builder
			for n := range statements {
				fmt.Fprintf(&up, "CREATE TABLE t%d_%d (id INTEGER);\n", i+1, n)
				fmt.Fprintf(&down, "DROP TABLE t%d_%d;\n", i+1, n)
			}
			named[fmt.Sprintf("%d_t.sql", i+1)] = script(up.String(), down.String())
		}
		tenant, at := p.newTenant(t)
		var seen together
		m := at.migrator(from(files(named)), gooseplus.WithObserver(seen.observe), gooseplus.WithMigrationTimeout(time.Duration(math.MaxInt64)))
		if err := m.Provision(context.Background(), tenant); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(seen.batches, seen.alone, seen.failures); got != "[[1 2] [6 7]] [3 4 5] []" {
			t.Errorf("together, alone and failed: %s", got)
		}
	})
}
