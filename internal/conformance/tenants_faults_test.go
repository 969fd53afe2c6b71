package conformance

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestTenantsBehindPgBouncer: what is in a transaction lands in the right schema, though each transaction may
// be on another connection of the server.
func TestTenantsBehindPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onBouncers(t, 5, func(t *testing.T, b *bounced) {
		p := &fleetPlace{place: b.p}
		count := chaosRounds(12, 50)
		names := p.names(count)
		p.create(t, names...)
		set := things(nil)
		delete(set, "sql/base/3_apart.sql")
		db := b.instance(t)
		for i, want := range []string{"migrated", "up to date"} {
			r, err := gooseplus.New(db, from(set), gooseplus.WithGlobalLock(true)).
				MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(3))
			if err != nil {
				t.Fatal(err)
			}
			wantReport(t, r, count, count*(1-i), count*i, 0, 0)
			if r.Tenants[count-1].State != gooseplus.TenantState(want) {
				t.Errorf("%+v", r.Tenants[count-1])
			}
		}
		for _, name := range names {
			p.wantIn(t, name, upTo(2), 1)
		}
		b.wantUntouched(t)
	})
}

// fleetVictimEnv has the driver, the dialect, the prefix of the schemas and the DSN for the process that gets
// killed.
const fleetVictimEnv = "GOOSEPLUS_TEST_FLEET_VICTIM"

func fleetVictimFiles() fstest.MapFS {
	named := make(map[string]*fstest.MapFile)
	for i := 1; i <= 5; i++ {
		named[fmt.Sprintf("%d_t.sql", i)] = script(fmt.Sprintf("CREATE TABLE t%d (id INTEGER);", i), fmt.Sprintf("DROP TABLE t%d;", i))
	}
	return files(named)
}

// fleetVictimDone is how many tenants are done when the process is killed, while others are in their middle.
const fleetVictimDone = 10

func TestFleetVictim(t *testing.T) {
	part := strings.SplitN(os.Getenv(fleetVictimEnv), " ", 4)
	if len(part) != 4 {
		return
	}
	p := &place{target: target{driver: part[0], dialect: part[1]}, dsn: part[3]}
	db := p.open(t)
	source := gooseplus.SchemasLike(db, strings.ReplaceAll(part[2], "_", `\_`)+"%")
	_, err := p.locking(db, from(fleetVictimFiles()), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if e, ok := e.(gooseplus.TenantsProgress); ok && e.Done >= fleetVictimDone {
			fmt.Println("begin")
		}
	})).MigrateTenants(context.Background(), source)
	if err != nil {
		t.Error(err)
	}
}

// TestTenantsKilled kills the process in the middle of a fleet. The next call finishes it.
func TestTenantsKilled(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(chaosRounds(24, 300))
		p.create(t, names...)
		cmd := exec.Command(os.Args[0], "-test.run=^TestFleetVictim$")
		cmd.Env = append(os.Environ(), fleetVictimEnv+"="+strings.Join([]string{p.driver, p.dialect, p.prefix, p.dsn}, " "))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "begin" {
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		_ = cmd.Wait()

		p.db.SetMaxOpenConns(20)
		r, err := p.locking(p.db, from(fleetVictimFiles())).MigrateTenants(ctx, gooseplus.Schemas(names...))
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed+r.Skipped > 0 || r.Migrated == 0 || r.UpToDate == 0 {
			t.Errorf("migrated %d, up to date %d, failed %d, skipped %d", r.Migrated, r.UpToDate, r.Failed, r.Skipped)
		}
		t.Logf("%d of %d were done when the process was killed", r.UpToDate, r.Total)
		for _, name := range names {
			p.wantIn(t, name, upTo(5), -1)
		}
		outcomes := make(map[string]int)
		for _, name := range names {
			for _, o := range column[string](t, p.db, "SELECT outcome FROM "+p.quote(name)+".goose_db_version_lock WHERE kind = 'run'") {
				outcomes[o]++
			}
		}
		t.Logf("outcomes %v", outcomes)
		if outcomes["migrated"]+outcomes["crashed"] < len(names) || outcomes["running"]+outcomes["cut off"] > 0 {
			t.Errorf("outcomes %v", outcomes)
		}
	})
}

// TestTenantsListedTwice: a schema that a query returns twice is one tenant, whatever it is called.
func TestTenantsListedTwice(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(2)
		p.create(t, names...)
		var mu sync.Mutex
		var warned []string
		m := p.migrator(from(chain(3)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if w, ok := e.(gooseplus.Warning); ok {
				mu.Lock()
				defer mu.Unlock()
				warned = append(warned, w.Tenant)
			}
		}))
		source := func(yield func(gooseplus.Tenant, error) bool) {
			for _, tenant := range []gooseplus.Tenant{
				{Name: "Acme", Schema: names[0]}, {Schema: names[1]}, {Name: "Acme", Schema: names[0]}, {Schema: names[1]}, {Name: "Acme Inc", Schema: names[0]},
			} {
				if !yield(tenant, nil) {
					return
				}
			}
		}
		wantWarned := func() {
			t.Helper()
			if want := []string{"Acme", names[1], "Acme Inc"}; !slices.Equal(warned, want) {
				t.Errorf("warnings of %q, want %q", warned, want)
			}
			warned = nil
		}
		r, err := m.MigrateTenants(ctx, source, gooseplus.WithConcurrency(4))
		if err != nil {
			t.Error(err)
		}
		wantReport(t, r, 2, 2, 0, 0, 0)
		wantWarned()
		if r, err = m.EachTenant(ctx, source, func(ctx context.Context, tm *gooseplus.Migrator) error { return tm.Rollback(ctx, 1) }); err != nil {
			t.Error(err)
		}
		wantReport(t, r, 2, 2, 0, 0, 0)
		wantWarned()
		for s, err := range m.TenantsStatus(ctx, source) {
			if err != nil || s.Version != 2 {
				t.Errorf("%+v, %v; want version 2", s, err)
			}
		}
		wantWarned()
	})
}

// TestTenantsThatPrepare: what a tenant's migration has prepared is not there for the next tenant, though a connection can serve both.
func TestTenantsThatPrepare(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		prepare := map[string]string{"postgres": "PREPARE p AS SELECT 1;", "mysql": "PREPARE p FROM 'SELECT 1';"}[p.dialect]
		names := p.names(4)
		p.create(t, names...)
		fsys := files(map[string]*fstest.MapFile{"1_p.sql": script(prepare, "SELECT 1;"), "2_a.sql": table("a")})
		r, err := p.migrator(from(fsys)).MigrateTenants(context.Background(), gooseplus.Schemas(names...), gooseplus.WithConcurrency(1))
		if err != nil {
			t.Error(err)
		}
		wantReport(t, r, 4, 4, 0, 0, 0)
	})
}
