package conformance

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
)

// fleetWayBackEnv tells a process, in JSON, which tenants to migrate, and after how many the others fail.
const fleetWayBackEnv = "GOOSEPLUS_TEST_FLEET_WAY_BACK"

type fleetOrder struct {
	Driver, DSN string
	Names       []string
	FailAfter   int64
}

// call migrates the tenants from version 2 to 5. After some tenants every one fails.
func (o fleetOrder) call(p *place) (*gooseplus.TenantsReport, error) {
	db, err := openPool(o.Driver, o.DSN, 12)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var tried atomic.Int64
	up := func(int) error {
		if tried.Add(1) > o.FailAfter {
			return errInjected
		}
		return nil
	}
	return p.locking(db, from(chain(4)), gooseplus.WithGoMigrations(byTenant(5, up, nothing)), gooseplus.WithLockWait(20*time.Second)).
		MigrateTenants(context.Background(), gooseplus.Schemas(o.Names...), gooseplus.WithMaxFailures(3), gooseplus.WithWayBack(true))
}

// TestFleetWayBackProcess is no test but the process that gets killed.
func TestFleetWayBackProcess(t *testing.T) {
	text := os.Getenv(fleetWayBackEnv)
	if text == "" {
		return
	}
	var o fleetOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	say("begin", "")
	_, _ = o.call(&place{target: target{driver: o.Driver, dialect: "postgres"}})
}

// TestChaosTenantsWayBack has a call that gives up at a random moment undo what it did, while another process migrates some
// of the tenants, and connections are killed, or the process itself.
func TestChaosTenantsWayBack(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, at *place) {
		p := &fleetPlace{place: at}
		rounds, random := chaos(t, 2, 50)
		if rounds > 2 && at.driver != "pgx" {
			return // the long form is over one driver, as the driver doesn't matter to it
		}
		names := p.names(chaosRounds(24, 500))
		p.numbered(t, names)
		f := &wayBackRounds{p: p, names: names, random: random, tally: make(map[gooseplus.TenantState]int)}
		f.reset(t)
		for round := range rounds {
			if round%5 == 1 {
				f.killed(t)
			} else {
				f.disturbed(t, round%2 == 1)
			}
			if t.Failed() {
				t.Fatalf("round %d", round)
			}
			t.Logf("round %d: %v; %d tenants of another process, %d processes killed", round, f.tally, f.theirs, f.kills)
			f.reset(t)
		}
		if f.tally[gooseplus.TenantUndone] == 0 || f.theirs == 0 {
			t.Error("nothing was undone, or nobody else was there: the test shows nothing")
		}
	})
}

type wayBackRounds struct {
	p             *fleetPlace
	names         []string
	random        *rand.Rand
	tally         map[gooseplus.TenantState]int
	theirs, kills int
}

// all is a Migrator that can do everything.
func (f *wayBackRounds) all() *gooseplus.Migrator {
	return f.p.locking(f.p.db, from(chain(4)), gooseplus.WithGoMigrations(byTenant(5, nothing, nothing)))
}

// reset brings all tenants to version 2.
func (f *wayBackRounds) reset(t *testing.T) {
	t.Helper()
	f.p.db.SetMaxOpenConns(12)
	_, err := f.all().EachTenant(context.Background(), gooseplus.Schemas(f.names...), func(ctx context.Context, m *gooseplus.Migrator) error { return m.Goto(ctx, 2) })
	if err != nil {
		t.Fatal(err)
	}
}

// applied are the versions and the tables of all tenants, at one moment: the server may still commit for a process that was killed.
func (f *wayBackRounds) applied(t *testing.T) (versions map[string][]int64, tables map[string]int) {
	t.Helper()
	versions, tables = make(map[string][]int64), make(map[string]int)
	tx, err := f.p.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, name := range f.names {
		versions[name] = column[int64](t, tx, "SELECT version_id FROM "+f.p.quote(name)+".goose_db_version WHERE version_id > 0 ORDER BY id")
	}
	for _, name := range column[string](t, tx, "SELECT schemaname FROM pg_tables WHERE tablename LIKE 't00%'") {
		tables[name]++
	}
	for name, list := range versions {
		if want := len(slices.DeleteFunc(slices.Clone(list), func(v int64) bool { return v == 5 })); tables[name] != want {
			t.Errorf("%s has %d tables, and the versions %v", name, tables[name], list)
		}
	}
	return versions, tables
}

// order is a call that gives up at a random moment.
func (f *wayBackRounds) order() fleetOrder {
	return fleetOrder{Driver: f.p.driver, DSN: f.p.dsn, Names: f.names, FailAfter: 3 + f.random.Int64N(int64(len(f.names)/2))}
}

