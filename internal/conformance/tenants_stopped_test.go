package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// inTenant is a version whose Up and Down are told which tenant they are in, and have its transaction.
func inTenant(version int64, up, down func(context.Context, *sql.Tx, int) error) *goose.Migration {
	in := func(do func(context.Context, *sql.Tx, int) error) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT n FROM who").Scan(&n); err != nil {
				return err
			}
			return do(ctx, tx, n)
		}}
	}
	return goose.NewGoMigration(version, in(up), in(down))
}

func inNone(context.Context, *sql.Tx, int) error { return nil }

// inFlight is where tenants arrive in the middle of their migrations, and stay until it is opened.
type inFlight struct{ arrived, opened chan struct{} }

func newInFlight(tenants int) *inFlight {
	return &inFlight{make(chan struct{}, tenants), make(chan struct{})}
}

func (f *inFlight) stay() {
	f.arrived <- struct{}{}
	<-f.opened
}

// full waits until all tenants have arrived.
func (f *inFlight) full(t *testing.T) {
	t.Helper()
	eventually(t, "the tenants are in the middle of their migrations", func() bool { return len(f.arrived) == cap(f.arrived) })
}

// called is what MigrateTenants returned.
type called struct {
	r   *gooseplus.TenantsReport
	err error
}

// announced are the schemas, and a channel that is closed once the last of them was asked for.
func announced(names []string) (source func(func(gooseplus.Tenant, error) bool), all chan struct{}) {
	all = make(chan struct{})
	return func(yield func(gooseplus.Tenant, error) bool) {
		defer close(all)
		for _, name := range names {
			if !yield(gooseplus.Tenant{Schema: name}, nil) {
				return
			}
		}
	}, all
}

