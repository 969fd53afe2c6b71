package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/fleet"
)

// slow is a migration that takes its time.
func slow(version int, seconds float64) string {
	return fmt.Sprintf("-- +goose Up\nINSERT INTO marker VALUES (%d);\nSELECT pg_sleep(%v);\n-- +goose Down\nDELETE FROM marker WHERE version = %d;\n", version, seconds, version)
}

func (s *stage) with(name, text string) {
	s.t.Helper()
	files := map[string]string{name: text}
	for n, f := range s.setup.Files {
		files[n] = f
	}
	s.setup.Files = files
	s.remake()
}

func TestPauseAndUndo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStage(t, 2, 16, first)
	stop := s.work(1)
	s.start(fleet.Plan{Name: "base"})
	s.wait("base", 2*time.Minute, fleet.Done)
	stop()
	// One tenant has the third version already: the rollout applies only the fourth there.
	s.with("sql/00003_third.sql", slow(3, 0.05))
	s.with("sql/00004_fourth.sql", marker(4))
	s.eachTenant([]string{"a_3"}, `INSERT INTO %[1]q.marker VALUES (3); INSERT INTO %[1]q.goose_db_version (version_id, is_applied) VALUES (3, true)`)
	stop = s.work(2)
	s.start(fleet.Plan{Name: "half", Waves: []fleet.Wave{{Canaries: []string{"a_3"}}, {Share: 1}}})
	s.until(time.Minute, `SELECT count(*) >= 8 FROM fleet_tenant WHERE state = 'done'`)
	if err := s.Pause(ctx, "half"); err != nil {
		t.Fatal(err)
	}
	paused := time.Now()
	begun := s.number(`SELECT count(*) FROM fleet_result r JOIN fleet_rollout o ON o.id = r.rollout WHERE o.name = 'half'`)
	s.until(20*time.Second, `SELECT NOT EXISTS (SELECT FROM fleet_tenant WHERE state = 'claimed')`)
	t.Logf("all claims were done or given back %v after the pause", time.Since(paused).Round(time.Millisecond))
	p, err := s.Progress(ctx, "half")
	if err != nil || p.State != fleet.Paused || p.Tenants.Done != begun || p.Tenants.Pending != 32-begun {
		t.Errorf("%d had begun: %+v, %v", begun, p, err)
	}
	if err := s.Undo(ctx, "half"); err != nil {
		t.Fatal(err)
	}
	p = s.wait("half", 2*time.Minute, fleet.Undone)
	if p.Tenants.Undone != begun || p.Tenants.Pending != 32-begun {
		t.Errorf("%+v", p)
	}
	for id, versions := range s.markers() {
		want := "[1 2]"
		if id == "a_3" {
			want = "[1 2 3]"
		}
		if fmt.Sprint(versions) != want {
			t.Errorf("tenant %s has markers %v, want %s", id, versions, want)
		}
	}
	stop()
	// The same migrations can be rolled out again, under another name.
	s.work(1)
	if err := s.Start(ctx, fleet.Plan{Name: "half"}); !errors.Is(err, fleet.ErrPlanDiffers) {
		t.Errorf("another plan of the same name: %v", err)
	}
	s.start(fleet.Plan{Name: "again"})
	s.wait("again", 2*time.Minute, fleet.Done)
	s.expectMarkers(32, 1, 2, 3, 4)
	if err := s.Undo(ctx, "half"); err != nil {
		t.Errorf("a rollout that is undone already: %v", err)
	}
	if err := s.Undo(ctx, "base"); err == nil {
		t.Error("a rollout was undone under a later one")
	}
}

