package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// behind has schemas with extensions, and a table of the same name as a migration's, which must never be the one that is meant.
const behindName = `Extensions, "shared"`

func (p *fleetPlace) extensions(t *testing.T) {
	t.Helper()
	p.create(t, behindName, "other")
	p.exec(t, "CREATE EXTENSION citext SCHEMA public", "CREATE EXTENSION hstore SCHEMA "+p.quote(behindName),
		"CREATE TABLE other.things (id INTEGER)", "CREATE TABLE other.goose_db_version (id INTEGER, version_id BIGINT, is_applied BOOLEAN, tstamp TIMESTAMP)",
		"INSERT INTO other.goose_db_version VALUES (1, 0, TRUE, now()), (2, 1, TRUE, now())",
		"CREATE TABLE other.goose_db_version_lock (id TEXT)")
}

// extended are migrations of every kind with types and functions of the extensions. The last one takes the search_path away.
func extended(last *fstest.MapFile) []gooseplus.Option {
	set := from(files(map[string]*fstest.MapFile{
		"1_things.sql": script("CREATE TABLE things (id INTEGER, mail CITEXT, more HSTORE);", "DROP TABLE things;"),
		"2_apart.sql":  noTransaction("INSERT INTO things VALUES (2, 'A', hstore('a', 'b'));", "DELETE FROM things WHERE id = 2;"),
		"5_hostile.sql": script("INSERT INTO things VALUES (5, 'A', hstore('a', 'b'));\nSET search_path = other;\nSELECT set_config('search_path', 'other', false);",
			"DELETE FROM things WHERE id = 5;\nSET search_path = other;"),
		"6_apart.sql": noTransaction("INSERT INTO things VALUES (6, 'A', hstore('a', 'b'));\nSET search_path = other;", "DELETE FROM things WHERE id = 6;"),
		"7_last.sql":  last,
	}))
	insert := func(v int) string { return fmt.Sprintf("INSERT INTO things VALUES (%d, 'A', hstore('a', 'b'))", v) }
	return []gooseplus.Option{set, gooseplus.WithSearchPath("public", behindName, "other", "public"), gooseplus.WithGoMigrations(
		goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return execTx(ctx, tx, insert(3)) }},
			&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return execTx(ctx, tx, "DELETE FROM things WHERE id = 3") }}),
		goose.NewGoMigration(4, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, insert(4))
			return err
		}}, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "DELETE FROM things WHERE id = 4")
			return err
		}}))}
}

func extendedLast() *fstest.MapFile {
	return script("INSERT INTO things SELECT 7, 'A', hstore('a', 'b') WHERE 'a'::citext = 'A';\nCREATE INDEX things_more ON things USING gin (more);",
		"DROP INDEX things_more;\nDELETE FROM things WHERE id = 7;")
}

// TestSearchPathOfTenants: the types and functions of extensions in other schemas are found, everything else is the tenant's
// own, and the connections are as before.
func TestSearchPathOfTenants(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, one *place) {
		p := &fleetPlace{place: one}
		p.extensions(t)
		before := column[string](t, p.db, p.where())[0]
		names := p.names(9)
		m := p.locking(p.db, extended(extendedLast())...)
		report, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCreateSchema(true))
		if err != nil {
			t.Fatal(err)
		}
		wantReport(t, report, 9, 9, 0, 0, 0)
		for _, name := range names {
			p.wantIn(t, name, upTo(7), 6)
		}
		p.wantUnbound(t, before)

		// A failure, and the way back, also behind a schema whose name is among the given ones.
		bad := script("INSERT INTO things VALUES (7, 'A', hstore('a', 'b'));\nSET search_path = other;\nSELECT 1 / 0;", "SELECT 1;")
		p.create(t, "new")
		p.exec(t, "DROP SCHEMA other CASCADE") // and is its own
		p.create(t, "other")
		for _, name := range []string{"new", "other"} {
			options := append(extended(bad), gooseplus.WithSchema(name))
			if name == "new" {
				options = append(options, gooseplus.WithSearchPath("public", behindName))
			}
			wantIs(t, p.locking(p.db, options...).Migrate(ctx), gooseplus.ErrRollForward)
			p.wantIn(t, name, nil, -1)
		}
		p.wantUnbound(t, before)
		wanted := p.locking(p.db, append(extended(extendedLast()), gooseplus.WithSchema("other"))...)
		if err := wanted.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.wantIn(t, "other", upTo(7), 6)
		if err := wanted.RollbackTo(ctx, 0); err != nil {
			t.Error(err)
		}

		// All in one transaction, where a migration's settings would last.
		set := files(map[string]*fstest.MapFile{
			"1_things.sql": script("CREATE TABLE things (id INTEGER, mail CITEXT);\nSET search_path = other;", "DROP TABLE things;"),
			"2_more.sql":   script("ALTER TABLE things ADD more HSTORE;", "ALTER TABLE things DROP more;"),
		})
		if err := p.locking(p.db, from(set), gooseplus.WithSearchPath("public", behindName), gooseplus.WithSchema("new"),
			gooseplus.WithRollback(gooseplus.RollbackTransaction)).Migrate(ctx); err != nil {
			t.Error(err)
		}
		p.wantIn(t, "new", upTo(2), 0)
		p.wantUnbound(t, before)
	})
}

