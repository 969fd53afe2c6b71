package fleet

import (
	"context"
	"crypto/rand"
	"database/sql"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// Times of a lane.
const (
	claimMost  = 50                     // tenants: as many as one statement looks at
	claimLasts = 5 * time.Second        // a claim is smaller if its tenants take longer
	soon       = time.Second            // until a lane asks again for a slot that somebody has
	serverAway = 4 * time.Second        // until a lane asks again for a server that doesn't answer
	ledgerAway = 500 * time.Millisecond // until a statement on the ledger is tried again
)

// laneWorker works lane jobs.
type laneWorker struct {
	river.WorkerDefaults[laneArgs]
	*worker
}

// Work takes the slot and works for one pass. It returns no error: River would wait longer after each.
func (w *laneWorker) Work(jobCtx context.Context, job *river.Job[laneArgs]) error {
	// The lane finishes a run that has begun, whatever happens to the job.
	ctx := context.WithoutCancel(jobCtx)
	rollout, err := w.fleet.ledger.RolloutByID(ctx, job.Args.Rollout)
	if err != nil {
		w.log.Info("fleet: a lane can't read its rollout", slog.String("error", clean(err.Error())))
		return river.JobSnooze(soon)
	}
	if rollout.Migrations != w.fleet.migrations || !working(rollout.State) {
		return nil
	}
	if _, ok := w.fleet.servers[job.Args.Server]; !ok {
		w.log.Warn("fleet: a lane is for a server that this worker was not given", slog.String("server", job.Args.Server))
		return river.JobSnooze(serverAway)
	}
	token := w.id + "/" + rand.Text()
	asked := time.Since(began)
	acquired, current, err := w.fleet.ledger.Acquire(ctx, job.Args.slot(), token, w.id)
	if err != nil || !acquired {
		if err == nil && !current {
			return nil // another job has the slot
		}
		return river.JobSnooze(soon)
	}
	l := &lane{
		worker: w.worker, stop: jobCtx, rollout: rollout.ID, undo: rollout.State == string(Undoing), server: job.Args.Server,
		holder: w.holders.add(token, w.fleet.options.times.lease, asked), size: claimMost,
	}
	defer w.holders.remove(token)
	defer l.release(ctx)
	return l.pass(ctx)
}

func working(state string) bool { return state == string(Running) || state == string(Undoing) }

// lane is one pass of a lane job over tenants of its server.
type lane struct {
	*worker
	stop    context.Context // ends when the job is cancelled
	rollout int64
	undo    bool
	server  string
	holder  *holder
	db      *sql.DB
	until   time.Time
	halted  bool // the ledger lets no run begin
	size    int  // of the next claim
}

// mayBegin says whether another tenant may be begun.
func (l *lane) mayBegin() bool {
	return !l.draining.Load() && !l.halted && l.stop.Err() == nil && l.holder.valid() && time.Now().Before(l.until)
}

// pass claims tenants and works on them. A job that returns nil has found no tenant; one that snoozes is fetched again after
// those that wait.
func (l *lane) pass(ctx context.Context) error {
	db, err := l.pools.get(ctx, l.server)
	if err != nil {
		l.log.Warn("fleet: a server does not answer", slog.String("server", l.server), slog.String("error", clean(err.Error())))
		return river.JobSnooze(serverAway)
	}
	l.db, l.until = db, time.Now().Add(pass)
	for l.mayBegin() {
		claims, err := l.fleet.ledger.Claim(ctx, l.rollout, l.server, l.holder.token, l.fleet.servers[l.server].Lanes, l.size)
		if err != nil {
			l.log.Info("fleet: no tenant could be claimed", slog.String("server", l.server), slog.String("error", clean(err.Error())))
			time.Sleep(ledgerAway)
			continue
		}
		if len(claims) == 0 {
			return nil
		}
		l.work(ctx, claims)
	}
	if l.halted {
		return nil // the coordinator asks again if the rollout goes on
	}
	return river.JobSnooze(0)
}

// work brings claimed tenants to their ends, or gives them back.
func (l *lane) work(ctx context.Context, claims []ledger.Claim) {
	if !l.undo {
		claims = l.survey(ctx, claims)
	}
	if len(claims) == 0 {
		l.size = claimMost
		return
	}
	var left []string
	begun, started := 0, time.Now()
	err := l.fleet.runner.each(ctx, l.server, l.db, claims, func(ctx context.Context, c ledger.Claim, t tenant) {
		if !l.mayBegin() {
			left = append(left, c.Tenant)
			return
		}
		begun++
		if !l.tenant(ctx, c, t) {
			left = append(left, c.Tenant)
		}
	})
	if err != nil {
		l.log.Info("fleet: a lane came to nothing", slog.String("server", l.server), slog.String("error", clean(err.Error())))
		l.halted = true // what is still claimed is given back with the slot
		return
	}
	if begun > 0 {
		each := time.Since(started) / time.Duration(begun)
		l.size = int(min(claimMost, max(1, claimLasts/max(each, time.Millisecond))))
	}
	if len(left) > 0 {
		l.insist(ctx, func(ctx context.Context) error { return l.fleet.ledger.Return(ctx, l.holder.token, left) })
	}
}

// survey records the tenants that have nothing to do, all at once, and returns the others.
func (l *lane) survey(ctx context.Context, claims []ledger.Claim) (rest []ledger.Claim) {
	versions := l.fleet.runner.survey(ctx, l.server, l.db, claims)
	var tenants []string
	var at []int64
	for _, c := range claims {
		// A tenant that has a result gets a new result, from a run of its own.
		if version, ok := versions[c.Tenant]; ok && !c.Known {
			tenants, at = append(tenants, c.Tenant), append(at, version)
		} else {
			rest = append(rest, c)
		}
	}
	if len(tenants) > 0 {
		l.insist(ctx, func(ctx context.Context) error {
			return l.fleet.ledger.UpToDate(ctx, l.holder.token, l.server, tenants, at)
		})
	}
	return rest
}

// release gives the slot back. If the ledger doesn't answer, the lease ends by itself.
func (l *lane) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if err := l.fleet.ledger.Release(ctx, l.holder.token); err != nil {
		l.log.Info("fleet: a slot could not be given back", slog.String("server", l.server), slog.String("error", clean(err.Error())))
	}
}
