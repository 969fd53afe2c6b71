package conformance

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestBusyFile: the application writes to SQLite's file when a run begins, which waits for it as for the lock. mattn/go-sqlite3 does the
// same, but lets five seconds pass in each try.
func TestBusyFile(t *testing.T) {
	t.Parallel()
	having(without(server)).onDatabases(t, func(t *testing.T, p *place) {
		conn, err := p.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		exec := func(q string) {
			if _, err := conn.ExecContext(t.Context(), q); err != nil {
				t.Error(err)
			}
		}
		exec("BEGIN IMMEDIATE")
		set := files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")})
		short := p.over(p.db, from(set), gooseplus.WithGlobalLock(true), gooseplus.WithLockWait(100*time.Millisecond))
		if err := short.Migrate(t.Context()); !errors.Is(err, gooseplus.ErrLocked) {
			t.Errorf("while the file is busy: %v", err)
		}
		waited := false
		m := p.over(p.db, from(set), gooseplus.WithGlobalLock(true), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if _, ok := e.(gooseplus.LockWaiting); ok {
				waited = true
				exec("COMMIT")
			}
		}))
		if err := m.Migrate(t.Context()); err != nil || !waited {
			t.Errorf("%v, waited %v", err, waited)
		}
	})
}

// TestBootTogether: replicas boot at once on one file, opened as the manual does. One migrates, and the others wait, whatever they would
// read of the file at that moment.
func TestBootTogether(t *testing.T) {
	t.Parallel()
	having(without(server)).onEach(t, func(t *testing.T, p *place) {
		set := from(chain(5))
		for round := range 10 {
			q := *p
			q.dsn = fmt.Sprintf("%s.%d", p.dsn, round)
			results := make(chan error)
			for range 4 {
				db := q.instance(t)
				go func() { results <- q.locking(db, set).Migrate(context.Background()) }()
			}
			for range 4 {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
		}
	})
}
