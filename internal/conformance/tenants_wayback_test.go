package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// numbered gives each schema a table that says which tenant it is.
func (p *fleetPlace) numbered(t *testing.T, names []string) {
	t.Helper()
	p.create(t, names...)
	for i, name := range names {
		p.exec(t, fmt.Sprintf("CREATE TABLE %s.who AS SELECT %d AS n", p.quote(name), i))
	}
}

// byTenant is a version whose Up and Down are told which tenant they are in.
func byTenant(version int64, up, down func(int) error) *goose.Migration {
	in := func(do func(int) error) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			var n int
			return errors.Join(tx.QueryRowContext(ctx, "SELECT n FROM who").Scan(&n), do(n))
		}}
	}
	return goose.NewGoMigration(version, in(up), in(down))
}

func nothing(int) error { return nil }

// TestTenantsWayBack: the last tenant fails, and what the call did to the others is undone, unless somebody else has worked
// on them since.
func TestTenantsWayBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, lock := range []bool{true, false} {
		t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
			onSchemas(t, func(t *testing.T, p *fleetPlace) {
				names := p.names(12)
				const plain, builtOn, again, protected, stuck, dropped, behind, forced, complete, last, failing, skipped = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
				p.numbered(t, names)
				other := func(i int, opts ...gooseplus.Option) *gooseplus.Migrator {
					return p.migrator(append(opts, from(chain(4)), gooseplus.WithGlobalLock(lock), gooseplus.WithSchema(names[i]))...)
				}
				five := gooseplus.WithGoMigrations(byTenant(5, nothing, nothing))
				for i := range names {
					target := int64(2)
					if i == complete {
						target = 5
					}
					if err := other(i, five).MigrateTo(ctx, target); err != nil {
						t.Fatal(err)
					}
				}
				meanwhile := func() error {
					return errors.Join(
						other(builtOn, gooseplus.WithGoMigrations(byTenant(5, nothing, nothing), byTenant(9, nothing, nothing))).Migrate(ctx),
						other(again, five).Rollback(ctx, 1), other(again, five).Migrate(ctx),
						other(protected, five).LockVersion(ctx, 4),
						other(behind, five).RollbackTo(ctx, 2),
						other(forced, five).Force(ctx, 5),
						second(p.db.Exec("DROP SCHEMA "+p.quote(names[dropped])+map[string]string{"postgres": " CASCADE"}[p.dialect])))
				}
				boom := errors.New("boom")
				up := func(n int) error {
					if n == failing {
						return errors.Join(boom, meanwhile())
					}
					return nil
				}
				down := func(n int) error {
					if n == stuck {
						return errors.New("it is stuck")
					}
					return nil
				}
				var undone []string
				var announced int
				var progress gooseplus.TenantsProgress
				m := p.migrator(from(chain(4)), gooseplus.WithGlobalLock(lock), gooseplus.WithGoMigrations(byTenant(5, up, down)),
					gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
						switch e := e.(type) {
						case gooseplus.TenantsWayBackStarted:
							announced = e.Tenants
						case gooseplus.TenantsProgress:
							progress = e
						case gooseplus.RunFinished:
							if announced > 0 && e.Err == nil {
								undone = append(undone, e.Tenant)
							}
						}
					}))
				r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(1), gooseplus.WithMaxFailures(1), gooseplus.WithWayBack(true))
				wantIs(t, err, boom)
				want := map[int]struct {
					state    gooseplus.TenantState
					to       int64
					versions []int64
					text     string
				}{
					plain:     {gooseplus.TenantUndone, 2, upTo(2), ""},
					builtOn:   {gooseplus.TenantNotUndone, 9, []int64{1, 2, 3, 4, 5, 9}, "another process has worked on this database since"},
					again:     {gooseplus.TenantNotUndone, 5, upTo(5), "another process has worked on this database since"},
					protected: {gooseplus.TenantNotUndone, 5, upTo(5), "UnlockVersion(4)"},
					stuck:     {gooseplus.TenantNotUndone, 5, upTo(5), "it is stuck"},
					dropped:   {gooseplus.TenantNotUndone, 5, nil, ""},
					behind:    {gooseplus.TenantNotUndone, 2, upTo(2), "it undid [3 4 5]"},
					forced:    {gooseplus.TenantNotUndone, 5, upTo(5), "another process has worked on this database since"},
					complete:  {gooseplus.TenantUpToDate, 5, upTo(5), ""},
					last:      {gooseplus.TenantUndone, 2, upTo(2), ""},
					failing:   {gooseplus.TenantFailedAndUndone, 2, upTo(2), "boom"},
					skipped:   {gooseplus.TenantSkipped, -1, upTo(2), ""},
				}
				if p.dialect == "mysql" { // where no transaction covers a Down
					w := want[stuck]
					w.state = gooseplus.TenantDirty
					want[stuck] = w
				}
				order := []int{last, plain}
				if !lock { // nobody has written down that somebody was there
					w := want[forced]
					w.state, w.to, w.versions, w.text = gooseplus.TenantUndone, 2, upTo(2), ""
					want[forced], order = w, []int{last, forced, plain}
				}
				for i, w := range want {
					x := r.Tenants[i]
					if x.State != w.state || x.To != w.to && i != dropped || (x.Err == nil) != (w.text == "" && i != dropped) || x.Err != nil && !strings.Contains(x.Err.Error(), w.text) {
						t.Errorf("tenant %d: %+v, want %+v", i, x, w)
					}
					if x.Err != nil && !strings.Contains(x.Err.Error(), names[i]) {
						t.Errorf("the error doesn't name the tenant: %v", x.Err)
					}
					if want := map[bool][]int64{true: {3, 4, 5}}[w.text != "" && i != failing || i == dropped]; !slices.Equal(x.Applied, want) {
						t.Errorf("tenant %d: applied %v, want %v", i, x.Applied, want)
					}
					if i != dropped {
						p.wantIn(t, names[i], w.versions, -1)
					}
				}
				n := len(order)
				if r.Undone != n || r.Failed != 10-n || r.UpToDate != 1 || r.Skipped != 1 || r.Migrated != 0 || announced != 9 {
					t.Errorf("%+v, announced %d", r, announced)
				}
				if progress.Done != 9 || progress.Total != 9 || progress.Failed != 9-n || !progress.Counted {
					t.Errorf("the last progress is %+v", progress)
				}
				wantText(t, err, fmt.Sprintf("; %d that had succeeded are undone", n))
				for i := range order {
					if i >= len(undone) || undone[i] != names[order[i]] {
						t.Errorf("undone are %q, want the tenants %v", undone, order)
						break
					}
				}
			})
		})
	}
}

