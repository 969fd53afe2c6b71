package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// tickEvery is how often a coordinator looks at its rollout.
const tickEvery = 500 * time.Millisecond

// coordinatorWorker works coordinator jobs.
type coordinatorWorker struct {
	river.WorkerDefaults[coordinatorArgs]
	*worker
}

// Work ticks for one pass. If two coordinators of a rollout work, the ledger obeys the later one.
func (w *coordinatorWorker) Work(ctx context.Context, job *river.Job[coordinatorArgs]) error {
	c := &coordinator{worker: w.worker, args: job.Args}
	for until := time.Now().Add(pass); !w.draining.Load() && ctx.Err() == nil && time.Now().Before(until); {
		ok, err := c.tick(ctx)
		if err != nil {
			w.log.Info("fleet: a coordinator's tick failed", slog.Int64("rollout", job.Args.Rollout), slog.String("error", clean(err.Error())))
		} else if !ok {
			return nil
		}
		c.count(ctx)
		time.Sleep(tickEvery)
	}
	return river.JobSnooze(0)
}

// coordinator is one pass of a coordinator job.
type coordinator struct {
	*worker
	args  coordinatorArgs
	again time.Time // the tenants are counted
}

// count has the tenants counted, which takes some time if there are many.
func (c *coordinator) count(ctx context.Context) {
	began := time.Now()
	if began.Before(c.again) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerLimit)
	defer cancel()
	if err := ledger.Recount(ctx, c.fleet.ledger.DB(), c.args.Rollout); err != nil {
		c.log.Info("fleet: the tenants could not be counted", slog.Int64("rollout", c.args.Rollout), slog.String("error", clean(err.Error())))
	}
	c.again = time.Now().Add(max(2*time.Second, 10*time.Since(began)))
}

// tick looks at the rollout once, in one transaction. It returns false if the rollout doesn't need this coordinator.
func (c *coordinator) tick(ctx context.Context) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerLimit)
	defer cancel()
	err = c.fleet.ledger.InTx(ctx, func(tx *sql.Tx) error {
		var r ledger.Rollout
		if r, ok, err = ledger.Beat(ctx, tx, c.args.Rollout, c.args.Generation); err != nil || !ok {
			return err
		}
		if ok, err = c.advance(ctx, tx, r); err != nil || !ok {
			return err
		}
		return c.makeLanes(ctx, tx, r.ID)
	})
	return ok && err == nil, err
}

// advance opens the next wave, or ends the rollout. It returns false if the rollout doesn't go on.
func (c *coordinator) advance(ctx context.Context, tx *sql.Tx, r ledger.Rollout) (bool, error) {
	standing, err := ledger.WaveStanding(ctx, tx, r)
	if err != nil {
		return false, err
	}
	if r.State == string(Undoing) {
		if standing.Unfinished+standing.Frozen > 0 {
			return true, nil
		}
		return false, ledger.SetState(ctx, tx, r.ID, string(Undone), "")
	}
	plan, err := readPlan(r.Plan)
	if err != nil {
		return false, err
	}
	d := rules.Decide(plan.rules(), standing)
	switch {
	case d.Stop != "":
		return false, ledger.SetState(ctx, tx, r.ID, string(Stopped), d.Stop)
	case d.End:
		return false, ledger.SetState(ctx, tx, r.ID, string(Done), "")
	case d.Finish:
		return true, ledger.FinishWave(ctx, tx, r)
	case d.Open && d.Pause != "":
		if err := ledger.OpenWave(ctx, tx, r); err != nil {
			return false, err
		}
		return false, ledger.SetState(ctx, tx, r.ID, string(Paused), d.Pause)
	case d.Open:
		return true, ledger.OpenWave(ctx, tx, r)
	}
	return true, nil
}

// makeLanes makes sure that there are jobs for the tenants that can be claimed.
func (c *coordinator) makeLanes(ctx context.Context, tx *sql.Tx, rollout int64) error {
	names := slices.Sorted(maps.Keys(c.fleet.servers))
	lanes := make([]int64, len(names))
	for i, name := range names {
		lanes[i] = int64(c.fleet.servers[name].Lanes)
	}
	if err := ledger.AddSlots(ctx, tx, names, lanes); err != nil {
		return err
	}
	slots, err := ledger.NeededSlots(ctx, tx, rollout, names, lanes)
	if err != nil || len(slots) == 0 {
		return err
	}
	inserted, err := c.insert(ctx, tx, rollout, slots)
	if err != nil {
		return err
	}
	var again []ledger.Slot
	for i, one := range inserted {
		// A job that has been running for so long without taking its slot died with its worker.
		if job := one.Job; one.UniqueSkippedAsDuplicate && job.State == rivertype.JobStateRunning && job.AttemptedAt != nil && time.Since(*job.AttemptedAt) > c.fleet.options.times.lease {
			s, err := ledger.NextGeneration(ctx, tx, slots[i])
			if err != nil {
				return err
			}
			again = append(again, s)
		}
	}
	if len(again) > 0 {
		_, err = c.insert(ctx, tx, rollout, again)
	}
	return err
}

func (c *coordinator) insert(ctx context.Context, tx *sql.Tx, rollout int64, slots []ledger.Slot) ([]*rivertype.JobInsertResult, error) {
	params := make([]river.InsertManyParams, len(slots))
	for i, s := range slots {
		params[i] = laneJob(rollout, s, c.fleet.migrations)
	}
	inserted, err := c.fleet.client.InsertManyTx(ctx, tx, params)
	if err == nil && len(inserted) != len(slots) {
		err = fmt.Errorf("%d jobs for %d slots", len(inserted), len(slots))
	}
	return inserted, err
}
