package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/catalog"
)

// together records which migrations have run together, and which one by one.
type together struct {
	mu       sync.Mutex
	batches  [][]int64 // guarded by mu
	alone    []int64   // guarded by mu
	failures []error   // guarded by mu; of batches
}

func (x *together) observe(_ context.Context, e gooseplus.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch e := e.(type) {
	case gooseplus.BatchFinished:
		if e.Err != nil {
			x.failures = append(x.failures, e.Err)
			return
		}
		var versions []int64
		for _, s := range e.Steps {
			versions = append(versions, s.Version)
		}
		x.batches = append(x.batches, versions)
	case gooseplus.MigrationFinished:
		if e.Step.Direction == "up" && e.Err == nil {
			x.alone = append(x.alone, e.Step.Version)
		}
	}
}

// kinds is the set with every kind of statement.
func (p *place) kinds() fs.FS { return os.DirFS("testdata/kinds/" + p.dialect) }

// exampleSets are the sets under sql and examples that the dialect of a place understands.
func exampleSets(p *place) map[string][]gooseplus.Option {
	in := func(dir string, options ...gooseplus.Option) []gooseplus.Option {
		return append([]gooseplus.Option{gooseplus.WithFS(os.DirFS("../../" + dir)), gooseplus.WithBasePath(".")}, options...)
	}
	sets := map[string][]gooseplus.Option{
		"kinds": {gooseplus.WithFS(p.kinds()), gooseplus.WithBasePath("."), gooseplus.SetEnvironments(nil)},
	}
	if p.dialect != "postgres" {
		return sets
	}
	sets["sql"] = in("sql", gooseplus.SetEnvironments([]string{"base", "production"}))
	sets["sql with test"] = in("sql", gooseplus.SetEnvironments([]string{"base", "test"}))
	for _, name := range []string{"tenants-schemas/sql/tenant", "tenants-databases/sql/tenant", "testing/sql"} {
		sets[name] = in("examples/" + name)
	}
	sets["multi-lanes"] = in("examples/multi-lanes/fast", gooseplus.SetEnvironments(nil))
	sets["namespaces"] = in("examples/namespaces/sql", gooseplus.WithNamespaces("core", "identity"))
	return sets
}

// contents is everything in a database or schema, without times of today and what only one run knows.
func (p *place) contents(t *testing.T, db *sql.DB, schema string) string {
	t.Helper()
	dialect := map[string]goose.Dialect{"postgres": goose.DialectPostgres, "mysql": goose.DialectMySQL, "sqlite": goose.DialectSQLite3}[p.dialect]
	inSchema := ""
	if schema != "" {
		inSchema = `"` + schema + `"`
		if p.dialect == "mysql" {
			inSchema = schema
		}
	}
	objects, err := catalog.Read(context.Background(), db, catalog.Scope{Dialect: dialect, Schema: inSchema})
	if err != nil {
		t.Fatal(err)
	}
	var lines, tables []string
	for key, o := range objects {
		lines = append(lines, fmt.Sprintf("%s of %q: %s", key, o.Of, o.Definition))
	}
	switch p.dialect {
	case "postgres":
		tables = column[string](t, db, "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables WHERE table_schema = '"+schema+"'")
		for _, s := range column[string](t, db, "SELECT quote_ident(sequence_schema) || '.' || quote_ident(sequence_name) FROM information_schema.sequences WHERE sequence_schema = '"+schema+"'") {
			if !strings.Contains(s, "goose") {
				lines = append(lines, s+column[string](t, db, "SELECT '|' || last_value || is_called FROM "+s)[0])
			}
		}
	case "mysql":
		tables = column[string](t, db, "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables WHERE table_schema = '"+schema+"'")
	default:
		tables = column[string](t, db, "SELECT '\"' || name || '\"' FROM sqlite_master WHERE type IN ('table', 'view')")
	}
	for _, table := range tables {
		what := "*"
		if strings.Contains(table, "goose") {
			what = "version_id"
			if strings.Contains(table, "_lock") {
				what = "kind, namespace, version_id, source, checksum, application, requires"
				table += " WHERE kind = 'applied'"
			} else {
				what += ", is_applied"
			}
		}
		lines = append(lines, p.rowsOf(t, db, "SELECT "+what+" FROM "+table)...)
	}
	slices.Sort(lines)
	all := strings.Join(lines, "\n")
	if schema != "" {
		all = strings.ReplaceAll(all, schema, "shop")
	}
	return all
}

var today = regexp.MustCompile(`20(2[6-9]|[3-9]\d)-\d\d-\d\d[ T][\d:.+ Z]*(UTC|GMT)?( m=\S+)?`)

