package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestReplicas boots several replicas of a service at the same moment, each with a pool of its own.
func TestReplicas(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		p.patient()
		fsys := chain(20)
		var wg sync.WaitGroup
		started := time.Now()
		for range 12 {
			wg.Go(func() {
				db := p.open(t)
				defer db.Close()
				if err := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys), gooseplus.WithGlobalLock(true)).Migrate(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		t.Logf("12 replicas took %v", time.Since(started))
		var want []int64
		var tables []string
		for i := 1; i <= 20; i++ {
			want = append(want, int64(i))
			tables = append(tables, fmt.Sprintf("t%03d", i))
		}
		p.want(t, want, tables)
		locks{p}.wantNothingNamed(t)
		if runs := column[string](t, p.db, `SELECT outcome FROM goose_db_version_lock WHERE kind = 'run'`); fmt.Sprint(runs) != "[migrated]" {
			t.Errorf("runs %v", runs)
		}
	})
}

// patient lets an SQLite connection wait for others, as every application with more than one has
// to; mattn's driver does so by default.
func (p *place) patient() {
	if p.driver == "sqlite" {
		p.dsn += "?_pragma=busy_timeout(10000)"
	}
}