// TestTenantsWayBackOfCanaries: the second canary fails, and the first is undone; the end of the context undoes nothing.
func TestTenantsWayBackOfCanaries(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.numbered(t, names)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		fails := func(n int) error {
			if n == 1 {
				return errInjected
			}
			return nil
		}
		m := p.migrator(from(chain(2)), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(byTenant(5, fails, nothing)))
		r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCanary(2), gooseplus.WithWayBack(true))
		wantIs(t, err, errInjected)
		if r.Undone != 1 || r.Failed != 1 || r.Skipped != 1 || r.Tenants[0].State != gooseplus.TenantUndone {
			t.Errorf("%+v", r)
		}
		p.wantIn(t, names[0], nil, -1)

		ends := func(n int) error {
			if n == 1 {
				cancel()
				return ctx.Err()
			}
			return nil
		}
		m = p.migrator(from(chain(2)), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(byTenant(5, ends, nothing)))
		r, err = m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCanary(2), gooseplus.WithMaxFailures(1), gooseplus.WithWayBack(true))
		wantIs(t, err, context.Canceled)
		if r.Undone != 0 || r.Migrated != 1 {
			t.Errorf("%+v", r)
		}
		p.wantIn(t, names[0], []int64{1, 2, 5}, -1)
	})
}

// TestTenantsWayBackOfNamespaces: a tenant's namespaces are undone together, the last one first.
func TestTenantsWayBackOfNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(2)
		p.create(t, names...)
		p.exec(t, "CREATE TABLE "+p.quote(names[1])+".a (id INTEGER)") // in the way
		set := map[string]string{"sql/b/1_b.sql": "b", "sql/a/2_a.sql": "a", "sql/a/3_c.sql": "c"}
		fsys := files(nil)
		for name, of := range set {
			fsys[name] = table(of)
		}
		var steps []string
		m := p.migrator(from(fsys), gooseplus.WithNamespaces("b", "a"), gooseplus.WithGlobalLock(true), gooseplus.WithForeignHistory(gooseplus.Ignore),
			gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
				var done []gooseplus.Step
				switch e := e.(type) {
				case gooseplus.MigrationFinished:
					if e.Tenant == names[0] {
						done = []gooseplus.Step{e.Step}
					}
				case gooseplus.BatchFinished:
					if e.Tenant == names[0] {
						done = e.Steps
					}
				}
				for _, step := range done {
					steps = append(steps, fmt.Sprint(step.Direction, step.Version))
				}
			}))
		r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(1), gooseplus.WithMaxFailures(1), gooseplus.WithWayBack(true))
		if err == nil || r.Tenants[0].State != gooseplus.TenantUndone || r.Tenants[0].To != 0 {
			t.Errorf("%+v, %v", r.Tenants, err)
		}
		if want := []string{"up1", "up2", "up3", "down3", "down2", "down1"}; !slices.Equal(steps, want) {
			t.Errorf("the steps are %v, want %v", steps, want)
		}
	})
}

