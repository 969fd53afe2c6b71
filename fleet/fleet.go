package fleet

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// A Fleet is the tenants of many servers, and the ledger of what is done with them. It can be used by several goroutines at
// once, and by several processes with the same control database.
type Fleet struct {
	ledger     *ledger.Ledger
	migrator   *gooseplus.Migrator
	migrations string // the fingerprint of the migration set
	servers    map[string]Server
	options    options
	runner     runner
	client     *river.Client[*sql.Tx] // it inserts, and works nothing
}

// New returns the Fleet of a control database, a PostgreSQL database opened with pgx's driver for database/sql. migrator has
// the migrations and the options for every tenant; its own database isn't used, and may be nil. The global lock is turned on
// ([gooseplus.WithGlobalLock]), since a tenant may be reached for by two workers. All workers have to be given the same servers.
//
// New touches no database. It returns the faults of the configuration.
func New(control *sql.DB, migrator *gooseplus.Migrator, servers []Server, opts ...Option) (*Fleet, error) {
	if control == nil || migrator == nil {
		return nil, errors.New("fleet: the control database or the Migrator is nil")
	}
	o, optionFaults := newOptions(opts)
	byName, serverFaults := checkServers(servers)
	migrator = migrator.With(gooseplus.WithGlobalLock(true))
	if err := errors.Join(optionFaults, serverFaults, migrator.Err()); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	migrations, err := fingerprint(migrator)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	client, err := river.NewClient(riverdatabasesql.New(control), &river.Config{Logger: o.logger})
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	f := &Fleet{
		ledger: ledger.New(control, ledger.Leases{Slot: o.times.lease, Coordinator: o.times.coordinator}), migrator: migrator, migrations: migrations, servers: byName, options: o, client: client,
	}
	if f.runner = o.runner; f.runner == nil {
		f.runner = &tenants{migrator, byName}
	}
	return f, nil
}

// fingerprint identifies a migration set: two programs with the same one do the same to a tenant.
func fingerprint(m *gooseplus.Migrator) (string, error) {
	d, err := m.Describe()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", d.Dialect)
	for _, one := range d.Migrations {
		fmt.Fprintf(h, "%q %d %q %q\n", one.Namespace, one.Version, one.Source, one.Text)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// RiverClient returns a client for the control database, for riverui and for looking at jobs. It works no jobs: [Fleet.Work]
// does that, with a client of its own that [WithRiver] configures.
func (f *Fleet) RiverClient() *river.Client[*sql.Tx] { return f.client }

// Option configures a [Fleet].
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	lanes  int
	times  times
	runner runner // nil is the one that migrates
	logger *slog.Logger
	river  func(*river.Config)
}

func newOptions(opts []Option) (options, error) {
	o := options{lanes: 16, times: usual, logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, opt := range opts {
		if opt != nil {
			opt.apply(&o)
		}
	}
	if o.lanes < 1 {
		return o, fmt.Errorf("WithWorkerLanes: %d is below 1", o.lanes)
	}
	return o, nil
}

// times are how soon the fleet notices that a worker is dead.
type times struct {
	lease       time.Duration // of a slot
	coordinator time.Duration // its lease
	beat        time.Duration // between signs of life
}

var usual = times{lease: 30 * time.Second, coordinator: 5 * time.Second, beat: 2 * time.Second}

// gap is how long no worker may have reached the control database before all are given time to renew their leases.
func (t times) gap() time.Duration { return 3 * t.beat }

// WithWorkerLanes sets how many lanes a worker works on at once, over all servers. [Server].Lanes limits those of each server over
// all workers.
//
// The default is 16.
func WithWorkerLanes(n int) Option { return optionFunc(func(o *options) { o.lanes = n }) }

// WithLogger sets the logger of the fleet and of River. Lines about tenants are at level Info for failures and Debug for the
// rest; none holds a DSN. nil is ignored.
//
// The default is silent.
func WithLogger(logger *slog.Logger) Option {
	return optionFunc(func(o *options) {
		if logger != nil {
			o.logger = logger
		}
	})
}

// WithRiver lets a function change the configuration of the River client of [Fleet.Work] before it is made: for plugins, such
// as otelriver's. The queues, workers and timeouts are the fleet's, and are set afterwards.
func WithRiver(configure func(*river.Config)) Option {
	return optionFunc(func(o *options) { o.river = configure })
}
