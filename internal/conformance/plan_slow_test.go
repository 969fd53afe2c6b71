package conformance

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestPlanOfSlowDatabase has the version table answer late, as while another run alters it: a run with the lock goes on
// without that answer, but Plan and TenantsStatus must not say that there is nothing to do.
func TestPlanOfSlowDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		if err := p.migrator(from(chain(1)), gooseplus.WithGlobalLock(true)).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		db, f := p.flaky(t)
		var once sync.Once
		f.before = func(statement string) {
			if strings.Contains(statement, "goose_db_version") {
				once.Do(func() { time.Sleep(1100 * time.Millisecond) })
			}
		}
		steps, err := p.locking(db, from(chain(3))).Plan(ctx)
		if err != nil || len(steps) != 2 {
			t.Errorf("%d steps are planned, want 2; error %v", len(steps), err)
		}
	})
}
