package conformance

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestForeignHistoryIsOlderThanTheLock: a replica that looked at an empty database, and got the lock only after another one
// had migrated it, doesn't take that one's tables for those of strangers.
func TestForeignHistoryIsOlderThanTheLock(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		fsys := chain(2)
		// The table has the name and the columns of another tool's history.
		fsys["sql/base/003_s.sql"] = script("CREATE TABLE schema_migrations (version VARCHAR(128) NOT NULL PRIMARY KEY);\nINSERT INTO schema_migrations VALUES ('3');", "DROP TABLE schema_migrations;")
		db, c := p.counted(t)
		var first sync.Once
		c.after = func(statement string) {
			if strings.HasPrefix(statement, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY") || strings.HasPrefix(statement, "SET @gooseplus_wait_timeout") {
				first.Do(func() { // the try for the lock comes next
					if err := p.locking(p.instance(t), from(fsys)).Migrate(ctx); err != nil {
						t.Error(err)
					}
				})
			}
		}
		var warnings []string
		err := p.locking(db, from(fsys), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if w, ok := e.(gooseplus.Warning); ok {
				warnings = append(warnings, w.Message)
			}
		})).Migrate(ctx)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%v; warnings: %q", err, warnings)
		}
		first.Do(func() { t.Error("nothing was seen of the try for the lock") })
		p.want(t, []int64{1, 2, 3}, []string{"schema_migrations", "t001", "t002"})
	})
}

// TestWaitersAskLittle: only who has the lock looks for other tools' histories.
func TestWaitersAskLittle(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		holds := make(chan struct{})
		ends := make(chan struct{})
		m := p.locking(p.instance(t), from(chain(2)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if _, ok := e.(gooseplus.RunStarted); ok {
				close(holds)
				<-ends
			}
		}))
		done := make(chan error, 1)
		go func() { done <- m.Migrate(context.Background()) }()
		<-holds
		db, c := p.counted(t)
		waiter := p.boot(context.Background(), db, from(chain(2)))
		<-waiter.waiting
		close(ends)
		<-waiter.done
		if err := <-done; err != nil || waiter.err != nil {
			t.Errorf("%v; the one that waited: %v", err, waiter.err)
		}
		for _, s := range c.take() {
			if strings.Contains(strings.ToLower(s), "alembic_version") {
				t.Errorf("the one that waited has asked for other tools' histories:\n%s", s)
			}
		}
	})
}
