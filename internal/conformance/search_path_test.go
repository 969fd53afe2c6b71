package conformance

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestSearchPathLeadsElsewhere: a migration sets the search_path with which connections begin to a schema in which the version
// table isn't. The run records what it did all the same, and says that later ones won't find it.
func TestSearchPathLeadsElsewhere(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onEach(t, func(t *testing.T, p *place) {
		database := column[string](t, p.db, "SELECT quote_ident(current_database())")[0]
		set := files(map[string]*fstest.MapFile{
			"1_a.sql":    table("a"),
			"2_path.sql": script("CREATE SCHEMA elsewhere;\nALTER DATABASE "+database+" SET search_path = elsewhere;", "ALTER DATABASE "+database+" RESET search_path;\nDROP SCHEMA elsewhere;"),
			"3_b.sql":    script("CREATE TABLE public.b (id INTEGER);", "DROP TABLE public.b;"),
		})
		db := p.instance(t)
		db.SetMaxIdleConns(-1) // each connection begins with what the database has
		var told []string
		err := p.locking(db, from(set), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if w, ok := e.(gooseplus.Warning); ok && strings.Contains(w.Message, "connections no longer find the version table") {
				told = append(told, w.Message)
			}
		})).Migrate(ctx)
		if err != nil {
			t.Error(err)
		}
		if len(told) != 1 || !strings.Contains(told[0], `it is in the schema "public"`) {
			t.Errorf("warnings %q, want one that names the schema", told)
		}
		named := gooseplus.WithVersionTable("public.goose_db_version")
		if version, err := p.locking(p.instance(t), from(set), named).Version(ctx); err != nil || version != 3 {
			t.Errorf("with the schema's name: version %d, %v", version, err)
		}
	})
}

// TestSearchPathIsCreated: a schema of WithSearchPath may be missing if a checkpoint creates it, but not if only a comment says so.
func TestSearchPathIsCreated(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		extras := gooseplus.WithSearchPath("extras")
		commented := files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER /* CREATE SCHEMA extras */);", "DROP TABLE a;")})
		wantText(t, p.locking(p.db, from(commented), extras).Migrate(ctx), "don't exist")
		fsys := p.withCheckpoint(t, []string{"a", "b"}, "CREATE SCHEMA extras;", "CREATE TABLE a (id INTEGER);", "CREATE TABLE b (id INTEGER);")
		if err := p.locking(p.db, from(fsys), useCheckpoints, extras).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1, 2}, []string{"a", "b"})
	})
}
