package fleet

import (
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// Job arguments hold nothing but names and numbers.

// laneArgs is a job that works on tenants of one server, in one slot.
type laneArgs struct {
	Rollout    int64  `json:"rollout"`
	Server     string `json:"server"`
	Slot       int    `json:"slot"`
	Generation int64  `json:"generation"`
}

func (laneArgs) Kind() string { return "gooseplus_fleet_lane" }

func (a laneArgs) slot() ledger.Slot {
	return ledger.Slot{Server: a.Server, Slot: a.Slot, Generation: a.Generation}
}

// coordinatorArgs is a job that opens waves and makes sure of lanes, for one rollout.
type coordinatorArgs struct {
	Rollout    int64 `json:"rollout"`
	Generation int64 `json:"generation"`
}

func (coordinatorArgs) Kind() string { return "gooseplus_fleet_coordinator" }

// A worker fetches from the queues of its own migration set only, so that one with another set never works on a rollout.
func laneQueue(migrations string) string        { return "fleet_lane_" + migrations }
func coordinatorQueue(migrations string) string { return "fleet_coordinator_" + migrations }

// unfinished are the states of a job that is not at its end. A finished one doesn't stand in the way of the next.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// laneJob is one job at a time for each slot and generation.
func laneJob(rollout int64, s ledger.Slot, migrations string) river.InsertManyParams {
	return river.InsertManyParams{
		Args: laneArgs{Rollout: rollout, Server: s.Server, Slot: s.Slot, Generation: s.Generation},
		InsertOpts: &river.InsertOpts{
			Queue: laneQueue(migrations), UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished},
		},
	}
}

// jobTimeout is longer than any migration: leases tell when a job is dead, and River's rescue of jobs only tidies up after
// them, an hour later.
const jobTimeout = 24 * time.Hour

// pass is how long a job works before it lets others have its place.
const pass = 20 * time.Second
