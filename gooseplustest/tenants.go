package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Tenants makes n schema tenants in db, applies the migrations of m to each, and returns them. Use a tenant's Schema in
// queries, and the tenant itself with m.Tenant. The tenants are made in db, whatever database m has. On MySQL and MariaDB, a
// schema is a database of the same server.
//
// No other test has schemas of the same names. In a database of [Postgres] they are dropped or kept together with the database.
// In any other database they are dropped when the test has passed, and kept when it has failed; don't close that database with
// a defer of the test, because its Cleanups still need it.
//
// opts are those of [gooseplus.Migrator.MigrateTenants]. The test fails at once if n is below 1, if a migration fails, or if
// the database has no schemas, as SQLite has none.
func Tenants(t testing.TB, db *sql.DB, n int, m *gooseplus.Migrator, opts ...gooseplus.TenantsOption) []gooseplus.Tenant {
	t.Helper()
	if n < 1 {
		fail(t, fmt.Errorf("%d tenants: at least 1 is needed", n))
	}
	set, err := m.Describe()
	if err != nil {
		fail(t, err)
	}
	names := make([]string, n)
	tenants := make([]gooseplus.Tenant, n)
	_, ours := origins.Load(db)
	for i := range names {
		names[i] = cloneName(projectName(), fmt.Sprintf("tenant_%d", i+1)) // a database on MySQL
		if !ours {                                                         // then nothing says that this process lives, and another one must not take the name for one of the dead
			names[i] = "gptenant_" + strings.TrimPrefix(names[i], prefix)
		}
		tenants[i] = gooseplus.Tenant{Schema: names[i]}
	}
	t.Cleanup(func() { dropTenants(t, db, set, names) })
	opts = append([]gooseplus.TenantsOption{gooseplus.WithCreateSchema(true)}, opts...)
	if _, err := m.On(db).MigrateTenants(contextOf(t), gooseplus.Schemas(names...), opts...); err != nil {
		fail(t, err)
	}
	return tenants
}

func dropTenants(t testing.TB, db *sql.DB, set migset.Description, names []string) {
	t.Helper()
	from, ours := origins.Load(db)
	isMySQL := set.Dialect == goose.DialectMySQL
	if ours && !isMySQL || failed(t) && !isMySQL {
		return
	}
	if ours {
		db = from.(origin).mysql.pool() // the test may have closed its own
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, limited(contextOf(t), func(ctx context.Context) error {
			switch {
			case failed(t):
				return keepMySQL(ctx, db, name, time.Now().Add(keep))
			case isMySQL:
				return dbtest.DropMySQL(ctx, db, name)
			default:
				return dropSchema(ctx, db, name)
			}
		}))
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("gooseplustest: drop the tenants: %s", redact.Text(err.Error()))
	}
}

// dropSchema doesn't wait for a transaction that the test has forgotten.
func dropSchema(ctx context.Context, db *sql.DB, name string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a Commit
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '10s'"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DROP SCHEMA IF EXISTS "+name+" CASCADE"); err != nil {
		return err
	}
	return tx.Commit()
}
