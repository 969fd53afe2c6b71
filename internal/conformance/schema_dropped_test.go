package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestSchemaDropped: a migration takes the schema away in which the version table and the state table are. Outside a
// transaction nothing brings them back: the run says so, and waits for nobody. The next process finds
// the database dirty. After Force the next run begins as goose's does.
func TestSchemaDropped(t *testing.T) {
	t.Parallel()
	ups := map[string]string{
		"dropped": "DROP SCHEMA public CASCADE;\nCREATE SCHEMA public;",
		"renamed": "ALTER SCHEMA public RENAME TO renamed;\nCREATE SCHEMA public;",
	}
	for name, up := range ups {
		for _, outside := range []bool{true, false} {
			for _, lock := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, outside %v, lock %v", name, outside, lock), func(t *testing.T) {
					t.Parallel()
					having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) { schemaDropped(t, p, up, outside, lock) })
				})
			}
		}
	}
}

func schemaDropped(t *testing.T, p *place, up string, outside, lock bool) {
	// The deadline is for a run that waits for what never comes: without one it would wait for minutes.
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	set := map[string]*fstest.MapFile{
		"1_a.sql": table("a"), "2_b.sql": script(up, "SELECT 1;"),
		"3_c.sql": script("CREATE TABLE public.c (id INTEGER);", "DROP TABLE public.c;"),
	}
	if outside {
		set["2_b.sql"] = noTransaction(up, "SELECT 1;")
	}
	migrator := func(fsys fstest.MapFS) *gooseplus.Migrator {
		return p.migrator(from(fsys), gooseplus.WithGlobalLock(lock), gooseplus.WithTimeout(patience))
	}
	err := migrator(files(set)).Migrate(ctx)
	if !outside {
		wantIs(t, err, gooseplus.ErrRollForward)
		p.want(t, nil, nil)
	} else {
		wantIs(t, err, gooseplus.ErrRollBack)
		wantText(t, err, "migration 2 (sql/base/2_b.sql) or somebody else has dropped or renamed it during the run")
		var incomplete *gooseplus.RollbackError
		if !errors.As(err, &incomplete) || incomplete.Reached != -1 {
			t.Errorf("the version that was reached is %+v, want unknown", incomplete)
		}
	}
	set["2_b.sql"] = table("b")
	next := migrator(files(set))
	if outside {
		wantIs(t, err, gooseplus.ErrDirty)
		wantIs(t, next.Migrate(ctx), gooseplus.ErrDirty)
		if err := next.Force(ctx, 0); err != nil {
			t.Errorf("Force: %v", err)
		}
	}
	if err := next.Migrate(ctx); err != nil {
		t.Fatalf("the next run: %v", err)
	}
	if got := strings.Join(column[string](t, p.db, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename IN ('a', 'b', 'c') ORDER BY 1"), " "); got != "a b c" {
		t.Errorf("the next run has made %q", got)
	}
}