// disturbed is a round beside another process, and perhaps with connections that are killed.
func (f *wayBackRounds) disturbed(t *testing.T, kill bool) {
	o, ctx := f.order(), context.Background()
	some := slices.Clone(f.names[len(f.names)-2:]) // which the call hardly gets to
	for _, i := range f.random.Perm(len(f.names))[:max(2, len(f.names)/10)] {
		some = append(some, f.names[i])
	}
	ended := make(chan struct{})
	var beside sync.WaitGroup
	var theirs *gooseplus.TenantsReport
	beside.Go(func() {
		db, err := openPool(f.p.driver, f.p.dsn, 4)
		if err != nil {
			t.Error(err)
			return
		}
		defer db.Close()
		theirs, _ = f.p.locking(db, from(chain(4)), gooseplus.WithGoMigrations(byTenant(5, nothing, nothing))).
			MigrateTenants(ctx, gooseplus.Schemas(some...), gooseplus.WithConcurrency(1))
	})
	if kill {
		pauses := make([]time.Duration, 1+f.random.IntN(4))
		for i := range pauses {
			pauses[i] = moment(f.random, time.Duration(len(f.names))*10*time.Millisecond)
		}
		beside.Go(func() {
			for _, pause := range pauses {
				select {
				case <-ended:
					return
				case <-time.After(pause): // what makes the rounds differ
				}
				_, _ = f.p.db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")
			}
		})
	}
	r, err := o.call(f.p.place)
	close(ended)
	beside.Wait()
	f.p.db.SetMaxIdleConns(0) // some may have been killed
	f.p.db.SetMaxIdleConns(idleConns)
	if err == nil {
		t.Error("the call had no error")
	}
	f.judge(t, r, theirs)
}

// judge compares the reports with what the tenants have.
func (f *wayBackRounds) judge(t *testing.T, r, theirs *gooseplus.TenantsReport) {
	t.Helper()
	versions, _ := f.applied(t)
	others := make(map[string]bool)
	for _, x := range theirs.Tenants {
		switch x.State {
		case gooseplus.TenantFailed, gooseplus.TenantDirty: // its connection was killed
			others[x.Name] = true
		case gooseplus.TenantMigrated:
			others[x.Name] = true
			f.theirs++
			if !slices.Equal(versions[x.Name], upTo(5)) {
				t.Errorf("%s was migrated by another process, and has %v", x.Name, versions[x.Name])
			}
		}
	}
	reached := make(map[gooseplus.TenantState]int)
	for _, x := range r.Tenants {
		f.tally[x.State]++
		reached[x.State]++
		old, now := upTo(2), versions[x.Name]
		switch x.State {
		case gooseplus.TenantUndone, gooseplus.TenantFailedAndUndone, gooseplus.TenantSkipped, gooseplus.TenantLocked:
			// Another process may have come before, or after.
			if !slices.Equal(now, old) && !others[x.Name] {
				t.Errorf("%s is %s, and has %v (%v)", x.Name, x.State, now, x.Err)
			}
		case gooseplus.TenantUpToDate, gooseplus.TenantMigrated:
			if !others[x.Name] {
				t.Errorf("%s is %s, and nobody else has migrated it", x.Name, x.State)
			}
		default: // it is reported, with a reason
			if x.Err == nil {
				t.Errorf("%s is %s, without an error", x.Name, x.State)
			}
		}
	}
	if r.Failed < 3 {
		t.Errorf("the budget wasn't used up: %v", reached)
	}
}

// killed is a round in which the process is killed. Each tenant is left whole, and the next call goes on from there.
func (f *wayBackRounds) killed(t *testing.T) {
	text, err := json.Marshal(f.order())
	if err != nil {
		t.Fatal(err)
	}
	s := startProcess(t, fleetWayBackEnv+"="+string(text), os.Args[0], "-test.run=^TestFleetWayBackProcess$")
	s.until(t, "begin")
	time.Sleep(moment(f.random, time.Duration(len(f.names))*10*time.Millisecond)) // what makes the rounds differ
	s.kill()
	f.kills++
	for name, list := range first(f.applied(t)) {
		if len(list) < 2 || len(list) > 5 || !slices.Equal(list, upTo(int64(len(list)))) {
			t.Errorf("%s has %v", name, list)
		}
	}
	r, err := f.all().MigrateTenants(context.Background(), gooseplus.Schemas(f.names...))
	if err != nil {
		t.Error(err)
	}
	for _, list := range slices.Collect(maps.Values(first(f.applied(t)))) {
		if !slices.Equal(list, upTo(5)) {
			t.Errorf("after the next call: %v; %+v", list, r)
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

func openPool(driver, dsn string, most int) (*sql.DB, error) {
	db, err := sql.Open(driver, dsn)
	if err == nil {
		db.SetMaxOpenConns(most)
	}
	return db, err
}
