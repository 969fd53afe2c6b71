package fleet_test

import (
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/fleet"
)

func TestRollout(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, 25, first)
	s.work(2)
	began := time.Now()
	s.start(fleet.Plan{Name: "one"})
	p := s.wait("one", 2*2*time.Minute, fleet.Done)
	if p.Tenants.Done != 50 || p.Tenants.Total() != 50 {
		t.Errorf("%+v", p)
	}
	t.Logf("50 tenants: %v", time.Since(began))
	s.expectMarkers(50, 1, 2)
	s.start(fleet.Plan{Name: "one"})
	s.start(fleet.Plan{Name: "again"})
	s.wait("again", 2*2*time.Minute, fleet.Done)
	t.Logf("jobs: %d lanes", s.number(`SELECT count(*) FROM river_job WHERE kind LIKE '%lane'`))
}
