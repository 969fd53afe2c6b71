package fleet_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// The control database goes away, and then a server: no migration runs twice, no tenant fails, and the other server goes on.
func TestServersAway(t *testing.T) {
	t.Parallel()
	schemas, lease, away := 25, 3*time.Second, 4*time.Second
	if long {
		schemas, lease, away = 600, 30*time.Second, time.Minute
	}
	control, b := dbtest.OwnPostgres(t, false), dbtest.OwnPostgres(t, false)
	s := newStageOn(t, control.NewDatabase(t), map[string]dbtest.Database{"a": dbtest.Postgres(t).NewDatabase(t), "b": b.NewDatabase(t)},
		2, schemas, threeSlow(0.1))
	s.setup.Lease = lease
	s.remake()
	for range 3 {
		s.process()
	}
	s.start(fleet.Plan{Name: "one"})
	s.until(time.Minute, `SELECT count(*) >= 4 FROM fleet_tenant WHERE state = 'done'`)

	control.PowerOff(t)
	time.Sleep(away)
	control.Start(t)
	s.until(time.Minute, `SELECT count(*) > 0 FROM fleet_tenant WHERE state = 'claimed'`)
	before := s.number(`SELECT count(*) FROM fleet_tenant WHERE state = 'done'`)
	s.until(time.Minute, `SELECT count(*) > $1 FROM fleet_tenant WHERE state = 'done'`, before)

	b.PowerOff(t)
	before = s.number(`SELECT count(*) FROM fleet_tenant WHERE state = 'done' AND server = 'a'`)
	s.until(time.Minute, `SELECT count(*) > $1 FROM fleet_tenant WHERE state = 'done' AND server = 'a'`, min(before, schemas-1))
	time.Sleep(away)
	b.Start(t)
	p := s.wait("one", 8*2*time.Minute, fleet.Done)
	if p.Tenants.Done != 2*schemas {
		t.Errorf("%+v", p)
	}
	s.expectMarkers(2*schemas, 1, 2, 3)
	if n := s.number(`SELECT coalesce(sum(attempts), 0) FROM fleet_result`); n != 0 {
		t.Errorf("servers that were away cost %d attempts", n)
	}
}

// River's leader and the worker with the coordinator are killed: another worker coordinates soon.
func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	lease, bar := 3*time.Second, 20*time.Second
	if long {
		lease = 30 * time.Second
	}
	const schemas = 30
	s := newStage(t, 1, schemas, threeSlow(0.1))
	s.setup.Lease = lease
	s.remake()
	w := s.workers(3, 1)
	s.start(fleet.Plan{Name: "one"})
	s.until(time.Minute, `SELECT EXISTS (SELECT FROM river_leader) AND EXISTS (SELECT FROM fleet_tenant WHERE state = 'done')`)
	var leader, coordinator string
	if err := s.control.QueryRowContext(t.Context(), `SELECT leader_id, (SELECT attempted_by[array_upper(attempted_by, 1)] FROM river_job
		WHERE kind LIKE '%coordinator' AND attempted_by IS NOT NULL ORDER BY id DESC LIMIT 1) FROM river_leader`).Scan(&leader, &coordinator); err != nil {
		t.Fatal(err)
	}
	for _, p := range w.live {
		if id := strconv.Itoa(p.Process.Pid); strings.Split(leader, "/")[1] == id || strings.Split(coordinator, "/")[1] == id {
			kill(p)
		}
	}
	var killed time.Time
	if err := s.control.QueryRowContext(t.Context(), `SELECT now()`).Scan(&killed); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.until(time.Minute, `SELECT beat_at > $1 AND coordinator > 1 OR state = 'done' FROM fleet_rollout`, killed)
	ticked := time.Since(began)
	t.Logf("the next tick came %v after the leader and the coordinator were killed", ticked.Round(time.Millisecond))
	if ticked > bar {
		t.Errorf("that is more than %v", bar)
	}
	s.process()
	s.wait("one", 4*2*time.Minute, fleet.Done)
	s.expectMarkers(2*schemas, 1, 2, 3)
}
