package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestAnswerOfTheServer: the error of a migration has PostgreSQL's DETAIL and HINT, and the line that its position points to.
func TestAnswerOfTheServer(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onEach(t, func(t *testing.T, p *place) {
		fsys := files(map[string]*fstest.MapFile{
			"1_a.sql": script("CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO a VALUES (1, 's3cr3t');", "DROP TABLE a;"),
			"2_b.sql": script("SELECT 1;\n\nINSERT INTO a\n  VALUES (1, 'again');", "SELECT 1;"),
		})
		ctx := context.Background()
		failed := func(opts ...gooseplus.Option) *gooseplus.MigrationError {
			t.Helper()
			var e *gooseplus.MigrationError
			if err := p.migrator(append(opts, from(fsys))...).Migrate(ctx); !errors.As(err, &e) {
				t.Fatal(err)
			}
			return e
		}
		e := failed()
		if e.Line != 4 || !strings.Contains(e.Detail, "(1)") || !strings.Contains(e.Error(), "2_b.sql:4) up: ") || !strings.Contains(e.Error(), "; detail: Key (id)=(1) already exists.") {
			t.Errorf("%+v: %v", e, e)
		}
		if e := failed(gooseplus.WithRedactedDetails(true)); e.Detail != "" || strings.Contains(e.Error(), "detail") {
			t.Errorf("%+v: %v", e, e)
		}
		fsys["sql/base/2_b.sql"] = script("SELECT 1;\nSELECT id,\n  nam\nFROM a;", "SELECT 1;")
		if e := failed(); e.Line != 4 || !strings.Contains(e.Error(), `; hint: Perhaps you meant to reference the column "a.name".`) {
			t.Errorf("line %d: %v", e.Line, e)
		}
	})
}

// TestDirtyNamesInvalidIndexes: what a failed CREATE INDEX CONCURRENTLY has left is told with the versions to choose from.
func TestDirtyNamesInvalidIndexes(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		fsys := files(map[string]*fstest.MapFile{
			"1_a.sql": script("CREATE TABLE a (id INTEGER);\nINSERT INTO a VALUES (1), (1);", "DROP TABLE a;"),
			"2_i.sql": noTransaction("CREATE UNIQUE INDEX CONCURRENTLY only_once ON a (id);", "DROP INDEX CONCURRENTLY nothing;"),
		})
		ctx := context.Background()
		wantIs(t, p.migrator(from(fsys)).Migrate(ctx), gooseplus.ErrDirty)
		err := p.migrator(from(fsys)).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrDirty)
		wantText(t, err, "call Force(1) if nothing of the migration is left, or Force(2) if it is complete")
		wantText(t, err, "INVALID indexes are there: only_once; DROP INDEX CONCURRENTLY removes each")
	})
}
