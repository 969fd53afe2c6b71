package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestTenantsOpenPanics: a panic of one tenant's Open is that tenant's failure.
func TestTenantsOpenPanics(t *testing.T) {
	t.Parallel()
	file := sqliteTarget("sqlite")
	healthy := func(context.Context) (*sql.DB, error) { return sql.Open("sqlite", file.database(t)) }
	source := func(yield func(gooseplus.Tenant, error) bool) {
		_ = yield(gooseplus.Tenant{Name: "a", Open: func(context.Context) (*sql.DB, error) { panic("boom") }}, nil) &&
			yield(gooseplus.Tenant{Name: "b", Open: healthy}, nil)
	}
	r, err := gooseplus.New(nil, gooseplus.WithDialect("sqlite"), from(chain(1))).MigrateTenants(context.Background(), source)
	wantReport(t, r, 2, 1, 0, 1, 0)
	wantText(t, err, "boom")
	wantText(t, err, `"a"`)
}

// TestTenantsSourceHangs: a source that hangs holds nobody up whose context ends, and a tenant that had not begun then is
// skipped.
func TestTenantsSourceHangs(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE SCHEMA one", "CREATE SCHEMA two")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		hang, ended := make(chan struct{}), make(chan struct{})
		source := func(yield func(gooseplus.Tenant, error) bool) {
			defer close(ended)
			if yield(gooseplus.Tenant{Schema: "one"}, nil) && yield(gooseplus.Tenant{Schema: "two"}, nil) {
				<-hang
				yield(gooseplus.Tenant{Schema: "three"}, nil)
			}
		}
		p.db.SetMaxOpenConns(2) // one tenant at a time
		db, f := p.flaky(t)
		f.before = func(statement string) {
			if whose("CREATE TABLE t001")(statement) {
				cancel()
			}
		}
		r, err := p.over(db, from(chain(1))).MigrateTenants(ctx, source, gooseplus.WithConcurrency(1))
		wantIs(t, err, context.Canceled)
		close(hang)
		<-ended
		wantReport(t, r, 2, 0, 0, 1, 1)
		if r.Tenants[1].State != gooseplus.TenantSkipped {
			t.Errorf("%+v", r.Tenants[1])
		}
	})
}

// TestTenantsInterruptedBeforeTheFirstStep: a run that its context ended before its first step leaves its tenant skipped.
func TestTenantsInterruptedBeforeTheFirstStep(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		db, f := p.flaky(t)
		f.before = func(statement string) {
			if whose("bun_migrations")(statement) { // it looks for histories of others
				cancel()
			}
		}
		schema := "public"
		if p.dialect == "mysql" {
			schema = column[string](t, p.db, "SELECT DATABASE()")[0]
		}
		r, _ := p.over(db, from(chain(1))).MigrateTenants(ctx, gooseplus.Schemas(schema))
		wantReport(t, r, 1, 0, 0, 0, 1)
	})
}

// TestDirtyTenant: of a tenant that is dirty it is known where it is.
func TestDirtyTenant(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		schema := "public"
		if p.dialect == "mysql" {
			schema = column[string](t, p.db, "SELECT DATABASE()")[0]
		}
		fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a"),
			"2_half.sql": noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE half;\nDROP TABLE nowhere;")})
		for i, lock := range []bool{true, true, false} {
			r, err := p.migrator(from(fsys), gooseplus.WithGlobalLock(lock)).MigrateTenants(ctx, gooseplus.Schemas(schema))
			wantIs(t, err, gooseplus.ErrDirty)
			from := int64(1)
			if i == 0 {
				from = 0
			}
			if one := r.Tenants[0]; one.State != gooseplus.TenantDirty || one.From != from || one.To != 1 {
				t.Errorf("%+v", one)
			}
		}
	})
}