// TestSearchPathWithoutASchema: the schemas of the connection's own search_path stay in front.
func TestSearchPathWithoutASchema(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, one *place) {
		p := &fleetPlace{place: one}
		p.extensions(t)
		p.exec(t, "CREATE SCHEMA application")
		u := *p.place
		u.dsn += map[bool]string{true: "&", false: "?"}[strings.Contains(u.dsn, "?")] + "search_path=missing,application,public"
		db := u.instance(t)
		if err := p.locking(db, append(extended(extendedLast()), gooseplus.WithSearchPath(behindName, "other"))...).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.wantIn(t, "application", upTo(7), 6)
		if got := column[string](t, db, p.where())[0]; strings.ReplaceAll(got, " ", "") != "missing,application,public" {
			t.Errorf("the search_path is %q", got)
		}
		u.dsn = strings.Replace(u.dsn, "missing,application,public", "missing", 1)
		wantText(t, p.locking(u.instance(t), from(chain(1)), gooseplus.WithSearchPath("other")).Migrate(ctx), "own search_path exists")
	})
}

// TestSearchPathRefused: a schema that isn't there is found before anything is touched, and for all tenants at once.
func TestSearchPathRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, one *place) {
		p := &fleetPlace{place: one}
		db, count := p.counted(t)
		nothing := func() {
			t.Helper()
			if n := column[int](t, p.db, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"); n[0] > 0 {
				t.Errorf("%d objects were created", n[0])
			}
		}
		path := gooseplus.WithSearchPath("public", "extensions")
		for _, lock := range []bool{true, false} {
			m := p.locking(db, from(chain(2)), path, gooseplus.WithGlobalLock(lock))
			for _, err := range []error{m.Migrate(ctx), second(m.Plan(ctx))} {
				wantText(t, err, `the schemas ["extensions"] don't exist`)
			}
			if _, err := m.Status(ctx); err != nil {
				t.Errorf("Status: %v", err)
			}
			nothing()
			names := p.names(20)
			count.take()
			report, _ := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCreateSchema(true))
			wantReport(t, report, 20, 0, 0, 20, 0)
			asked := slices.DeleteFunc(count.take(), func(text string) bool { return !strings.Contains(text, "has_schema_privilege") })
			if len(asked) != 1 {
				t.Errorf("the server was asked %d times, want once", len(asked))
			}
			nothing()
			if found := column[string](t, p.db, "SELECT nspname FROM pg_namespace WHERE nspname LIKE $1", p.prefix+"%"); len(found) > 0 {
				t.Errorf("schemas were created: %q", found)
			}
		}

		// Nothing has to be there where nothing is pending, and the migration that creates it may be pending.
		if err := p.locking(db, from(fstest.MapFS{"sql/base/x": {}}), path).Migrate(ctx); err != nil {
			t.Errorf("nothing pending: %v", err)
		}
		created := files(map[string]*fstest.MapFile{
			"1_schema.sql": script("CREATE SCHEMA IF NOT EXISTS \"extensions\";\nCREATE EXTENSION citext SCHEMA extensions;", "DROP EXTENSION citext;\nDROP SCHEMA extensions;"),
			"2_a.sql":      script("CREATE TABLE a (c CITEXT);", "DROP TABLE a;"),
		})
		m := p.locking(db, from(created), path)
		for range 2 {
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			if err := m.RollbackTo(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}

		r := p.role(t)
		p.exec(t, "CREATE SCHEMA extensions", "GRANT CREATE, USAGE ON SCHEMA public TO "+r.name)
		wantText(t, p.locking(r.open(t), from(chain(1)), path, gooseplus.WithVersionTable("v"), gooseplus.WithForeignHistory(gooseplus.Ignore)).Migrate(ctx), "GRANT USAGE ON SCHEMA")
	})
	for _, tc := range []struct{ dialect, name, text string }{
		{"mysql", "x", "WithSearchPath"}, {"sqlite", "x", "WithSearchPath"}, {"postgres", "", "empty"}, {"postgres", "$user", "rename the schema"},
		{"postgres", "pg_temp", "leave it out"}, {"postgres", "pg_catalog", "leave it out"}, {"postgres", strings.Repeat("x", 64), "longer than 63 bytes"},
	} {
		m := gooseplus.New(nil, gooseplus.WithDialect(tc.dialect), from(chain(1)), gooseplus.WithSearchPath("public", tc.name))
		wantText(t, m.Err(), tc.text)
	}
	m := gooseplus.New(nil, from(chain(1))).Tenant(gooseplus.Tenant{Schema: "$user"})
	wantText(t, m.Err(), "rename the schema")
	if err := gooseplus.New(nil, from(chain(1)), gooseplus.WithSearchPath()).Err(); err != nil {
		t.Error(err)
	}
}

