package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/fleet"
)

// poisonable is a third migration that fails in tenants with a table poison.
var poisonable = map[string]string{
	"sql/00001_first.sql":  first["sql/00001_first.sql"],
	"sql/00002_second.sql": marker(2),
	"sql/00003_third.sql": `-- +goose Up
-- +goose StatementBegin
DO $$ BEGIN
	IF to_regclass('poison') IS NOT NULL THEN RAISE EXCEPTION 'this tenant is poisoned'; END IF;
	INSERT INTO marker VALUES (3);
END $$;
-- +goose StatementEnd
-- +goose Down
DELETE FROM marker WHERE version = 3;
`,
}

// poison has the third migration fail in some tenants.
func (s *stage) poison(tenants ...string) {
	s.t.Helper()
	s.eachTenant(tenants, `CREATE TABLE %q.poison ()`)
}

func (s *stage) cure(tenants ...string) {
	s.t.Helper()
	s.eachTenant(tenants, `DROP TABLE %q.poison`)
}

func (s *stage) eachTenant(tenants []string, statement string) {
	s.t.Helper()
	texts := map[string]*strings.Builder{}
	for _, id := range tenants {
		server, _, _ := strings.Cut(id, "_")
		if texts[server] == nil {
			texts[server] = new(strings.Builder)
		}
		fmt.Fprintf(texts[server], statement+";\n", id)
	}
	for server, text := range texts {
		if _, err := s.databases[server].ExecContext(s.t.Context(), text.String()); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestPoisonedCanary(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, 12, poisonable)
	s.poison("a_7")
	s.work(1)
	s.start(fleet.Plan{Name: "one", Waves: []fleet.Wave{{Canaries: []string{"a_7", "b_3"}}, {Share: 1}}})
	p := s.wait("one", 2*time.Minute, fleet.Stopped)
	if touched := len(s.markers()); touched > 1 || p.Tenants.Pending < 22 {
		t.Errorf("%d tenants were touched beside the failed canary: %+v", touched, p)
	}
	s.cure("a_7")
	if n, err := s.Reset(t.Context(), "one"); err != nil || n != 1 {
		t.Fatalf("%d reset, %v", n, err)
	}
	if err := s.Resume(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	s.wait("one", 2*time.Minute, fleet.Done)
	s.expectMarkers(24, 1, 2, 3)
}

func TestBudget(t *testing.T) {
	t.Parallel()
	const lanes, budget = 2, 5
	s := newStage(t, lanes, 30, poisonable)
	var poisoned []string
	for i := range 15 {
		poisoned = append(poisoned, fmt.Sprintf("a_%d", 2*i), fmt.Sprintf("b_%d", 2*i))
	}
	s.poison(poisoned...)
	s.work(2)
	s.start(fleet.Plan{Name: "one", Budget: fleet.Budget{Failures: budget}})
	s.wait("one", 2*time.Minute, fleet.Stopped)
	s.until(20*time.Second, `SELECT NOT EXISTS (SELECT FROM fleet_lane WHERE holder IS NOT NULL)`)
	failed := 0
	for f, err := range s.Failed(t.Context(), "one") {
		if err != nil || !strings.Contains(f.Error, "this tenant is poisoned") || f.State != "failed" || f.Attempts != 1 {
			t.Fatalf("%+v, %v", f, err)
		}
		failed++
	}
	if failed < budget || failed > budget+2*lanes-1 {
		t.Errorf("%d tenants failed; the budget is %d, and %d lanes had tenants in progress", failed, budget, 2*lanes)
	}
	if err := s.Start(t.Context(), fleet.Plan{Name: "two"}); err == nil {
		t.Error("another rollout was started beside one that stopped")
	}
	if err := s.Cancel(t.Context(), "one"); err != nil {
		t.Error(err)
	}
}

// A tenant that always fails is tried four times and is stale then; one that is cured meanwhile is done.
func TestRetries(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, 2, poisonable)
	s.poison("a_0", "b_0")
	s.work(1)
	s.start(fleet.Plan{Name: "one"})
	s.until(time.Minute, `SELECT count(*) = 2 FROM fleet_tenant WHERE state = 'failed' AND next_at > now()`)
	s.cure("b_0")
	for attempts := 1; attempts < 4; attempts++ {
		s.until(time.Minute, `SELECT attempts >= $1 FROM fleet_tenant WHERE id = 'a_0' AND state = 'failed'`, attempts)
		s.skip(`UPDATE fleet_tenant SET next_at = now() WHERE state = 'failed'`)
	}
	p := s.wait("one", 2*time.Minute, fleet.Done)
	if p.Tenants.Stale != 1 || p.Tenants.Done != 3 {
		t.Errorf("%+v", p.Tenants)
	}
	// Stale tenants are left out of the next rollout too.
	s.cure("a_0")
	s.start(fleet.Plan{Name: "two"})
	if p := s.wait("two", 2*time.Minute, fleet.Done); p.Tenants.Stale != 1 {
		t.Errorf("%+v", p.Tenants)
	}
	if n, err := s.Reset(t.Context(), "two", "a_0"); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if p := s.wait("two", 2*time.Minute, fleet.Done); p.Tenants.Done != 4 {
		t.Errorf("%+v", p.Tenants)
	}
	s.expectMarkers(4, 1, 2, 3)
	for _, c := range []struct {
		version int64
		want    bool
	}{{3, true}, {4, false}} {
		if got, err := s.AtLeast(t.Context(), "a_0", c.version); err != nil || got != c.want {
			t.Errorf("at least %d: %v, %v", c.version, got, err)
		}
	}
}

// skip lets time pass in the ledger.
func (s *stage) skip(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.control.ExecContext(s.t.Context(), statement, args...); err != nil {
		s.t.Fatal(err)
	}
}

// A dirty tenant is stale at once, and one without a schema is missing.
func TestHopeless(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"sql/00001_first.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE marker (version bigint);\nINSERT INTO poison VALUES (1);\n-- +goose Down\nDROP TABLE nothing;\n",
	}
	s := newStage(t, 1, 2, files)
	s.eachTenant([]string{"a_0", "b_0", "b_1"}, `CREATE TABLE %q.poison (version bigint)`)
	s.skip(`INSERT INTO fleet_tenant (id, server, schema) VALUES ('nobody', 'a', 'nobody')`)
	s.work(1)
	s.start(fleet.Plan{Name: "one"})
	p := s.wait("one", 2*time.Minute, fleet.Done)
	if p.Tenants.Stale != 1 || p.Tenants.Missing != 1 || p.Tenants.Done != 3 {
		t.Errorf("%+v", p.Tenants)
	}
}

func TestWaves(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, 12, first)
	s.work(1)
	s.start(fleet.Plan{Name: "one", Waves: []fleet.Wave{
		{Canaries: []string{"a_1"}}, {Share: 0.25, Soak: time.Second}, {Share: 1, Approve: true},
	}})
	p := s.wait("one", 2*time.Minute, fleet.Paused)
	if p.Tenants.Done != 6 || p.Wave != 3 {
		t.Errorf("%+v", p)
	}
	if n := len(s.markers()); n != 6 {
		t.Errorf("%d tenants were touched before the approval", n)
	}
	if err := s.Resume(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	s.wait("one", 2*time.Minute, fleet.Done)
	s.expectMarkers(24, 1, 2)
	if soaked := s.number(`SELECT count(*) FROM fleet_event a, fleet_event b WHERE a.what = 'wave 1 ended' AND b.what = 'wave 2 opened'
		AND b.at - a.at >= interval '1 second'`); soaked != 1 {
		t.Error("the second wave was opened before its soak time was over")
	}
}
