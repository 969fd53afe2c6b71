package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestTenantsOptionFaults: a number that makes no sense is an error before any tenant is touched, and each has its own.
func TestTenantsOptionFaults(t *testing.T) {
	t.Parallel()
	m := sqlite(openSQLite(t), fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")})
	_, err := m.MigrateTenants(t.Context(), func(func(gooseplus.Tenant, error) bool) { t.Error("the tenants were asked for") },
		gooseplus.WithConcurrency(0), gooseplus.WithCanary(-1), gooseplus.WithMaxFailures(-2), gooseplus.WithMaxFailureRate(math.NaN()), gooseplus.WithTenantTimeout(-time.Second))
	for _, want := range []string{"WithConcurrency: 0", "WithCanary: -1", "WithMaxFailures: -2", "WithMaxFailureRate: NaN", "WithTenantTimeout: -1s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	_, err = m.MigrateTenants(t.Context(), gooseplus.Schemas(), gooseplus.WithWayBack(true))
	if err == nil || !strings.Contains(err.Error(), "nothing stops the call") {
		t.Errorf("a way back that nothing begins: %v", err)
	}
}

// TestTenantWithoutASchema: a tenant that has neither a schema nor a database of its own is not the Migrator's own schema.
func TestTenantWithoutASchema(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	m := sqlite(db, fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")})
	for what, err := range map[string]error{"Err": m.Tenant(gooseplus.Tenant{Name: "x"}).Err(), "Migrate": m.Tenant(gooseplus.Tenant{}).Migrate(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: %v", what, err)
		}
	}
	var tables int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil || tables > 0 {
		t.Errorf("%d tables, %v", tables, err)
	}
}

// TestTenantSkippedAsTheContextEnds: a tenant at which the context ends has not failed.
func TestTenantSkippedAsTheContextEnds(t *testing.T) {
	t.Parallel()
	m := sqlite(openSQLite(t), fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")})
	source := func() (context.Context, iter.Seq2[gooseplus.Tenant, error]) {
		ctx, end := context.WithCancel(t.Context())
		return ctx, func(yield func(gooseplus.Tenant, error) bool) {
			yield(gooseplus.Tenant{Name: "one", Open: func(ctx context.Context) (*sql.DB, error) {
				end()
				<-ctx.Done()
				return nil, errors.New("no answer")
			}}, nil)
		}
	}
	ctx, one := source()
	r, err := m.MigrateTenants(ctx, one)
	if !errors.Is(err, context.Canceled) || len(r.Tenants) != 1 || r.Tenants[0].State != gooseplus.TenantSkipped {
		t.Errorf("MigrateTenants: %+v, %v", r, err)
	}
	var told []gooseplus.TenantState
	ctx, one = source()
	for status := range m.TenantsStatus(ctx, one) {
		if status.Name != "" {
			told = append(told, status.State)
		}
	}
	if !slices.Equal(told, []gooseplus.TenantState{gooseplus.TenantSkipped}) {
		t.Errorf("TenantsStatus: %v", told)
	}
}

// TestContextEndsAfterTheTenants: the end of the context is no error of a call that had done everything.
func TestContextEndsAfterTheTenants(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	db := openSQLite(t)
	m := sqlite(db, fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")},
		gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if p, ok := e.(gooseplus.TenantsProgress); ok && p.Done == 1 {
				end()
			}
		}))
	ended := make(chan struct{})
	r, err := m.MigrateTenants(ctx, func(yield func(gooseplus.Tenant, error) bool) {
		defer close(ended)
		yield(gooseplus.Tenant{Name: "one", Open: func(context.Context) (*sql.DB, error) {
			<-ended
			return openSQLite(t), nil
		}}, nil)
	})
	if err != nil || r.Migrated != 1 || ctx.Err() == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestTenantSourceFaults: a source that can't be read ends with an error that names it, after the tenants before.
func TestTenantSourceFaults(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	never := func(context.Context, string) (*sql.DB, error) { return nil, errors.New("nobody calls it") }
	for _, tc := range []struct {
		source  iter.Seq2[gooseplus.Tenant, error]
		tenants int
		want    string
	}{
		{gooseplus.SchemasFromQuery(nil, "SELECT 'a'"), 0, "SchemasFromQuery: the database is nil"},
		{gooseplus.DatabasesFromQuery(nil, never, "SELECT 'a', 'b'"), 0, "DatabasesFromQuery: the database is nil"},
		{gooseplus.SchemasLike(nil, "%"), 0, "SchemasLike: the database is nil"},
		{gooseplus.SchemasLike(db, "%"), 0, "SchemasLike: only PostgreSQL, MySQL and MariaDB have schemas"},
		{gooseplus.SchemasFromQuery(db, "SELECT nothing FROM nowhere"), 0, "SchemasFromQuery: "},
		{gooseplus.SchemasFromQuery(db, "SELECT 'a', 'b'"), 0, `SchemasFromQuery: the columns of the query are ["'a'" "'b'"], and have to be the schema`},
		{gooseplus.DatabasesFromQuery(db, never, "SELECT 'a'"), 0, "and have to be the name, the DSN"},
		{gooseplus.SchemasFromQuery(db, "SELECT 'a' UNION ALL SELECT NULL"), 1, "SchemasFromQuery: "},
		{gooseplus.SchemasFromQuery(db, "SELECT 'a' UNION ALL SELECT abs(-9223372036854775807 - 1)"), 1, "SchemasFromQuery: "},
	} {
		tenants := 0
		var last error
		for _, err := range tc.source {
			if last != nil {
				t.Errorf("%s: it goes on after its error", tc.want)
			}
			if last = err; err == nil {
				tenants++
			}
		}
		if tenants != tc.tenants || last == nil || !strings.Contains(last.Error(), tc.want) {
			t.Errorf("%d tenants, %v; want %d, %q", tenants, last, tc.tenants, tc.want)
		}
	}
}

// TestTenantsLoopEnds: the loop ends with the error of its source, and with its context.
func TestTenantsLoopEnds(t *testing.T) {
	t.Parallel()
	m := sqlite(openSQLite(t), fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")})
	broken := errors.New("the list is broken")
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the process is told to stop")
	for _, tc := range []struct {
		source iter.Seq2[gooseplus.Tenant, error]
		want   error
	}{
		{func(yield func(gooseplus.Tenant, error) bool) {
			_ = yield(gooseplus.Tenant{Name: "a"}, nil) && yield(gooseplus.Tenant{}, broken) && yield(gooseplus.Tenant{Name: "b"}, nil)
		}, broken},
		{func(yield func(gooseplus.Tenant, error) bool) {
			_ = yield(gooseplus.Tenant{Name: "a"}, nil)
			cancel(gone)
			_ = yield(gooseplus.Tenant{Name: "b"}, nil)
		}, gone},
	} {
		var names []string
		var last error
		for tm, err := range m.Tenants(ctx, tc.source) {
			if last = err; err == nil {
				names = append(names, tm.TenantName())
			}
		}
		if len(names) != 1 || !errors.Is(last, tc.want) {
			t.Errorf("%q, %v; want %v", names, last, tc.want)
		}
	}
}

// TestTenantsWithADSNAsSchema: a query gives the DSN where the schema belongs, twice. Its password is in no error and no event.
func TestTenantsWithADSNAsSchema(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"h", strings.Repeat("h", 70)} { // which is too long for a schema
		schema := "postgres://u:S3cretPW@" + host + "/db"
		var told strings.Builder
		m := gooseplus.New(nil, gooseplus.WithDialect("postgres"), gooseplus.WithFS(folder("sql/base/1_a.sql")),
			gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) { fmt.Fprintf(&told, "%T %+v\n", e, e) }))
		r, err := m.MigrateTenants(t.Context(), gooseplus.Schemas(schema, schema))
		fmt.Fprintln(&told, r.Tenants, err, m.Tenant(gooseplus.Tenant{Schema: schema}).Err())
		if text := told.String(); strings.Contains(text, "S3cret") || !strings.Contains(text, "more than once") {
			t.Error(text)
		}
	}
}
