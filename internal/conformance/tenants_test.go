package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// awkward are names of schemas that need care. Those of 63 bytes are the longest on PostgreSQL.
var awkward = []string{"plain", "Capitals", "with space", "with.dot", `with"quote`, "with`tick", "it's", "ünïcödé", "select", "a;b--c",
	"$1 ? {table}", strings.Repeat("x", 63), strings.Repeat("é", 31)}

// onSchemas is onDatabases where a run can be bound to a schema.
func onSchemas(t *testing.T, test func(*testing.T, *fleetPlace)) {
	having(schemas).onDatabases(t, func(t *testing.T, p *place) { test(t, &fleetPlace{place: p}) })
}

// fleetPlace is a database with schemas; on MariaDB, where they are databases of the server, a prefix
// keeps tests apart.
type fleetPlace struct {
	*place
	prefix string
}

func (p *fleetPlace) quote(name string) string {
	if p.dialect == "mysql" {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (p *fleetPlace) create(t *testing.T, schemas ...string) {
	t.Helper()
	for _, s := range schemas {
		p.exec(t, "CREATE SCHEMA "+p.quote(s))
		if p.dialect == "mysql" {
			t.Cleanup(func() { p.exec(t, "DROP SCHEMA IF EXISTS "+p.quote(s)) })
		}
	}
}

// names makes the names of n tenants.
func (p *fleetPlace) names(n int) (list []string) {
	p.prefix = fmt.Sprintf("t%x_", time.Now().UnixNano())
	for i := range n {
		list = append(list, fmt.Sprintf("%s%04d", p.prefix, i))
	}
	return list
}

// wantIn asserts what is applied in a schema, and the rows of its table things.
func (p *fleetPlace) wantIn(t *testing.T, schema string, versions []int64, things int) {
	t.Helper()
	got := column[int64](t, p.db, "SELECT version_id FROM "+p.quote(schema)+".goose_db_version WHERE version_id > 0 ORDER BY id")
	if !slices.Equal(got, versions) {
		t.Errorf("%q: versions %v, want %v", schema, got, versions)
	}
	if things < 0 {
		return
	}
	if n := column[int](t, p.db, "SELECT count(*) FROM "+p.quote(schema)+".things")[0]; n != things {
		t.Errorf("%q: %d things, want %d", schema, n, things)
	}
}

// wantUnbound asserts that connections of the pool are where they were.
func (p *fleetPlace) wantUnbound(t *testing.T, before string) {
	t.Helper()
	for range 5 {
		if now := column[string](t, p.db, p.where())[0]; now != before {
			t.Errorf("a connection of the pool is at %q, want %q", now, before)
		}
	}
}

func (p *fleetPlace) where() string {
	if p.dialect == "mysql" {
		return "SELECT DATABASE()"
	}
	return "SELECT current_setting('search_path')"
}

// things are migrations with unqualified names, of every kind.
func things(extra map[string]*fstest.MapFile) fstest.MapFS {
	named := map[string]*fstest.MapFile{
		"1_things.sql": script("CREATE TABLE things (id INTEGER);", "DROP TABLE things;"),
		"2_one.sql":    script("INSERT INTO things VALUES (1);", "DELETE FROM things WHERE id = 1;"),
		"3_apart.sql":  noTransaction("INSERT INTO things VALUES (3);", "DELETE FROM things WHERE id = 3;"),
	}
	for name, f := range extra {
		named[name] = f
	}
	return files(named)
}

var thingsInGo = gooseplus.WithGoMigrations(
	goose.NewGoMigration(4, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		return execTx(ctx, tx, "INSERT INTO things VALUES (4)")
	}}, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		return execTx(ctx, tx, "DELETE FROM things WHERE id = 4")
	}}),
	goose.NewGoMigration(5, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "INSERT INTO things VALUES (5)")
		return err
	}}, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "DELETE FROM things WHERE id = 5")
		return err
	}}))