// TestPgBouncerRole: behind a pooler nothing of a role or of a search_path stays on a connection that others use.
func TestPgBouncerRole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onBouncers(t, 5, func(t *testing.T, b *bounced) {
		p := &fleetPlace{place: b.p}
		p.exec(t, "CREATE SCHEMA extensions", "CREATE EXTENSION citext SCHEMA extensions")
		owner := b.p.owned(t).owner
		p.exec(t, "GRANT USAGE ON SCHEMA extensions TO "+p.quote(owner))
		names := p.names(4)
		set := files(map[string]*fstest.MapFile{
			"1_things.sql": script("CREATE TABLE things (id INTEGER, mail CITEXT, who TEXT DEFAULT current_user);", "DROP TABLE things;"),
			"2_one.sql":    script("INSERT INTO things VALUES (1, 'a');", "DELETE FROM things;"),
		})
		m := b.p.locking(b.instance(t), from(set), gooseplus.WithRole(owner), gooseplus.WithSearchPath("extensions"))
		report, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCreateSchema(true), gooseplus.WithConcurrency(2))
		if err != nil {
			t.Fatal(err)
		}
		wantReport(t, report, 4, 4, 0, 0, 0)
		for _, name := range names {
			p.wantIn(t, name, upTo(2), 1)
			if who := column[string](t, p.db, "SELECT who FROM "+p.quote(name)+".things"); !slices.Equal(who, []string{owner}) {
				t.Errorf("%s: %q worked", name, who)
			}
		}
		for _, tx := range b.allConnections(t) {
			if left := leftovers(t, tx); len(left) > 0 {
				t.Errorf("a connection of the bouncer has %q", left)
			}
			var role, user string
			if err := tx.QueryRow("SELECT current_setting('role'), current_user::text").Scan(&role, &user); err != nil || role != "none" || user == owner {
				t.Errorf("a connection of the bouncer works as %q, %q: %v", role, user, err)
			}
		}
	})
}

// TestSearchPathDrift: a tenant with types of extensions has no difference to what its migrations make in a shadow.
func TestSearchPathDrift(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, one *place) {
		p := &fleetPlace{place: one}
		p.create(t, "extensions", "tenant")
		set := from(files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (c CITEXT DEFAULT 'x'::citext CHECK (c <> 'y'::citext));\nCREATE VIEW v AS SELECT c FROM a;", "DROP VIEW v;\nDROP TABLE a;")}))
		p.exec(t, "CREATE EXTENSION citext SCHEMA extensions")
		m := p.locking(p.db, set, gooseplus.WithSearchPath("extensions"), gooseplus.WithSchema("tenant"))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		shadow := p.shadow(t)
		_, err := m.Drift(ctx, shadow)
		wantText(t, err, `the schemas ["extensions"] don't exist`)
		for _, text := range []string{"CREATE SCHEMA extensions", "CREATE EXTENSION citext SCHEMA extensions"} {
			if _, err := shadow.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := m.Drift(ctx, shadow); err != nil || len(found) > 0 {
			t.Errorf("Drift: %+v, %v", found, err)
		}
	})
}
