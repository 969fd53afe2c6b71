package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/watch"
)

// TestSurvey asks of tenants of all kinds, many at once, what Plan and Version say of each.
func TestSurvey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(9)
		complete, behind, late, empty, half := names[0], names[1], names[2], names[3], names[4]
		seen, protected, running, missing := names[5], names[6], names[7], names[8]
		p.create(t, names[:8]...)
		set := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b"), "3_c.sql": table("c"),
			"test/4_d.sql": table("d"), "production/5_e.sql": table("e")}
		test := gooseplus.WithEnvironments("test")
		in := func(schema string, opts ...gooseplus.Option) *gooseplus.Migrator {
			return p.migrator(append(opts, gooseplus.WithSchema(schema))...)
		}
		for _, err := range []error{
			in(complete, from(files(set)), gooseplus.WithGlobalLock(true)).Migrate(ctx),
			in(behind, from(files(set))).MigrateTo(ctx, 1),
			in(late, from(files(set))).MigrateTo(ctx, 3),
			in(seen, from(files(set)), test).MigrateTo(ctx, 1),
			in(protected, from(files(set)), gooseplus.WithEnvironments("production")).MigrateTo(ctx, 1),
			in(running, from(files(set)), gooseplus.WithGlobalLock(true)).MigrateTo(ctx, 1),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		p.exec(t, "DELETE FROM "+p.quote(late)+".goose_db_version WHERE version_id = 2",
			"UPDATE "+p.quote(running)+".goose_db_version_lock SET outcome = 'running' WHERE kind = 'run'")
		stuck := map[string]*fstest.MapFile{"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE nowhere;")}
		wantIs(t, in(half, from(files(stuck))).Migrate(ctx), gooseplus.ErrDirty)

		broken := map[string]*fstest.MapFile{"1_a.sql": set["1_a.sql"], "2_b.sql": script("-- +goose StatementBegin\nSELECT 1;", "")}
		for _, c := range []struct {
			name     string
			settled  []string // by the survey
			refused  []string // by Plan
			settings []gooseplus.Option
		}{
			{"base", []string{complete, behind, late, seen, protected, running}, []string{half, missing}, []gooseplus.Option{from(files(set))}},
			{"with the lock", []string{complete, behind, late, seen, protected}, []string{half, missing},
				[]gooseplus.Option{from(files(set)), gooseplus.WithGlobalLock(true)}},
			{"strict order", []string{complete, behind, seen, protected, running}, []string{half, missing, late},
				[]gooseplus.Option{from(files(set)), gooseplus.WithStrictOrder(true)}},
			{"another environment", []string{complete, behind, late, seen, running}, []string{half, missing, protected}, []gooseplus.Option{from(files(set)), test}},
			{"the protected one", []string{complete, behind, late, seen, protected, running}, []string{half, missing},
				[]gooseplus.Option{from(files(set)), gooseplus.WithEnvironments("production")}},
			{"both", []string{complete, behind, late, seen, running}, []string{half, missing, protected},
				[]gooseplus.Option{from(files(set)), gooseplus.WithEnvironments("production", "test")}},
			{"a file that can't be parsed", []string{complete}, []string{behind, late, empty, half, seen, protected, running, missing},
				[]gooseplus.Option{from(files(broken))}},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := p.migrator(c.settings...)
				found := make(map[string]watch.Found)
				asked := make(map[string]bool)
				var mu sync.Mutex
				r, err := m.EachTenant(watch.WithSurvey(ctx, func(f watch.Found) { found[f.Tenant] = f }), gooseplus.Schemas(names...),
					func(ctx context.Context, tm *gooseplus.Migrator) error {
						mu.Lock()
						asked[tm.TenantName()] = true
						mu.Unlock()
						_, err := tm.Plan(ctx)
						return err
					})
				if r.Total != len(names) || r.Failed != len(c.refused) {
					t.Errorf("report %+v, %v", r, err)
				}
				for _, name := range names {
					tm := m.Tenant(gooseplus.Tenant{Schema: name})
					steps, err := tm.Plan(ctx)
					if (err != nil) != slices.Contains(c.refused, name) {
						t.Errorf("%s: Plan = %v", name, err)
					}
					f, settled := found[name]
					if settled != slices.Contains(c.settled, name) || settled == asked[name] {
						t.Errorf("%s: settled %t, asked %t", name, settled, asked[name])
					}
					if !settled {
						continue
					}
					version, err := tm.Version(ctx)
					if want := fmt.Sprint(name, version, len(steps)); err != nil || fmt.Sprint(f.Tenant, f.Version, f.Pending) != want {
						t.Errorf("found %+v, want %s, %v", f, want, err)
					}
				}
			})
		}
		_ = empty
	})
}

// TestSurveyNamespaces: several namespaces are planned together, so that only who is up to date needs no question.
func TestSurveyNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.create(t, names...)
		m := p.migrator(from(bounded(nil)), inContexts)
		if _, err := m.MigrateTenants(ctx, gooseplus.Schemas(names[:2]...)); err != nil {
			t.Fatal(err)
		}
		one := m.Namespaces()[0]
		if err := m.Tenant(gooseplus.Tenant{Schema: names[1]}).Namespace(one).Rollback(ctx, 1); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			m    *gooseplus.Migrator
			want map[string]int // how many are pending
		}{
			{m, map[string]int{names[0]: 0}},
			{m.Namespace(one), map[string]int{names[0]: 0, names[1]: 1}},
		} {
			found := make(map[string]int)
			r, err := c.m.EachTenant(watch.WithSurvey(ctx, func(f watch.Found) { found[f.Tenant] = f.Pending }), gooseplus.Schemas(names...),
				func(ctx context.Context, tm *gooseplus.Migrator) error {
					if _, settled := c.want[tm.TenantName()]; settled {
						t.Errorf("%s is asked", tm.TenantName())
					}
					_, err := tm.Plan(ctx)
					return err
				})
			if err != nil || r.Migrated != 3 || !maps.Equal(found, c.want) {
				t.Errorf("found %v, want %v; %+v, %v", found, c.want, r, err)
			}
		}
	})
}