func TestSchemaNames(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		before := column[string](t, p.db, p.where())[0]
		for i, name := range awkward {
			for turn, lock := range []bool{false, true} {
				if !allDrivers() && i%2 != turn {
					continue
				}
				t.Run(fmt.Sprintf("%s, lock %t", name, lock), func(t *testing.T) {
					p.create(t, name)
					defer p.exec(t, "DROP SCHEMA "+p.quote(name)+map[bool]string{true: "", false: " CASCADE"}[p.dialect == "mysql"])
					m := p.migrator(from(things(nil)), thingsInGo, gooseplus.WithSchema(name), gooseplus.WithGlobalLock(lock))
					if err := m.Migrate(ctx); err != nil {
						t.Fatal(err)
					}
					p.wantIn(t, name, upTo(5), 4)
					if v, err := m.Version(ctx); v != 5 || err != nil {
						t.Errorf("Version = %d, %v", v, err)
					}
					if s, err := m.Status(ctx); err != nil || s.CurrentVersion != 5 || s.PendingCount != 0 || s.Dirty {
						t.Errorf("Status = %+v, %v", s, err)
					}
					if err := m.RollbackTo(ctx, 1); err != nil {
						t.Fatal(err)
					}
					p.wantIn(t, name, upTo(1), 0)
					wantUp, err := m.Plan(ctx)
					if err != nil || len(wantUp) != 4 {
						t.Errorf("Plan = %v, %v", wantUp, err)
					}
					p.wantUnbound(t, before)
				})
			}
		}
		for _, name := range []string{"", strings.Repeat("x", 65)} {
			if err := p.migrator(from(things(nil)), gooseplus.WithSchema(name)).Migrate(ctx); err == nil || errors.Is(err, gooseplus.ErrTenantMissing) {
				t.Errorf("%q: %v", name, err)
			}
		}
		m := p.migrator(from(things(nil)), gooseplus.WithSchema("not there"))
		for _, err := range []error{m.Migrate(ctx), second(m.Status(ctx)), second(m.Version(ctx)), second(m.Plan(ctx)), m.Rollback(ctx, 1), m.Force(ctx, 1)} {
			wantIs(t, err, gooseplus.ErrTenantMissing)
			wantText(t, err, `"not there"`)
		}
	})
	err := gooseplus.New(nil, gooseplus.WithDialect("sqlite"), from(things(nil)), gooseplus.WithSchema("x")).Err()
	wantText(t, err, `schema "x"`)
}

func wantReport(t *testing.T, r *gooseplus.TenantsReport, total, migrated, upToDate, failed, skipped int) {
	t.Helper()
	if r.Total != total || r.Migrated != migrated || r.UpToDate != upToDate || r.Failed != failed || r.Skipped != skipped || len(r.Tenants) != total {
		t.Errorf("total %d, migrated %d, up to date %d, failed %d, skipped %d, %d results; want %d, %d, %d, %d, %d", r.Total, r.Migrated, r.UpToDate,
			r.Failed, r.Skipped, len(r.Tenants), total, migrated, upToDate, failed, skipped)
		for _, x := range r.Tenants {
			if x.Err != nil {
				t.Log(x.Name, x.State, x.Err)
			}
		}
	}
}

