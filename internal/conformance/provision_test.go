package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// broken is a chain of four whose third migration fails.
func broken() fstest.MapFS {
	named := chain(4)
	named["sql/base/003_t.sql"] = script("CREATE TABLE t003 (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS t003;")
	return named
}

func (p *fleetPlace) has(t *testing.T, schema string) bool {
	t.Helper()
	literal := "'" + strings.ReplaceAll(strings.ReplaceAll(schema, `\`, `\\`), "'", "''") + "'"
	return column[int](t, p.db, "SELECT count(*) FROM information_schema.schemata WHERE schema_name = "+literal)[0] > 0
}

// TestProvisionLeavesNothing: a schema that the call has created is dropped if it fails, and no other one.
func TestProvisionLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(2)
		created, there := names[0]+` 'a"b`, names[1]
		p.create(t, there)
		var seen together
		m := p.migrator(from(broken()), gooseplus.WithObserver(seen.observe))
		err := m.Provision(ctx, gooseplus.Tenant{Schema: created})
		wantIs(t, err, gooseplus.ErrRollForward)
		wantIsNot(t, err, gooseplus.ErrRollBack)
		wantText(t, err, "3 (sql/base/003_t.sql:3) up")
		wantText(t, err, "which this call had created, was dropped")
		if p.has(t, created) {
			t.Error("the schema is still there")
		}
		err = m.Provision(ctx, gooseplus.Tenant{Schema: there})
		wantIs(t, err, gooseplus.ErrRollForward)
		if strings.Contains(err.Error(), "dropped") {
			t.Errorf("the error says that it has dropped something: %v", err)
		}
		p.wantIn(t, there, nil, -1)
		if want := map[bool]int{true: 2}[p.dialect == "postgres"]; len(seen.failures) != want {
			t.Errorf("%d batches failed, want %d: %v", len(seen.failures), want, seen.failures)
		}
		// The next one goes on with what is there.
		if err := p.migrator(from(chain(4))).Provision(ctx, gooseplus.Tenant{Schema: there}); err != nil {
			t.Fatal(err)
		}
		p.wantIn(t, there, []int64{1, 2, 3, 4}, -1)
	})
}

// TestProvisionStuck: a Down that fails doesn't matter where all is dropped.
func TestProvisionStuck(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		files := broken()
		files["sql/base/002_t.sql"] = noTransaction("CREATE TABLE t002 (id INTEGER);", "DROP TABLE nowhere;")
		m := p.migrator(from(files))
		err := m.Provision(context.Background(), gooseplus.Tenant{Schema: name})
		wantIs(t, err, gooseplus.ErrRollForward)
		wantIsNot(t, err, gooseplus.ErrRollBack)
		wantIsNot(t, err, gooseplus.ErrDirty)
		wantText(t, err, "its Downs failed too")
		if p.has(t, name) {
			t.Error("the schema is still there")
		}
	})
}

// TestProvisionAtOnce: of several calls for one name, one makes the tenant and the others find it ready.
func TestProvisionAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		prefix := ""
		if p.dialect == "mysql" {
			prefix = p.names(1)[0]
		}
		var all sync.WaitGroup
		var made atomic.Int64
		names := []string{prefix + "plain", prefix + `with"quote`, prefix + "a;b--c", prefix + "ünïcödé"}
		for _, name := range names {
			if p.dialect == "mysql" {
				t.Cleanup(func() { p.exec(t, "DROP SCHEMA IF EXISTS "+p.quote(name)) })
			}
			for range 3 {
				db := p.instance(t)
				all.Go(func() {
					m := p.locking(db, from(chain(6)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
						if f, ok := e.(gooseplus.RunFinished); ok && f.Applied > 0 {
							made.Add(1)
						}
					}))
					if err := m.Provision(ctx, gooseplus.Tenant{Schema: name}); err != nil {
						t.Errorf("%q: %v", name, err)
					}
				})
			}
		}
		all.Wait()
		for _, name := range names {
			p.wantIn(t, name, []int64{1, 2, 3, 4, 5, 6}, -1)
		}
		if n := made.Load(); n != int64(len(names)) {
			t.Errorf("%d runs have applied anything, want %d", n, len(names))
		}
	})
}