func (p *place) rowsOf(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		line := query
		for _, v := range values {
			value := *v.(*any)
			if b, ok := value.([]byte); ok {
				value = string(b)
			}
			line += "|" + today.ReplaceAllString(fmt.Sprint(value), "now")
		}
		list = append(list, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// newTenant is a tenant in an empty database of the place's kind.
func (p *place) newTenant(t *testing.T) (gooseplus.Tenant, *place) {
	t.Helper()
	at := &place{target: p.target, dsn: p.database(t)}
	at.db = at.instance(t)
	if p.dialect == "sqlite" {
		return gooseplus.Tenant{Name: "shop", Open: func(context.Context) (*sql.DB, error) { return at.open(t), nil }}, at
	}
	schema := "shop"
	if p.dialect == "mysql" { // where it is a database of the server
		schema = (&fleetPlace{place: p}).names(1)[0]
		t.Cleanup(func() { at.exec(t, "DROP SCHEMA IF EXISTS "+schema) })
	}
	return gooseplus.Tenant{Name: "shop", Schema: schema}, at
}

// TestTogetherIsTheSame: a tenant that is provisioned ends in the state in which the steps, one by one, bring it.
func TestTogetherIsTheSame(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		sets := exampleSets(p)
		for i, name := range slices.Sorted(maps.Keys(sets)) {
			if !p.hasTurn(i) {
				continue
			}
			options := sets[name]
			steps, at := p.newTenant(t)
			if steps.Schema != "" {
				at.exec(t, "CREATE SCHEMA "+steps.Schema)
			}
			if err := at.locking(at.db, options...).Tenant(steps).Migrate(ctx); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := at.contents(t, at.db, steps.Schema)
			fast, at := p.newTenant(t)
			seen := new(together)
			m := at.migrator(append(options, gooseplus.WithObserver(seen.observe))...)
			if err := m.Provision(ctx, fast); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			have := at.contents(t, at.db, fast.Schema)
			if want != have {
				t.Errorf("%s: %s", name, firstDifference(want, have))
			}
			if len(seen.failures) > 0 {
				t.Errorf("%s: %v", name, seen.failures)
			}
			if name == "kinds" {
				p.wantKinds(t, seen)
			}
		}
	})
}

func firstDifference(want, have string) string {
	w, h := strings.Split(want, "\n"), strings.Split(have, "\n")
	for _, line := range w {
		if !slices.Contains(h, line) {
			return "missing: " + line
		}
	}
	for _, line := range h {
		if !slices.Contains(w, line) {
			return "extra: " + line
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(h), len(w))
}

// wantKinds asserts which of the kinds have run together.
func (p *place) wantKinds(t *testing.T, seen *together) {
	t.Helper()
	want := map[string]string{
		"postgres": "[[1 2 3 4 5 6 7 8 9] [23 24]] [10 11 12 14 15 16 17 18 19 20 21 22 25 26 27]", "sqlite": "[[1 2]] [3 4 5 6 7 8]", "mysql": "[] [1 2 3 4 5]",
	}[p.dialect]
	if got := fmt.Sprint(seen.batches, seen.alone); got != want {
		t.Errorf("together and alone: %s, want %s", got, want)
	}
}

// TestAloneAfter: what a checkpoint, or a migration without a transaction, leaves behind acts at the COMMIT of those after it.
func TestAloneAfter(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(schemas, transactionalDDL).onDatabases(t, func(t *testing.T, at *place) {
		p := &fleetPlace{place: at}
		const deferred = "CREATE TABLE a (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
		begin := p.withCheckpoint(t, []string{"a"}, deferred)
		apart := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction(deferred, "DROP TABLE a;")})
		for i, fsys := range []fstest.MapFS{begin, apart} {
			fsys["sql/base/2_b.sql"] = script("INSERT INTO a VALUES (1, 2);", "DELETE FROM a;")
			fsys["sql/base/3_c.sql"] = script("INSERT INTO a VALUES (2, 1);", "DELETE FROM a;")
			var seen together
			err := p.migrator(from(fsys), useCheckpoints, gooseplus.WithObserver(seen.observe)).Provision(ctx, gooseplus.Tenant{Schema: p.names(2)[i]})
			wantIs(t, err, gooseplus.ErrRollForward)
			if len(seen.batches) > 0 {
				t.Errorf("together %v: what each migration for itself can't do was done", seen.batches)
			}
		}
	})
}

// TestTogetherAfterAMark: a process ends after the COMMIT of the last batch, and a step without a transaction was before that. The
// run has not ended, as its mark is still there: the next one finds it cut off, and nobody is refused.
func TestTogetherAfterAMark(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(schemas, transactionalDDL).onDatabases(t, func(t *testing.T, at *place) {
		p := &fleetPlace{place: at}
		fsys := files(map[string]*fstest.MapFile{
			"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE a;"), "2_b.sql": table("b"), "3_c.sql": table("c"),
		})
		db, f := p.flaky(t)
		last, gone := false, false
		f.refuse = func(statement string) error {
			switch {
			case gone:
				return errInjected
			case strings.Contains(statement, "CREATE TABLE c"):
				last = true
			case last && statement == "COMMIT":
				gone = true
			}
			return nil
		}
		var seen together
		tenant := gooseplus.Tenant{Schema: p.names(1)[0]}
		if err := p.over(db, from(fsys), gooseplus.WithObserver(seen.observe)).Provision(ctx, tenant); err == nil || !gone || len(seen.batches) != 1 {
			t.Fatalf("the process didn't end after a batch: %v, %v", seen.batches, err)
		}
		next := p.locking(p.db, from(fsys), gooseplus.WithSchema(tenant.Schema))
		runs, err := next.Runs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			if r.Outcome == gooseplus.RunMigrated {
				t.Errorf("%+v", r)
			}
		}
		if err := next.Migrate(ctx); err != nil {
			t.Error(err)
		}
	})
}