func TestMigrateTenants(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, lock := range []bool{false, true} {
		t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
			onSchemas(t, func(t *testing.T, p *fleetPlace) {
				before := column[string](t, p.db, p.where())[0]
				count := chaosRounds(8, 60)
				names := p.names(count)
				p.create(t, names...)
				p.db.SetMaxOpenConns(20)
				m := p.migrator(from(things(nil)), thingsInGo, gooseplus.WithGlobalLock(lock))
				var last gooseplus.TenantsProgress
				var mu sync.Mutex
				watched := p.migrator(from(things(nil)), thingsInGo, gooseplus.WithGlobalLock(lock), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					mu.Lock()
					defer mu.Unlock()
					if e, ok := e.(gooseplus.TenantsProgress); ok {
						last = e
					}
				}))
				r, err := watched.MigrateTenants(ctx, gooseplus.SchemasLike(p.db, strings.ReplaceAll(p.prefix, "_", `\_`)+"%"))
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, count, count, 0, 0, 0)
				mu.Lock()
				if last.Done != count || last.Total != count || !last.Counted || last.Failed != 0 || last.Rate <= 0 {
					t.Errorf("the last progress is %+v", last)
				}
				mu.Unlock()
				for i, name := range names {
					p.wantIn(t, name, upTo(5), 4)
					if x := r.Tenants[i]; x.Name != name || x.State != gooseplus.TenantMigrated || x.From != 0 || x.To != 5 || x.Duration <= 0 {
						t.Errorf("result %d: %+v", i, x)
					}
				}
				p.wantUnbound(t, before)
				r, err = m.MigrateTenants(ctx, gooseplus.Schemas(names...))
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, count, 0, count, 0, 0)
				if x := r.Tenants[7]; x.State != gooseplus.TenantUpToDate || x.From != 5 || x.To != 5 {
					t.Errorf("%+v", x)
				}

				// All down again, by hand.
				r, err = m.EachTenant(ctx, gooseplus.Schemas(names...), func(ctx context.Context, tm *gooseplus.Migrator) error {
					return tm.RollbackTo(ctx, 0)
				})
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, count, count, 0, 0, 0)
				p.wantIn(t, names[count-1], nil, -1)
			})
		})
	}
}

// TestTenantTimeout: a tenant whose time is over is failed and undone, and doesn't hold up the others.
func TestTenantTimeout(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		// A tenant takes a part of a second, unless the machine has much else to do: then the limit has to grow.
		longEnough(t, 3*time.Second, func(limit time.Duration) bool { return p.timesOutOne(t, p.names(2), limit) })
	})
}