// TestProvisionDatabase: a tenant's database is created once, and dropped if the migrations fail.
func TestProvisionDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		var created, dropped atomic.Int64
		tenant := gooseplus.Tenant{
			Name: name,
			Open: func(context.Context) (*sql.DB, error) { return sql.Open(p.driver, otherDatabase(t, p.dsn, name)) },
			Create: func(ctx context.Context) error {
				created.Add(1)
				_, err := p.db.ExecContext(ctx, "CREATE DATABASE "+name)
				return err
			},
			Drop: func(ctx context.Context) error {
				dropped.Add(1)
				_, err := p.db.ExecContext(ctx, "DROP DATABASE "+name)
				return err
			},
		}
		t.Cleanup(func() { p.exec(t, "DROP DATABASE IF EXISTS "+name) })
		err := p.migrator(from(broken())).Provision(ctx, tenant)
		wantIs(t, err, gooseplus.ErrRollForward)
		wantText(t, err, "the database, which this call had created, was dropped")
		if c, d := created.Load(), dropped.Load(); c != 1 || d != 1 {
			t.Errorf("created %d times, dropped %d times", c, d)
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := p.migrator(from(chain(4))).Provision(ctx, tenant); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if c, d := created.Load(), dropped.Load(); c != 2 || d != 1 {
			t.Errorf("created %d times, dropped %d times", c, d)
		}
		// A database that was there before stays.
		more := chain(4)
		more["sql/base/005_broken.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
		err = p.migrator(from(more)).Provision(ctx, tenant)
		wantIs(t, err, gooseplus.ErrRollForward)
		if err != nil && strings.Contains(err.Error(), "this call had created") || dropped.Load() != 1 {
			t.Errorf("%v, dropped %d times", err, dropped.Load())
		}
		if err := p.migrator(from(chain(4))).Tenant(tenant).Migrate(ctx); err != nil || created.Load() != 2 {
			t.Errorf("%v, created %d times", err, created.Load())
		}
		refusal := errors.New("no space")
		other := tenant
		other.Create = func(context.Context) error { return errors.Join(refusal, gooseplus.ErrRollBack) } // of another Migrator's run
		other.Open = func(context.Context) (*sql.DB, error) { return sql.Open(p.driver, otherDatabase(t, p.dsn, name+"_no")) }
		err = p.migrator(from(chain(1))).Provision(ctx, other)
		wantIs(t, err, refusal)
		wantIs(t, err, gooseplus.ErrRollForward)
		if errors.Is(err, gooseplus.ErrRollBack) {
			t.Errorf("not undone: %v", err)
		}
		// The answer of a Create was lost: its database may be anybody's.
		half := tenant
		half.Create = func(ctx context.Context) error {
			return errors.Join(tenant.Create(ctx), refusal, gooseplus.ErrRollForward)
		}
		p.exec(t, "DROP DATABASE "+name)
		err = p.migrator(from(chain(1))).Provision(ctx, half)
		wantIs(t, err, refusal)
		wantText(t, err, "its database is there all the same and was left")
		if errors.Is(err, gooseplus.ErrRollForward) {
			t.Errorf("undone: %v", err)
		}
		if err := p.migrator(from(chain(1))).Provision(ctx, half); err != nil {
			t.Errorf("again: %v", err)
		}
		other.Drop = nil
		wantText(t, p.migrator(from(chain(1))).Provision(ctx, other), "Create needs Drop")
	})
}

// otherDatabase is a DSN of another database of the same server.
func otherDatabase(t *testing.T, dsn, name string) string {
	t.Helper()
	if u, err := url.Parse(dsn); err == nil && strings.Contains(dsn, "://") {
		u.Path = "/" + name
		return u.String()
	}
	at := strings.LastIndex(dsn, "/")
	_, settings, _ := strings.Cut(dsn[at:], "?")
	return dsn[:at+1] + name + "?" + settings
}

