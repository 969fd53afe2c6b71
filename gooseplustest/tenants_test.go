package gooseplustest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestTenantsAreReady(t *testing.T) {
	for _, d := range databases[:2] { // SQLite has no schemas
		t.Run(d.name, func(t *testing.T) {
			db := d.open(t, files(folder("sql/base/1_shared.sql")))
			m := gooseplus.New(nil, gooseplus.WithDialect(d.dialect), files(folder("sql/base/1_projects.sql", "sql/base/2_tasks.sql")))
			tenants := append(Tenants(t, db, 2, m), Tenants(t, db, 1, m, gooseplus.WithConcurrency(1))...)
			for i, tenant := range tenants {
				mustExec(t, db, fmt.Sprintf("INSERT INTO %s.tasks VALUES (%d)", tenant.Schema, i))
			}
			names := []string{tenants[0].Schema, tenants[1].Schema, tenants[2].Schema}
			if slices.Sort(names); len(slices.Compact(names)) != 3 {
				t.Errorf("the schemas are %v", names)
			}
		})
	}
}

func TestTenantsOfAnyOtherDatabaseAreRemoved(t *testing.T) {
	servers := []*dbtest.Database{new(dbtest.Database), new(dbtest.Database)}
	*servers[0], *servers[1] = dbtest.Postgres(t).NewDatabase(t), dbtest.MySQL(t).NewDatabase(t)
	for i, d := range databases[:2] {
		t.Run(d.name, func(t *testing.T) {
			db := servers[i].Open(t, []string{"postgres", "mysql"}[i])
			r := &recorder{TB: t, name: "TestTenants"}
			tenants := Tenants(r, db, 2, gooseplus.New(nil, gooseplus.WithDialect(d.dialect), files(folder("sql/base/1_projects.sql"))))
			r.end()
			left := texts(t, db, `SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'gptenant%'`)
			if len(left) > 0 || r.failed || len(tenants) != 2 {
				t.Errorf("%v are left of %v: %s", left, tenants, r.text())
			}
		})
	}
}

func TestTenantsSayWhatIsWrong(t *testing.T) {
	db := SQLite(t, files(folder("sql/base/1_x.sql")))
	for want, n := range map[string]int{"0 tenants": 0, "has no schemas": 1} {
		r := &recorder{TB: t, name: "TestTenants"}
		r.do(func() {
			Tenants(r, db, n, gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), files(folder("sql/base/1_x.sql"))))
		})
		if !r.failed || !strings.Contains(r.text(), want) {
			t.Errorf("%d: %q does not say %q", n, r.text(), want)
		}
	}
}