// timesOutOne migrates two tenants, the first of which hangs until its timeout. It is false where another one than that
// was over the limit, and nothing is seen then.
func (p *fleetPlace) timesOutOne(t *testing.T, names []string, limit time.Duration) bool {
	t.Helper()
	p.create(t, names...)
	var hung atomic.Bool
	hangs := goose.NewGoMigration(9, &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error {
		if !hung.CompareAndSwap(false, true) {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
	r, err := p.migrator(from(things(nil)), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(hangs)).
		MigrateTenants(context.Background(), gooseplus.Schemas(names...), gooseplus.WithTenantTimeout(limit), gooseplus.WithConcurrency(1))
	wantIs(t, err, context.DeadlineExceeded)
	wantText(t, err, "tenant timeout of "+limit.String())
	if r.Failed == 2 && errors.Is(r.Tenants[1].Err, context.DeadlineExceeded) {
		return false
	}
	wantReport(t, r, 2, 1, 0, 1, 0)
	if x := r.Tenants[0]; x.State != gooseplus.TenantFailedAndUndone || x.To != 0 {
		t.Errorf("%+v", x)
	}
	p.wantIn(t, names[0], nil, -1)
	return true
}

// TestTenantsThatFail: seven of many fail, each in its own way.
func TestTenantsThatFail(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		count := chaosRounds(32, 500)
		names := p.names(count)
		p.create(t, slices.Delete(slices.Clone(names), 10, 11)...) // 10 is missing
		p.db.SetMaxOpenConns(12)
		first := p.migrator(from(things(nil)), gooseplus.WithGlobalLock(true))
		if r, _ := first.MigrateTenants(ctx, gooseplus.Schemas(names...)); r.Failed != 1 {
			t.Fatalf("%+v", r)
		}
		p.exec(t, "INSERT INTO "+p.quote(names[5])+".things VALUES (77)", "INSERT INTO "+p.quote(names[20])+".things VALUES (88)",
			"INSERT INTO "+p.quote(names[25])+".things VALUES (66)",
			"INSERT INTO "+p.quote(names[26])+".things VALUES (55)")
		more := things(map[string]*fstest.MapFile{
			"4_more.sql": table("more"),
			// Its Down fails for 55, of which there are two then.
			"5_once.sql": script("INSERT INTO things SELECT id FROM things WHERE id > 50;",
				"INSERT INTO things SELECT (SELECT id FROM things WHERE id = 55);\nDELETE FROM things WHERE id > 100;"),
		})
		in := func(ctx context.Context, tx *sql.Tx, schema int) bool {
			var n int
			err := tx.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM things WHERE id = %d", schema)).Scan(&n)
			return err == nil && n > 0
		}
		bad := errors.New("bad data")
		fails := goose.NewGoMigration(6, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			switch {
			case in(ctx, tx, 77):
				return bad
			case in(ctx, tx, 66):
				_, err := tx.ExecContext(ctx, "SELECT "+map[bool]string{true: "1/0", false: "pg_terminate_backend(pg_backend_pid())"}[p.dialect == "mysql"])
				if p.dialect == "mysql" {
					_, err = tx.ExecContext(ctx, "KILL CONNECTION_ID()")
				}
				return errors.Join(errors.New("the connection is gone"), err)
			case in(ctx, tx, 55):
				return bad
			case in(ctx, tx, 88):
				panic("boom")
			}
			return nil
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})

		// 30 is locked by somebody else to the end.
		held, release := make(chan struct{}), make(chan struct{})
		elsewhere := p.open(t)
		blocked := goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { close(held); <-release; return nil }}, nil)
		p.exec(t, "DELETE FROM "+p.quote(names[30])+".goose_db_version WHERE version_id = 3")
		ended := make(chan error, 1)
		go func() {
			ended <- gooseplus.New(elsewhere, gooseplus.WithDialect(p.dialect), gooseplus.WithGlobalLock(true), gooseplus.WithSchema(names[30]),
				from(fstest.MapFS{}), gooseplus.WithGoMigrations(blocked), gooseplus.WithMigrationTimeout(5*time.Minute)).Migrate(ctx)
		}()
		<-held

		m := p.migrator(from(more), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(fails), gooseplus.WithLockWait(300*time.Millisecond))
		r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(8))
		close(release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := elsewhere.Close(); err != nil {
			t.Error(err)
		}
		wantReport(t, r, count, count-6, 0, 6, 0)
		var failed *gooseplus.TenantsError
		if !errors.As(err, &failed) || len(failed.Failed) != 6 || len(err.Error()) > 2000 || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is %v", err)
		}
		wantIs(t, err, bad)
		wantIs(t, err, gooseplus.ErrTenantMissing)
		wantIs(t, err, gooseplus.ErrLocked)
		for i, want := range map[int]gooseplus.TenantState{5: gooseplus.TenantFailedAndUndone, 10: gooseplus.TenantMissing, 30: gooseplus.TenantLocked,
			20: gooseplus.TenantFailedAndUndone, 25: gooseplus.TenantFailedAndUndone,
			26: gooseplus.TenantFailed, 0: gooseplus.TenantMigrated} {
			x := r.Tenants[i]
			if x.Name != names[i] || x.State != want || (x.Err != nil) != (want != gooseplus.TenantMigrated) {
				t.Errorf("tenant %d: %+v", i, x)
			}
			if x.Err != nil && !strings.Contains(x.Err.Error(), names[i]) {
				t.Errorf("the error doesn't name the tenant: %v", x.Err)
			}
		}
		for i, name := range names {
			switch i {
			case 10:
			case 5, 20, 25:
				p.wantIn(t, name, upTo(3), -1)
			case 26:
				p.wantIn(t, name, upTo(5), -1) // where its Down fails
			case 30:
				p.wantIn(t, name, []int64{1, 2, 3}, -1)
			default:
				p.wantIn(t, name, upTo(6), 2)
			}
		}

		r, err = m.MigrateTenants(ctx, gooseplus.Schemas(names[10], names[30]), gooseplus.WithCreateSchema(true))
		if err != nil {
			t.Error(err)
		}
		wantReport(t, r, 2, 2, 0, 0, 0)
		if p.dialect == "mysql" {
			p.exec(t, "DROP SCHEMA "+p.quote(names[10]))
		}
	})
}