// TestMigrateTenantsTogether: empty schemas are migrated together, and Migrate of one runs step by step.
func TestMigrateTenantsTogether(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(schemas).onDatabases(t, func(t *testing.T, at *place) {
		p := &fleetPlace{place: at}
		names := p.names(3)
		p.create(t, names...)
		var seen together
		m := p.migrator(from(chain(5)), gooseplus.WithObserver(seen.observe))
		if err := m.Tenant(gooseplus.Tenant{Schema: names[0]}).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if len(seen.batches) > 0 || len(seen.alone) != 5 {
			t.Errorf("Migrate: together %v, alone %v", seen.batches, seen.alone)
		}
		if _, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...)); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			p.wantIn(t, name, []int64{1, 2, 3, 4, 5}, -1)
		}
		want := [][]int64{{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}}
		if p.dialect == "mysql" {
			want = nil
		}
		if !slices.EqualFunc(seen.batches, want, slices.Equal) {
			t.Errorf("together %v, want %v", seen.batches, want)
		}
	})
}

// TestTogetherBesideAnotherRunner: without the lock, somebody else applies a migration of a batch meanwhile. Nothing of the batch is
// committed, and the observers hear that there is another process.
func TestTogetherBesideAnotherRunner(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		if !p.transactionalDDL {
			return
		}
		name := p.names(1)[0]
		p.create(t, name)
		var warnings []string
		m := p.migrator(from(chain(4)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			switch e := e.(type) {
			case gooseplus.BatchStarted:
				p.exec(t, "INSERT INTO "+p.quote(name)+".goose_db_version (version_id, is_applied) VALUES (3, TRUE)")
			case gooseplus.Warning:
				warnings = append(warnings, e.Message)
			}
		}))
		r, err := m.MigrateTenants(context.Background(), gooseplus.Schemas(name))
		wantText(t, err, "migrations 1 (sql/base/001_t.sql) to 4 (sql/base/004_t.sql) in one transaction: the applied versions changed during this run, by another process")
		if len(r.Tenants) != 1 || r.Tenants[0].Err == nil {
			t.Errorf("%+v", r)
		}
		const want = "another process is migrating this database, and this run has no lock (WithGlobalLock(true)): it is at migration 4 (sql/base/004_t.sql) too"
		if !slices.Equal(warnings, []string{want}) {
			t.Errorf("warnings %q", warnings)
		}
		p.wantIn(t, name, []int64{3}, -1)
		if tables := column[string](t, p.db, "SELECT tablename FROM pg_tables WHERE schemaname = '"+name+"' AND tablename LIKE 't0%'"); len(tables) > 0 {
			t.Errorf("tables %v", tables)
		}
	})
}

// TestTogetherInNamespaces: the migrations of each namespace run together, and the run has ended when those of all have.
func TestTogetherInNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(schemas, transactionalDDL).onDatabases(t, func(t *testing.T, at *place) {
		p := &fleetPlace{place: at}
		set := map[string]*fstest.MapFile{"core/1_a.sql": table("a"), "core/2_b.sql": table("b"), "identity/1_c.sql": table("c"), "identity/2_d.sql": table("d")}
		m := func() *gooseplus.Migrator {
			return p.locking(p.db, from(namespaced(set)), gooseplus.WithNamespaces("core", "identity"))
		}
		name := p.names(1)[0]
		outcomes := func() string {
			return fmt.Sprint(column[string](t, p.db, "SELECT namespace || ' ' || outcome FROM "+name+".goose_db_version_lock WHERE kind = 'run' ORDER BY started_at, namespace"))
		}
		set["identity/3_bad.sql"] = script("SELECT 1 / 0;", "SELECT 1;")
		report, _ := m().MigrateTenants(ctx, gooseplus.Schemas(name), gooseplus.WithCreateSchema(true))
		wantIs(t, report.Tenants[0].Err, gooseplus.ErrRollForward)
		if got := outcomes(); got != "[core rolled back identity rolled back]" {
			t.Errorf("the outcomes are %s", got)
		}
		delete(set, "identity/3_bad.sql")
		if _, err := m().MigrateTenants(ctx, gooseplus.Schemas(name)); err != nil {
			t.Fatal(err)
		}
		if got := outcomes(); got != "[core rolled back identity rolled back core migrated identity migrated]" {
			t.Errorf("the outcomes are %s", got)
		}
	})
}