func TestPinAndFreeze(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStage(t, 2, 6, first)
	for _, err := range []error{s.Pin(ctx, "a_1", "it is being audited"), s.FreezeServer(ctx, "b", "maintenance")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.work(1)
	s.start(fleet.Plan{Name: "one"})
	s.until(time.Minute, `SELECT count(*) = 5 FROM fleet_tenant WHERE state = 'done'`)
	p, err := s.Progress(ctx, "one")
	if err != nil || p.State != fleet.Running || p.Tenants.Held != 7 || p.Servers["b"].Held != 6 {
		t.Errorf("%+v, %v", p, err)
	}
	if err := s.Thaw(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	p = s.wait("one", 2*time.Minute, fleet.Done)
	if p.Tenants.Done != 11 || p.Tenants.Held != 1 {
		t.Errorf("%+v", p)
	}
	if err := s.Unpin(ctx, "a_1"); err != nil {
		t.Fatal(err)
	}
	s.start(fleet.Plan{Name: "two"})
	s.wait("two", 2*time.Minute, fleet.Done)
	s.expectMarkers(12, 1, 2)
	if err := s.Pin(ctx, "nobody", ""); err == nil {
		t.Error("a tenant that isn't there was pinned")
	}
}

// A worker with other migrations never touches a tenant of the rollout.
func TestOtherMigrations(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, 5, first)
	s.start(fleet.Plan{Name: "one"})
	mine := s.Fleet
	s.with("sql/00003_third.sql", marker(3))
	s.work(1)
	s.until(time.Minute, `SELECT count(*) = 1 FROM fleet_worker`)
	if p, err := mine.Progress(t.Context(), "one"); err != nil || p.Workers != 0 || p.Tenants.Pending != 10 {
		t.Errorf("%+v, %v", p, err)
	}
	s.Fleet = mine
	s.work(1)
	s.wait("one", 2*time.Minute, fleet.Done)
	s.expectMarkers(10, 1, 2)
}

// A tenant that is locked waits for its turn without an attempt.
func TestLockedTenant(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, 2, first)
	conn, err := s.databases["a"].Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `SELECT pg_advisory_lock(hashtextextended('"a_0".goose_db_version_lock', 0)),
		pg_advisory_lock(hashtextextended('"a_0"."goose_db_version_lock"', 0))`); err != nil {
		t.Fatal(err)
	}
	s.work(1)
	s.start(fleet.Plan{Name: "one"})
	s.until(time.Minute, `SELECT waits > 0 FROM fleet_result WHERE tenant = 'a_0'`)
	s.until(time.Minute, `SELECT count(*) = 3 FROM fleet_tenant WHERE state = 'done'`)
	if n := s.number(`SELECT attempts FROM fleet_tenant WHERE id = 'a_0'`); n != 0 {
		t.Errorf("the lock cost %d attempts", n)
	}
	conn.Close()
	if _, err := s.databases["a"].ExecContext(t.Context(), `SELECT pg_advisory_unlock_all()`); err != nil {
		t.Fatal(err)
	}
	s.databases["a"].SetMaxIdleConns(0)
	p := s.wait("one", 2*time.Minute, fleet.Done)
	if p.Tenants.Done != 4 {
		t.Errorf("%+v", p)
	}
}

// A tenant that moves while its rollout is under way is looked at again, and done once.
func TestMovedTenant(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStage(t, 1, 3, first)
	stop := s.work(1)
	s.start(fleet.Plan{Name: "one"})
	s.wait("one", 2*time.Minute, fleet.Done)
	stop()
	s.with("sql/00003_third.sql", marker(3))
	s.start(fleet.Plan{Name: "two"})
	// The database of tenant a_0 is now on server b, at version 2.
	if _, err := s.databases["b"].ExecContext(ctx, `CREATE SCHEMA a_0; CREATE TABLE a_0.marker (version bigint); INSERT INTO a_0.marker VALUES (1), (2);
		CREATE TABLE a_0.goose_db_version (LIKE b_0.goose_db_version INCLUDING ALL); INSERT INTO a_0.goose_db_version (version_id, is_applied) SELECT version_id, is_applied FROM b_0.goose_db_version`); err != nil {
		t.Fatal(err)
	}
	synced, err := s.Sync(ctx, func(yield func(fleet.Tenant, error) bool) {
		for tenant, err := range s.source(3) {
			if tenant.ID == "a_0" {
				tenant.Server = "b"
			}
			if tenant.ID != "b_2" && !yield(tenant, err) {
				return
			}
		}
	})
	if err != nil || synced.Moved != 1 || synced.Removed != 1 || synced.Total != 5 {
		t.Fatalf("%+v, %v", synced, err)
	}
	s.work(1)
	if p := s.wait("two", 2*time.Minute, fleet.Done); p.Tenants.Done != 5 || p.Servers["b"].Done != 3 {
		t.Errorf("%+v", p)
	}
	var old, moved int
	if err := s.databases["a"].QueryRowContext(ctx, `SELECT count(*) FROM a_0.marker`).Scan(&old); err != nil {
		t.Fatal(err)
	}
	if err := s.databases["b"].QueryRowContext(ctx, `SELECT count(*) FROM a_0.marker`).Scan(&moved); err != nil {
		t.Fatal(err)
	}
	if old != 2 || moved != 3 {
		t.Errorf("%d markers in the old place, %d in the new one", old, moved)
	}
}

// A source that fails changes nothing.
func TestSyncOfBadSources(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, 2, first)
	for name, source := range map[string]func(func(fleet.Tenant, error) bool){
		"none": func(func(fleet.Tenant, error) bool) {},
		"fault": func(yield func(fleet.Tenant, error) bool) {
			yield(fleet.Tenant{}, errors.New("postgres://me:secret@host/db: no"))
		},
		"twice": func(yield func(fleet.Tenant, error) bool) {
			for range 2 {
				if !yield(fleet.Tenant{ID: "x", Server: "a", Schema: "x"}, nil) {
					return
				}
			}
		},
		"server": func(yield func(fleet.Tenant, error) bool) {
			yield(fleet.Tenant{ID: "x", Server: "z", Schema: "x"}, nil)
		},
		"secret": func(yield func(fleet.Tenant, error) bool) {
			yield(fleet.Tenant{ID: "postgres://me:secret@host/db", Server: "a", Schema: "x"}, nil)
		},
		"nowhere": func(yield func(fleet.Tenant, error) bool) { yield(fleet.Tenant{ID: "x", Server: "a"}, nil) },
	} {
		if _, err := s.Sync(context.Background(), source); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.number(`SELECT count(*) FROM fleet_tenant WHERE NOT gone`); n != 4 {
		t.Errorf("%d tenants are left", n)
	}
}
