package fleet_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// 100,000 tenants in the ledger, with a stub in place of the migrations.
func TestManyTenants(t *testing.T) {
	t.Parallel()
	tenants := 600
	if long {
		tenants = 100_000
	}
	s := newStage(t, 4, 1, first)
	s.setup.Stub = true
	s.remake()
	began := time.Now()
	if _, err := s.Sync(t.Context(), s.source(tenants/2)); err != nil {
		t.Fatal(err)
	}
	synced := time.Since(began)
	began = time.Now()
	s.start(fleet.Plan{Name: "many", Waves: []fleet.Wave{{Canaries: []string{"a_1"}}, {Share: 0.1}, {Share: 1}}})
	planned := time.Since(began)
	w := s.workers(3, 1)
	var slowest time.Duration
	var memory int
	for began = time.Now(); ; time.Sleep(50 * time.Millisecond) {
		asked := time.Now()
		p, err := s.Progress(t.Context(), "many")
		if err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(asked))
		for _, c := range w.live {
			memory = max(memory, resident(c.Process.Pid))
		}
		if p.State == fleet.Done {
			if p.Tenants.Done != tenants {
				t.Errorf("%+v", p)
			}
			break
		}
		if time.Since(began) > 7*time.Minute {
			t.Fatalf("%+v", p)
		}
	}
	worked := time.Since(began)
	t.Logf("%d tenants: Sync %v, Start %v, work %v, the slowest Progress %v, a worker at most %d MB; %d lane jobs",
		tenants, synced.Round(time.Millisecond), planned.Round(time.Millisecond), worked.Round(time.Millisecond), slowest.Round(time.Millisecond),
		memory>>20, s.number(`SELECT count(*) FROM river_job WHERE kind LIKE '%lane'`))
	if long && (planned > time.Minute || memory>>20 > 300) {
		t.Error("that is too much")
	}
}

// resident is how much memory a process has, 0 if that can't be told.
func resident(pid int) (bytes int) {
	if runtime.GOOS != "linux" {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var pages int
	_, _ = fmt.Sscan(strings.Fields(string(text))[1], &pages)
	return pages * os.Getpagesize()
}

// A rollout beside MigrateTenants on the same servers, with the same concurrency.
func TestBesideMigrateTenants(t *testing.T) {
	t.Parallel()
	schemas, lanes, small := 10, 2, 10
	if long {
		schemas, small = 5_000, 1_000
	}
	s := newStage(t, lanes, schemas, first)
	inProcess := func(n int) time.Duration {
		began := time.Now()
		var servers [2]error
		done := make(chan struct{})
		for i, name := range []string{"a", "b"} {
			go func() {
				var ids []string
				for j := range n {
					ids = append(ids, fmt.Sprintf("%s_%d", name, j))
				}
				m := s.setup.migrator().On(s.databases[name].DB).With(gooseplus.WithGlobalLock(true))
				_, servers[i] = m.MigrateTenants(t.Context(), gooseplus.Schemas(ids...), gooseplus.WithConcurrency(lanes))
				done <- struct{}{}
			}()
		}
		<-done
		<-done
		if servers[0] != nil || servers[1] != nil {
			t.Fatal(servers)
		}
		return time.Since(began)
	}
	rollout := func(name string) time.Duration {
		began := time.Now()
		s.start(fleet.Plan{Name: name})
		s.wait(name, 7*2*time.Minute, fleet.Done)
		return time.Since(began)
	}
	inProcess(1)
	for name := range s.databases {
		s.clone(name, schemas)
	}
	for range 3 {
		s.process()
	}
	s.until(time.Minute, `SELECT count(*) = 3 FROM fleet_worker`)
	sweep, nothing := inProcess(schemas), rollout("nothing")
	t.Logf("%d schemas with nothing pending: MigrateTenants %v, a rollout %v; %d lane jobs", 2*schemas, sweep.Round(time.Millisecond),
		nothing.Round(time.Millisecond), s.number(`SELECT count(*) FROM river_job WHERE kind LIKE '%lane'`))

	stopAll(s)
	if _, err := s.Sync(t.Context(), s.source(small)); err != nil {
		t.Fatal(err)
	}
	s.with("sql/00003_third.sql", "-- +goose Up\nALTER TABLE marker ADD third text;\nINSERT INTO marker VALUES (3);\n-- +goose Down\nSELECT 1;\n")
	alone := inProcess(small)
	s.with("sql/00004_fourth.sql", "-- +goose Up\nALTER TABLE marker ADD fourth text;\nINSERT INTO marker VALUES (4);\n-- +goose Down\nSELECT 1;\n")
	for range 3 {
		s.process()
	}
	s.until(time.Minute, `SELECT count(*) FILTER (WHERE beat_at > now() - interval '10 seconds') >= 3 FROM fleet_worker`)
	one := rollout("one")
	t.Logf("%d schemas with one small migration: MigrateTenants %v, a rollout %v", 2*small, alone.Round(time.Millisecond), one.Round(time.Millisecond))
	if s.number(`SELECT count(*) FROM fleet_tenant WHERE version = 4`) != 2*small {
		t.Error("not all tenants were migrated")
	}
}

// clone gives all tenants of a server the tables of the first one, which is faster than to migrate them.
func (s *stage) clone(server string, schemas int) {
	s.t.Helper()
	const batch = 250
	for from := 1; from < schemas; from += batch {
		if _, err := s.databases[server].ExecContext(s.t.Context(), fmt.Sprintf(`DO $$
			DECLARE name text;
			BEGIN FOR i IN %d..%d LOOP FOR name IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = '%[3]s_0'::regnamespace LOOP
				EXECUTE format('CREATE TABLE %[3]s_%%s.%%I (LIKE %[3]s_0.%%2$I INCLUDING ALL)', i, name);
				EXECUTE format('INSERT INTO %[3]s_%%s.%%I OVERRIDING SYSTEM VALUE SELECT * FROM %[3]s_0.%%2$I', i, name);
				IF name = 'goose_db_version' THEN
					EXECUTE format('ALTER TABLE %[3]s_%%s.%%I ALTER COLUMN id RESTART WITH 100', i, name);
				END IF;
			END LOOP; END LOOP; END $$`, from, min(schemas, from+batch)-1, server)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// The numbers of a large rollout that runs are some seconds old, and say so; those of one that is paused are of now.
func TestLargeRollout(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, 1, first)
	if _, err := s.Sync(t.Context(), s.source(10_001)); err != nil {
		t.Fatal(err)
	}
	s.start(fleet.Plan{Name: "large"})
	if err := ledger.Recount(t.Context(), s.control.DB, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Pin(t.Context(), "a_7", ""); err != nil {
		t.Fatal(err)
	}
	want := func(held int) fleet.Progress {
		t.Helper()
		p, err := s.Progress(t.Context(), "large")
		if err != nil || p.Tenants.Held != held || p.Tenants.Total() != 20_002 {
			t.Errorf("%+v, %v; want %d held", p, err, held)
		}
		return p
	}
	counted := want(0).At
	if again := want(0).At; !again.Equal(counted) {
		t.Errorf("counted at %v and at %v", counted, again)
	}
	if err := s.Pause(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	if now := want(1).At; !now.After(counted) {
		t.Errorf("counted at %v, not after %v", now, counted)
	}
}
