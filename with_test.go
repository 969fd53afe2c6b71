package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

func pending(t *testing.T, m *gooseplus.Migrator) (list []int64) {
	t.Helper()
	steps, err := m.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		list = append(list, s.Version)
	}
	return list
}

func TestWith(t *testing.T) {
	t.Parallel()
	mentions := func(t *testing.T, err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v, want %s in it", err, text)
		}
	}
	ctx := context.Background()
	t.Run("the folders are read anew, and the original stays as it is", func(t *testing.T) {
		db := openSQLite(t)
		fsys := folder("sql/base/1_a.sql", "sql/test/2_b.sql")
		m := sqlite(db, fsys)
		if got := pending(t, m); !slices.Equal(got, []int64{1}) {
			t.Fatalf("pending %v", got)
		}
		fsys["sql/base/3_c.sql"] = fsys["sql/base/1_a.sql"]
		if got := pending(t, m.With(nil, gooseplus.WithEnvironments("test"))); !slices.Equal(got, []int64{1, 2, 3}) {
			t.Errorf("with the environment test, pending %v", got)
		}
		if got := pending(t, m); !slices.Equal(got, []int64{1}) {
			t.Errorf("the original has pending %v", got)
		}
	})
	t.Run("an observer is added", func(t *testing.T) {
		var first, second record
		m := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), gooseplus.WithObserver(first.observe))
		mustMigrate(t, m.With(gooseplus.WithObserver(second.observe)))
		if a, b := first.take(), second.take(); len(a) != 4 || !slices.Equal(a, b) {
			t.Errorf("one heard %q, the other %q", a, b)
		}
		mustMigrate(t, m)
		if a, b := first.take(), second.take(); len(a) != 1 || len(b) != 0 {
			t.Errorf("of the original, one heard %q, the other %q", a, b)
		}
	})
	t.Run("a fault comes and goes", func(t *testing.T) {
		bad := sqlite(nil, folder("sql/base/1_a.sql")).With(gooseplus.WithTimeout(-1))
		mentions(t, bad.Err(), "WithTimeout")
		if err := bad.With(gooseplus.WithTimeout(0)).Err(); err != nil {
			t.Error(err)
		}
	})
	t.Run("the namespace stays", func(t *testing.T) {
		m := sqlite(openSQLite(t), folder("sql/core/1_a.sql", "sql/shared/2_b.sql"), gooseplus.WithNamespaces("core", "shared"))
		one := m.Namespace("shared").With(gooseplus.WithStrictOrder(true))
		if got := pending(t, one); !slices.Equal(got, []int64{2}) || len(one.Namespaces()) > 0 {
			t.Errorf("pending %v, namespaces %q", got, one.Namespaces())
		}
		mentions(t, one.With(gooseplus.WithNamespaces("core")).Err(), `namespace "shared" is unknown`)
	})
	t.Run("the tenant stays", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tenant.db")
		tenant := sqlite(nil, folder("sql/base/1_a.sql")).Tenant(gooseplus.Tenant{
			Name: "acme", Open: func(context.Context) (*sql.DB, error) { return sql.Open("sqlite", "file:"+path) },
		}).With(gooseplus.WithStrictOrder(true))
		mustMigrate(t, tenant)
		if v, err := tenant.Version(ctx); v != 1 || err != nil || tenant.TenantName() != "acme" {
			t.Errorf("%s is at %d, %v", tenant.TenantName(), v, err)
		}
		schema := gooseplus.New(nil, gooseplus.WithFS(folder("sql/base/1_a.sql"))).Tenant(gooseplus.Tenant{Schema: "$user"})
		mentions(t, schema.With(gooseplus.WithSchema("another")).Err(), `schema "$user"`)
	})
	t.Run("in a call of EachTenant", func(t *testing.T) {
		heard, inside := make(map[string]int), 0
		observe := func(_ context.Context, e gooseplus.Event) { // without a lock of its own
			if inside++; inside > 1 {
				t.Errorf("%T: %d events at once", e, inside)
			}
			if e, ok := e.(gooseplus.MigrationFinished); ok {
				heard[e.Tenant]++
			}
			inside--
		}
		var list []gooseplus.Tenant
		for i := range 8 {
			path := filepath.Join(t.TempDir(), "tenant.db")
			list = append(list, gooseplus.Tenant{Name: fmt.Sprintf("tenant %d", i), Open: func(context.Context) (*sql.DB, error) {
				return sql.Open("sqlite", "file:"+path)
			}})
		}
		m := sqlite(nil, folder("sql/base/1_a.sql"), gooseplus.WithObserver(observe))
		r, err := m.EachTenant(ctx, tenantsOf(list...), func(ctx context.Context, tm *gooseplus.Migrator) error {
			return tm.With(gooseplus.WithObserver(observe)).Migrate(ctx)
		})
		if err != nil || r.Migrated != len(list) || r.Tenants[3].To != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		for _, tenant := range list {
			if heard[tenant.Name] != 2 {
				t.Errorf("%s: %d events reached the two observers, want one each", tenant.Name, heard[tenant.Name])
			}
		}
	})
}
