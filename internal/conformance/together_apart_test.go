package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/fstest"
)

// TestTogetherApart: what one migration leaves in its transaction doesn't reach the migrations that run in the same one.
func TestTogetherApart(t *testing.T) {
	t.Parallel()
	having(transactionalDDL).onEach(t, func(t *testing.T, p *place) {
		sets := p.leaving()
		for i, name := range slices.Sorted(maps.Keys(sets)) {
			if !p.hasTurn(i) {
				continue
			}
			c := sets[name]
			steps, at := p.newTenant(t)
			prepareLeaving(t, at, steps.Schema, true)
			stepsErr := at.locking(at.db, from(c)).Tenant(steps).Migrate(context.Background())
			want := at.contents(t, at.db, steps.Schema)
			fast, at := p.newTenant(t)
			prepareLeaving(t, at, fast.Schema, false)
			err := at.migrator(from(c)).Provision(context.Background(), fast)
			if fmt.Sprint(stepsErr == nil) != fmt.Sprint(err == nil) {
				t.Errorf("%s: one by one %v, together %v", name, stepsErr, err)
				continue
			}
			if err != nil {
				wantText(t, err, "migration 3 (")
				continue
			}
			if have := at.contents(t, at.db, fast.Schema); want != have {
				t.Errorf("%s: %s", name, firstDifference(want, have))
			}
		}
	})
}

// prepareLeaving makes what the migrations of leaving find.
func prepareLeaving(t *testing.T, p *place, schema string, create bool) {
	t.Helper()
	if p.dialect != "postgres" {
		return
	}
	p.exec(t, "CREATE SCHEMA elsewhere",
		"CREATE FUNCTION elsewhere.become(name text, value text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config(name, value, true); END $$",
		"CREATE FUNCTION elsewhere.leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', 'elsewhere', true); RETURN NEW; END $$")
	if create {
		p.exec(t, "CREATE SCHEMA "+schema)
	}
}

// leaving are sets whose second or third migration leaves something.
func (p *place) leaving() map[string]fstest.MapFS {
	set := func(ups ...string) fstest.MapFS {
		list := make(map[string]*fstest.MapFile)
		for i, up := range ups {
			list[fmt.Sprintf("%d_m.sql", i+1)] = script("-- +goose StatementBegin\n"+up+"\n-- +goose StatementEnd", fmt.Sprintf("DROP TABLE t%d;", i+1))
		}
		return files(list)
	}
	const t1, t2, t3, t4 = "CREATE TABLE t1 (id INTEGER)", "CREATE TABLE t2 (id INTEGER)", "CREATE TABLE t3 (id INTEGER)", "CREATE TABLE t4 (id INTEGER)"
	if p.dialect == "sqlite" {
		return map[string]fstest.MapFS{
			"an open comment":          set(t1+" /* open", t2, t3),
			"an open comment later":    set(t1, t2+"; /* open", t3),
			"a clause of a statement":  set("CREATE TABLE t1 (id INTEGER UNIQUE); INSERT INTO t1 VALUES (1)", t2, "INSERT OR ROLLBACK INTO t1 VALUES (1)", t4),
			"a clause of a constraint": set("CREATE TABLE t1 (id INTEGER UNIQUE ON CONFLICT ROLLBACK)", t2, "INSERT INTO t1 VALUES (1), (1)", t4),
		}
	}
	function := func(body string) string {
		return "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN " + body + " END $$"
	}
	return map[string]fstest.MapFS{
		"a search_path":         set(t1, "SELECT elsewhere.become('search_path', 'elsewhere')", t3),
		"of a trigger":          set(t1+"; CREATE TRIGGER t BEFORE INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION elsewhere.leave()", "INSERT INTO t1 VALUES (1)", t3),
		"a setting":             set("CREATE TABLE t1 (a text DEFAULT current_setting('app.tenant', true))", "SELECT elsewhere.become('app.tenant', 'other')", "INSERT INTO t1 DEFAULT VALUES"),
		"in the catalog":        set(t1, "UPDATE pg_settings SET setting = 'elsewhere' WHERE name = 'search_path'", t3),
		"RESET":                 set(function("RESET search_path;"), t2, "SELECT f()", t4),
		"RESET in a text":       set(function("EXECUTE 'RESET ALL';"), t2, "SELECT f()", t4),
		"no state table":        set(t1, "DROP TABLE goose_db_version_lock", t3),
		"nothing":               set(";", ";", t3),
		"nothing and a comment": set("-- nothing", "/* nothing */", "-- nothing"),
	}
}
