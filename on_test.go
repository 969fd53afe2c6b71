package gooseplus_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/gooseplus/gooseplus"
)

func TestOn(t *testing.T) {
	t.Parallel()
	db, other := openSQLite(t), openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql"))
	mustMigrate(t, m.On(other))
	untouched(t, db)
	applied(t, other, 1)
	if m.DB() != db || m.On(other).DB() != other {
		t.Error("DB returns another database")
	}

	tenant := m.Tenant(gooseplus.Tenant{Name: "acme", Open: func(context.Context) (*sql.DB, error) {
		t.Error("the tenant's own database was opened")
		return nil, nil
	}})
	mustMigrate(t, tenant.On(other))
	if got := tenant.On(other).TenantName(); got != "acme" {
		t.Errorf("the tenant is called %q", got)
	}
}