// wantAllUnbound asserts that every connection of the pool is where it was, and in no transaction.
func (p *fleetPlace) wantAllUnbound(t *testing.T, before string) {
	t.Helper()
	ctx := context.Background()
	open := p.db.Stats().OpenConnections
	var taken []*sql.Conn
	defer func() {
		for _, c := range taken {
			_ = c.Close()
		}
	}()
	for range open {
		c, err := p.db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, c)
		var now string
		if err := c.QueryRowContext(ctx, p.where()).Scan(&now); err != nil || now != before {
			t.Errorf("one of %d connections of the pool is at %q, %v, want %q", open, now, err, before)
		}
	}
	held := `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	if p.dialect == "mysql" {
		held = "SELECT count(*) FROM information_schema.innodb_trx AS x JOIN information_schema.processlist AS c ON c.id = x.trx_mysql_thread_id WHERE c.db = DATABASE()"
	}
	eventually(t, "no lock and no transaction is left", func() bool { return column[int](t, p.db, held)[0] == 0 })
}

// TestTenantsCancelled: the context ends while tenants are in the middle of their migrations. Each of them is reported as it
// is now; the tenants that were not begun are skipped and untouched.
func TestTenantsCancelled(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{true, false} {
		t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
			onSchemas(t, func(t *testing.T, p *fleetPlace) {
				before := column[string](t, p.db, p.where())[0]
				names := p.names(12)
				const first, returns, executes, stuck, rest = 3, 3, 4, 5, 6 // three are done, three are in flight
				p.numbered(t, names)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				f := newInFlight(3)
				six := inTenant(6, func(ctx context.Context, tx *sql.Tx, n int) error {
					switch n {
					case returns, stuck:
						f.stay()
					case executes:
						f.arrived <- struct{}{}
						return execTx(ctx, tx, strings.Replace(p.sleep, ";", "", 1))
					}
					return nil
				}, inNone)
				five := inTenant(5, inNone, func(_ context.Context, _ *sql.Tx, n int) error {
					if n == stuck {
						return errors.New("it is stuck")
					}
					return nil
				})
				asleep := "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(30)%' AND datname = current_database()"
				if p.dialect == "mysql" {
					asleep = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP(30)%' AND db LIKE '" + p.prefix + "%'"
				}
				source, all := announced(names)
				done := make(chan called, 1)
				go func() {
					r, err := p.migrator(from(chain(4)), gooseplus.WithGlobalLock(lock), gooseplus.WithGoMigrations(five, six)).
						MigrateTenants(ctx, source, gooseplus.WithConcurrency(3))
					done <- called{r, err}
				}()
				f.full(t)
				<-all
				p.untilAny(t, "one tenant executes its statement", asleep)
				cancel()
				close(f.opened)
				end := <-done
				r, err := end.r, end.err
				wantIs(t, err, context.Canceled)
				wantReport(t, r, 12, 3, 0, 3, 6)
				for i, x := range r.Tenants {
					state, to, versions := gooseplus.TenantSkipped, int64(-1), []int64(nil)
					switch {
					case i < first:
						state, to, versions = gooseplus.TenantMigrated, 6, upTo(6)
					case i == stuck:
						state, to, versions = gooseplus.TenantFailed, 5, upTo(5)
						if p.dialect == "mysql" { // no transaction takes back what its Down did
							state = gooseplus.TenantDirty
						}
						wantIs(t, x.Err, gooseplus.ErrRollBack)
					case i < rest:
						state, to = gooseplus.TenantFailedAndUndone, 0
						wantIs(t, x.Err, gooseplus.ErrRollForward)
					}
					if x.State != state || x.To != to || (x.Err == nil) == (i >= first && i < rest) {
						t.Errorf("tenant %d: %+v; want %s at %d", i, x, state, to)
					}
					if x.Err != nil {
						wantIs(t, x.Err, context.Canceled)
					}
					if i < rest {
						p.wantIn(t, names[i], versions, -1)
					} else if n := p.tables(t, names[i]); n != 1 {
						t.Errorf("tenant %d was not begun, and has %d tables", i, n)
					}
				}
				p.wantAllUnbound(t, before)
				// The next call finds no lock, and goes on with all the others.
				r, err = p.migrator(from(chain(4)), gooseplus.WithGlobalLock(lock), gooseplus.WithLockWait(0), gooseplus.WithGoMigrations(inTenant(5, inNone, inNone), inTenant(6, inNone, inNone))).
					MigrateTenants(context.Background(), gooseplus.Schemas(slices.Concat(names[:stuck], names[rest:])...))
				if err != nil {
					t.Error(err)
				}
				wantReport(t, r, 11, 8, 3, 0, 0)
			})
		})
	}
}

// tables counts the tables of a schema.
func (p *fleetPlace) tables(t *testing.T, schema string) int {
	t.Helper()
	return column[int](t, p.db, "SELECT count(*) FROM information_schema.tables WHERE table_schema = '"+schema+"'")[0]
}

// TestTenantsBudgetInFlight: the budget is used up while other tenants are in the middle of their migrations. They come to
// their end, and count as what they are.
func TestTenantsBudgetInFlight(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		before := column[string](t, p.db, p.where())[0]
		names := p.names(12)
		const migrates, fails, failsLater = 0, 1, 2
		p.numbered(t, names)
		boom := errors.New("boom")
		f, full := newInFlight(3), make(chan struct{})
		five := inTenant(5, func(_ context.Context, _ *sql.Tx, n int) error {
			f.arrived <- struct{}{}
			if n == fails {
				<-full
			} else {
				<-f.opened
			}
			if n != migrates {
				return boom
			}
			return nil
		}, inNone)
		var once sync.Once
		source, all := announced(names)
		m := p.migrator(from(chain(4)), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(five), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if e, ok := e.(gooseplus.TenantsProgress); ok && e.Failed > 0 {
				once.Do(func() { close(f.opened) })
			}
		}))
		done := make(chan called, 1)
		go func() {
			r, err := m.MigrateTenants(ctx, source, gooseplus.WithConcurrency(3), gooseplus.WithMaxFailures(1))
			done <- called{r, err}
		}()
		f.full(t)
		<-all
		close(full)
		end := <-done
		r, err := end.r, end.err
		wantIs(t, err, boom)
		wantReport(t, r, 12, 1, 0, 2, 9)
		wantText(t, err, "2 of 12 tenants failed")
		for i, x := range r.Tenants {
			state, to := gooseplus.TenantSkipped, int64(-1)
			switch i {
			case migrates:
				state, to = gooseplus.TenantMigrated, 5
				p.wantIn(t, names[i], upTo(5), -1)
			case fails, failsLater:
				state, to = gooseplus.TenantFailedAndUndone, 0
				p.wantIn(t, names[i], nil, -1)
			default:
				if n := p.tables(t, names[i]); n != 1 {
					t.Errorf("tenant %d was not begun, and has %d tables", i, n)
				}
			}
			if x.State != state || x.To != to {
				t.Errorf("tenant %d: %+v; want %s at %d", i, x, state, to)
			}
		}
		p.wantAllUnbound(t, before)
	})
}

// TestTenantsMissWhatTheyAskFor: a migration asks for a database that isn't there. That is the migration's failure, and no
// missing tenant.
func TestTenantsMissWhatTheyAskFor(t *testing.T) {
	t.Parallel()
	having(schemas).onDatabases(t, func(t *testing.T, one *place) {
		p := &fleetPlace{place: one}
		ask := map[string]string{
			"postgres": "-- +goose StatementBegin\nDO $$ BEGIN RAISE EXCEPTION 'database \"absent\" does not exist' USING ERRCODE = '3D000'; END $$;\n-- +goose StatementEnd",
			"mysql":    "CREATE TABLE absent.t (id INTEGER);",
		}[p.dialect]
		set := map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);", "DROP TABLE a;"), "2_b.sql": script(ask, "SELECT 1;")}
		report, _ := p.migrator(from(files(set))).MigrateTenants(context.Background(), gooseplus.Schemas(p.names(1)...), gooseplus.WithCreateSchema(true))
		wantIs(t, report.Tenants[0].Err, gooseplus.ErrRollForward)
		if state := report.Tenants[0].State; state != gooseplus.TenantFailedAndUndone {
			t.Errorf("the tenant is %q: %v", state, report.Tenants[0].Err)
		}
	})
}

// TestTenantsThatAreLockedComeLast: the only worker doesn't wait for a tenant that somebody else has locked, while there are others.
// In the end it does: somebody else goes on when all others are done.
func TestTenantsThatAreLockedComeLast(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.create(t, names...)
		held, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		slow := goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { close(held); <-release; return nil }}, nil)
		go func() {
			ended <- p.migrator(from(fstest.MapFS{}), gooseplus.WithGlobalLock(true), gooseplus.WithSchema(names[0]), gooseplus.WithGoMigrations(slow)).Migrate(ctx)
		}()
		<-held
		others := 0
		nothing := goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil)
		m := p.migrator(from(fstest.MapFS{}), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(nothing), gooseplus.WithLockWait(patience/4),
			gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
				switch e := e.(type) {
				case gooseplus.LockWaiting:
					if e.Tenant == names[0] && others < 2 {
						t.Errorf("the worker waits, and %d others are done", others)
					}
				case gooseplus.RunFinished:
					if e.Err == nil && e.Tenant != names[0] {
						if others++; others == 2 {
							close(release)
						}
					}
				}
			}))
		r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(1))
		if err != nil || r.Migrated != 2 || r.UpToDate != 1 || r.Tenants[0].State != gooseplus.TenantUpToDate {
			t.Errorf("%+v, %v", r, err)
		}
		if others < 2 {
			close(release)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