func TestTenantsStopRules(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(50)
		p.create(t, names...)
		var tried atomic.Int64
		fails := gooseplus.WithGoMigrations(goose.NewGoMigration(9, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
			tried.Add(1)
			return errors.New("boom")
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}))
		m := p.migrator(from(things(nil)), fails)
		for name, s := range map[string]struct {
			opts []gooseplus.TenantsOption
			max  int
		}{
			"canary":       {[]gooseplus.TenantsOption{gooseplus.WithCanary(2)}, 1},
			"max failures": {[]gooseplus.TenantsOption{gooseplus.WithMaxFailures(5), gooseplus.WithConcurrency(4)}, 8},
			"failure rate": {[]gooseplus.TenantsOption{gooseplus.WithMaxFailureRate(0.5), gooseplus.WithConcurrency(4)}, 23},
		} {
			tried.Store(0)
			r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), s.opts...)
			if n := int(tried.Load()); n == 0 || n > s.max || r.Failed != n || r.Skipped != 50-n || r.Total != 50 {
				t.Errorf("%s: %d were tried, %d failed, %d were skipped", name, n, r.Failed, r.Skipped)
			}
			wantIs(t, err, gooseplus.ErrRollForward)
		}
		ctx, cancel := context.WithCancel(ctx)
		n := 0
		r, err := m.MigrateTenants(ctx, func(yield func(gooseplus.Tenant, error) bool) {
			for _, name := range names {
				if n++; n == 3 {
					yield(gooseplus.Tenant{}, errors.New("the list is torn"))
					return
				}
				if !yield(gooseplus.Tenant{Schema: name}, nil) {
					return
				}
			}
		})
		wantText(t, err, "the list is torn")
		if r.Total != 2 || r.Failed != 2 {
			t.Errorf("%+v", r)
		}
		cancel()
		r, err = m.MigrateTenants(ctx, gooseplus.Schemas(names...))
		wantIs(t, err, context.Canceled)
		if r.Migrated+r.UpToDate > 0 {
			t.Errorf("%+v", r)
		}
	})
}

// TestTenantsOnFewConnections: a fleet that wants more than the pool has.
func TestTenantsOnFewConnections(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{false, true} {
		t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
			onSchemas(t, func(t *testing.T, p *fleetPlace) {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
				defer cancel()
				names := p.names(chaosRounds(16, 30))
				p.create(t, names...)
				p.db.SetMaxOpenConns(4)
				r, err := p.migrator(from(things(nil)), thingsInGo, gooseplus.WithGlobalLock(lock)).
					MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(32))
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, len(names), len(names), 0, 0, 0)
			})
		})
	}
}

// TestTwoFleets: two processes share the work, and both end well.
func TestTwoFleets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(chaosRounds(16, 40))
		p.create(t, names...)
		other := p.open(t)
		defer other.Close()
		reports, errs := make([]*gooseplus.TenantsReport, 2), make([]error, 2)
		var all sync.WaitGroup
		for i, db := range []*sql.DB{p.db, other} {
			all.Go(func() {
				reports[i], errs[i] = p.locking(db, from(things(nil)), thingsInGo).MigrateTenants(ctx, gooseplus.Schemas(names...))
			})
		}
		all.Wait()
		migrated := 0
		for i := range 2 {
			if errs[i] != nil {
				t.Error(errs[i])
			}
			migrated += reports[i].Migrated
			t.Logf("%d migrated, %d up to date", reports[i].Migrated, reports[i].UpToDate)
		}
		if migrated != len(names) {
			t.Errorf("%d were migrated", migrated)
		}
		for _, name := range names {
			p.wantIn(t, name, upTo(5), 4)
		}
	})
}

// TestTenantsInTurn: several look at the tenants at once, and yet they are worked on in the order of the source.
func TestTenantsInTurn(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(chaosRounds(60, 120))
		p.create(t, names...)
		var order []string
		_, err := p.migrator(from(fstest.MapFS{}), gooseplus.WithGoMigrations(goose.NewGoMigration(1, nil, nil)),
			gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
				if e, ok := e.(gooseplus.RunStarted); ok {
					order = append(order, e.Tenant)
				}
			})).MigrateTenants(context.Background(), gooseplus.Schemas(names...), gooseplus.WithConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(order, names) {
			t.Errorf("the order was %q", order)
		}
	})
}