// TestTenantsWayBackOfDatabases: databases are undone as schemas are. Each is opened again.
func TestTenantsWayBackOfDatabases(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	file := sqliteTarget("sqlite")
	var list []gooseplus.Tenant
	dsns := make([]string, 3)
	for i := range dsns {
		dsns[i] = file.database(t)
		list = append(list, gooseplus.Tenant{Name: fmt.Sprint("t", i), Open: func(context.Context) (*sql.DB, error) { return sql.Open("sqlite", dsns[i]) }})
	}
	source := func(yield func(gooseplus.Tenant, error) bool) {
		for _, tenant := range list {
			if !yield(tenant, nil) {
				return
			}
		}
	}
	db, err := sql.Open("sqlite", dsns[2])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE t002 (id INTEGER)"); err != nil { // in the way
		t.Fatal(err)
	}
	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite"), from(chain(2)), gooseplus.WithGlobalLock(true), gooseplus.WithForeignHistory(gooseplus.Ignore))
	r, err := m.MigrateTenants(ctx, source, gooseplus.WithConcurrency(1), gooseplus.WithMaxFailures(1), gooseplus.WithWayBack(true))
	wantIs(t, err, gooseplus.ErrRollForward)
	if r.Undone != 2 || r.Failed != 1 || r.Tenants[0].State != gooseplus.TenantUndone || r.Tenants[0].To != 0 {
		t.Errorf("%+v", r)
	}
	for i, tenant := range list[:2] {
		if v, err := m.Tenant(tenant).Version(ctx); v != 0 || err != nil {
			t.Errorf("tenant %d is at %d, %v", i, v, err)
		}
	}
}

// TestTenantsWayBackLocked: somebody else has a tenant's lock until the way back has ended. That tenant stays as it is, and the error
// says why.
func TestTenantsWayBackLocked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.numbered(t, names)
		fails := func(n int) error {
			if n == 2 {
				return errInjected
			}
			return nil
		}
		held, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		slow := goose.NewGoMigration(9, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { close(held); <-release; return nil }}, nil)
		five := byTenant(5, fails, nothing)
		m := p.migrator(from(chain(2)), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(five), gooseplus.WithLockWait(300*time.Millisecond),
			gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
				if _, ok := e.(gooseplus.TenantsWayBackStarted); !ok {
					return
				}
				go func() {
					ended <- p.migrator(from(chain(2)), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(five, slow), gooseplus.WithSchema(names[0])).Migrate(ctx)
				}()
				<-held
			}))
		r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(1), gooseplus.WithMaxFailures(1), gooseplus.WithWayBack(true))
		close(release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		wantIs(t, err, errInjected)
		if x := r.Tenants[0]; x.State != gooseplus.TenantNotUndone || !errors.Is(x.Err, gooseplus.ErrLocked) || x.To != 5 || !slices.Equal(x.Applied, []int64{1, 2, 5}) {
			t.Errorf("%+v", x)
		}
		if x := r.Tenants[1]; x.State != gooseplus.TenantUndone || r.Undone != 1 || r.Failed != 2 {
			t.Errorf("%+v of %+v", x, r)
		}
		p.wantIn(t, names[0], []int64{1, 2, 5, 9}, -1)
		p.wantIn(t, names[1], nil, -1)
	})
}

// TestWayBackNeedsAReason: the option is refused where nothing could ever come of it.
func TestWayBackNeedsAReason(t *testing.T) {
	t.Parallel()
	ctx, m, all := context.Background(), gooseplus.New(nil, from(chain(1))), gooseplus.Schemas("a")
	_, err := m.MigrateTenants(ctx, all, gooseplus.WithWayBack(true))
	wantText(t, err, "WithMaxFailures")
	_, err = m.MigrateTenants(ctx, all, gooseplus.WithWayBack(true), gooseplus.WithMaxFailureRate(0.5))
	wantText(t, err, "the database given to New is nil")
	_, err = m.EachTenant(ctx, all, func(context.Context, *gooseplus.Migrator) error { return nil }, gooseplus.WithCanary(1), gooseplus.WithWayBack(true))
	wantText(t, err, "MigrateTenants only")
	for _, err := range m.TenantsStatus(ctx, all, gooseplus.WithCanary(1), gooseplus.WithWayBack(true)) {
		wantText(t, err, "MigrateTenants only")
	}
}
