package fleet

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// Work is a worker: it takes its part in every rollout of its migration set until ctx ends. Then it begins no tenant any more,
// finishes those in progress, however long they take, gives the others back, and returns nil. It can be killed at any time:
// its tenants are claimed by other workers 30 seconds later. Run it in as many processes as you like. An error means that it
// could not start.
func (f *Fleet) Work(ctx context.Context) error {
	w := &worker{
		fleet: f, id: workerID(), log: f.options.logger,
		pools: pools{servers: f.servers}, holders: holders{by: make(map[string]*holder)},
	}
	defer w.pools.close()
	client, err := river.NewClient(riverdatabasesql.New(f.ledger.DB()), w.config())
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	w.client = client
	alive := context.WithoutCancel(ctx)
	if _, err := w.pulse(ctx); err != nil {
		return fmt.Errorf("fleet: the control database: %w (was MigrateControl called?)", err)
	}
	if err := client.Start(alive); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	beating, stop := context.WithCancel(alive)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.beat(beating)
	}()
	<-ctx.Done()
	w.draining.Store(true)
	err = client.Stop(alive)
	stop()
	<-stopped
	gone, cancel := context.WithTimeout(alive, answerLimit)
	defer cancel()
	if goneErr := f.ledger.WorkerGone(gone, w.id); goneErr != nil {
		w.log.Info("fleet: the worker could not sign off", slog.String("error", clean(goneErr.Error())))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("fleet: %w", err)
	}
	return nil
}

// worker is one call of Work.
type worker struct {
	fleet    *Fleet
	id       string
	log      *slog.Logger
	client   *river.Client[*sql.Tx]
	pools    pools
	holders  holders
	draining atomic.Bool // no tenant is begun any more
}

func workerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), strings.ToLower(rand.Text()[:6]))
}

// config is River's. Without its notifications a job waits for the next poll.
func (w *worker) config() *river.Config {
	f := w.fleet
	c := &river.Config{Logger: w.log, FetchPollInterval: 200 * time.Millisecond, PollOnly: true}
	if f.options.river != nil {
		f.options.river(c)
	}
	c.Workers = river.NewWorkers()
	river.AddWorker(c.Workers, &laneWorker{worker: w})
	river.AddWorker(c.Workers, &coordinatorWorker{worker: w})
	c.Queues = map[string]river.QueueConfig{
		laneQueue(f.migrations):        {MaxWorkers: f.options.lanes},
		coordinatorQueue(f.migrations): {MaxWorkers: 2},
	}
	c.ID = w.id
	c.JobTimeout, c.RescueStuckJobsAfter, c.MaxAttempts = jobTimeout, jobTimeout+time.Hour, 1000
	return c
}

// beat gives signs of life: it renews the worker's leases, frees those of dead workers, and appoints coordinators where there are none.
func (w *worker) beat(ctx context.Context) {
	ticker := time.NewTicker(w.fleet.options.times.beat)
	defer ticker.Stop()
	for {
		if err := w.beatOnce(ctx); err != nil && ctx.Err() == nil {
			w.log.Info("fleet: no sign of life could be given", slog.String("error", clean(err.Error())))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *worker) beatOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if err := w.holders.renew(ctx, w.fleet.ledger); err != nil {
		return err
	}
	if err := w.takeOver(ctx); err != nil {
		return err
	}
	if w.draining.Load() {
		return nil
	}
	return w.fleet.appoint(ctx)
}

// takeOver frees what dead workers had.
func (w *worker) takeOver(ctx context.Context) error {
	steady, err := w.pulse(ctx)
	if err != nil || !steady {
		return err
	}
	freed, err := w.fleet.ledger.TakeOver(ctx)
	if freed > 0 {
		w.log.Warn("fleet: tenants of a dead worker are free again", slog.Int64("tenants", freed))
	}
	return err
}

func (w *worker) pulse(ctx context.Context) (steady bool, err error) {
	f := w.fleet
	return f.ledger.Pulse(ctx, ledger.Worker{ID: w.id, Migrations: f.migrations, Lanes: f.options.lanes}, f.options.times.gap())
}

// appoint makes sure that every rollout of the migration set has a coordinator. River's leader would do as well, but takes over
// from a dead one after 20 seconds, and only then begins to look.
func (f *Fleet) appoint(ctx context.Context) error {
	orphaned, err := f.ledger.Orphaned(ctx, f.migrations)
	if err != nil {
		return err
	}
	for _, c := range orphaned {
		if err := f.ledger.InTx(ctx, func(tx *sql.Tx) error { return appointOne(ctx, tx, f, c) }); err != nil {
			return err
		}
	}
	return nil
}

func appointOne(ctx context.Context, tx *sql.Tx, f *Fleet, c ledger.Coordinator) error {
	c, ok, err := ledger.Appoint(ctx, tx, c)
	if err != nil || !ok {
		return err
	}
	_, err = f.client.InsertTx(ctx, tx, coordinatorArgs(c), &river.InsertOpts{Queue: coordinatorQueue(f.migrations)})
	return err
}