// TestSchemasLikeOldStrings: whatever a session takes a backslash for, only the server's own schemas are left out.
func TestSchemasLikeOldStrings(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE SCHEMA pgstore", "CREATE SCHEMA pgx_a")
		p.db.SetMaxOpenConns(1)
		for _, setting := range []string{"on", "off"} {
			p.exec(t, "SET standard_conforming_strings = "+setting)
			var names []string
			for tenant, err := range gooseplus.SchemasLike(p.db, "p%") {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, tenant.Schema)
			}
			if fmt.Sprint(names) != "[pgstore pgx_a public]" {
				t.Errorf("%s: %v", setting, names)
			}
		}
	})
}

// TestForcedRun: what Force did is called so.
func TestForcedRun(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		m := p.locking(p.db, from(chain(2)))
		if err := m.Force(ctx, 1); err != nil {
			t.Fatal(err)
		}
		runs, err := m.Runs(ctx)
		if err != nil || len(runs) != 1 || runs[0].Outcome != gooseplus.RunForced || runs[0].To != 1 {
			t.Errorf("%+v, %v", runs, err)
		}
	})
}

// TestFailureRateOfASample: the rate of failures is no reason to stop before there are twenty tenants to tell it from.
func TestFailureRateOfASample(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("t%02d", i))
	}
	called := 0
	do := func(_ context.Context, m *gooseplus.Migrator) error {
		if called++; called <= 3 {
			return errInjected
		}
		return nil
	}
	r, err := gooseplus.New(nil, from(chain(1))).EachTenant(context.Background(), gooseplus.Schemas(names...), do,
		gooseplus.WithConcurrency(1), gooseplus.WithMaxFailureRate(0.1))
	wantIs(t, err, errInjected)
	wantReport(t, r, 30, 17, 0, 3, 10)
}

// TestTenantsFromTo: what was not read of a tenant is -1, before and after, and no version; what was is a number.
func TestTenantsFromTo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(5)
		done, fresh, unreadable, skipped := names[0], names[1], names[2], names[4] // names[3] is missing
		p.create(t, done, fresh, unreadable, skipped)
		if err := p.migrator(from(chain(2)), gooseplus.WithSchema(done)).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.exec(t, "CREATE TABLE "+p.quote(unreadable)+".goose_db_version (something INTEGER)")
		for _, lock := range []bool{false, true} {
			for _, sets := range []struct {
				name string
				opts []gooseplus.Option
				up   int64
			}{
				{"one set", []gooseplus.Option{from(chain(2))}, 2},
				{"namespaces", []gooseplus.Option{gooseplus.WithFS(fstest.MapFS{"sql/a/1_a.sql": table("a"), "sql/b/3_b.sql": table("b")}), gooseplus.WithNamespaces("a", "b"),
					gooseplus.WithVersionTable("goose_db_version")}, 3},
			} {
				if sets.name == "namespaces" {
					p.exec(t, "CREATE TABLE IF NOT EXISTS "+p.quote(unreadable)+".goose_db_version_b (something INTEGER)")
				}
				r, _ := p.migrator(append(sets.opts, gooseplus.WithGlobalLock(lock), gooseplus.WithForeignHistory(gooseplus.Ignore))...).
					MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(1), gooseplus.WithMaxFailures(2))
				for i, want := range []struct {
					state    gooseplus.TenantState
					from, to int64
				}{
					{"", sets.up, sets.up}, {"", sets.up, sets.up}, {gooseplus.TenantFailed, -1, -1}, {gooseplus.TenantMissing, -1, -1}, {gooseplus.TenantSkipped, -1, -1},
				} {
					got := r.Tenants[i]
					if got.State == gooseplus.TenantMigrated { // the first time
						want.from = 0
					}
					if want.state != "" && got.State != want.state || got.From != want.from || got.To != want.to {
						t.Errorf("%s, lock %t, tenant %d is %s, from %d to %d, want %+v (%v)", sets.name, lock, i, got.State, got.From, got.To, want, got.Err)
					}
				}
			}
		}
	})
}
