package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/sumfile"
)

// A Migrator applies migrations to one database. It doesn't change after [New], so that it can be
// used by several goroutines at once; but only one run at a time makes sense on one database.
type Migrator struct {
	db      *sql.DB
	options options
	resolve func() (*targets, error) // once, and for all runs
	own     *ownDatabase             // of a tenant that brings one, instead of db
	events  *stream                  // the shared event stream of many tenants; nil for a run on its own
	keeper  *session.Keeper          // keeps the connections of many tenants' runs
	found   *foundPath               // of the tenants' runs too; nil for a run on its own
	ended   func(outcome)            // is told of the end of a run, if it is not nil
}

// New makes a Migrator for db, which it never closes. Nothing is read and nothing is checked yet:
// see [Migrator.Err]. db may be nil if only Err is called.
func New(db *sql.DB, opts ...Option) *Migrator {
	o := defaultOptions()
	for _, opt := range opts {
		if opt != nil {
			opt.apply(&o)
		}
	}
	return &Migrator{db: db, options: o, resolve: sync.OnceValues(o.resolve)}
}

// With returns a copy of m with other options, which apply on top of the options of m as later ones of [New] do. The
// database stays the same, and so do the tenant ([Migrator.Tenant]) with its schema and the namespace
// ([Migrator.Namespace]) that m is for. The folders are listed again. m doesn't change.
func (m *Migrator) With(opts ...Option) *Migrator {
	one := *m
	o := &one.options
	for _, opt := range opts {
		if opt != nil {
			opt.apply(o)
		}
	}
	if o.tenant != "" {
		o.schema, o.bound = m.options.schema, m.options.bound
	}
	one.resolve, one.found = sync.OnceValues(o.resolveChosen), nil
	if m.events != nil {
		one.events = &stream{observers: m.events.observers.replaced(one.observers())}
	}
	return &one
}

// resolveChosen is resolve for the namespace that was chosen, if one was.
func (o *options) resolveChosen() (*targets, error) {
	whole := *o
	whole.namespace = ""
	known, err := whole.resolve()
	if o.namespace == "" {
		return known, err
	}
	return whole.choose(known, err, o.namespace)
}

// On returns a Migrator for another database. Everything else is as in m, and the folders are not listed again. If m is for a
// tenant with an Open, db replaces that tenant's own database.
func (m *Migrator) On(db *sql.DB) *Migrator {
	one := *m
	one.db, one.own, one.keeper, one.found = db, nil, nil, nil
	return &one
}

// DB returns the database that was given to [New], or nil if there was none. It does not return a tenant's own database.
func (m *Migrator) DB() *sql.DB { return m.db }

// Err returns every fault of the configuration, joined: of the options, of the folders, of the Go
// migrations and of the definitions. It needs no database. Every other method returns the same before it
// touches the database.
//
// If there are none, Err reads all files and returns a [*MigrationError] for each that goose can't parse, that has a
// statement which goose cuts in two, or a fault in its Replay. A run finds these in the files of its own
// steps only, before the first ([ErrRollForward]); so Err belongs in a unit test rather than into a boot.
//
// Where the base path has a file gooseplus.sum (command sum of package cli), Err also compares the files of the
// Migrator's folders with it, and names each that is missing, not listed, or changed.
//
// Suspicious findings that are no faults are returned by [Migrator.Warnings].
func (m *Migrator) Err() error {
	known, err := m.resolve()
	if err != nil {
		return err
	}
	var faults []error
	for _, part := range known.parts {
		wrong, _ := part.set.Examine(context.Background())
		faults = append(faults, part.unreadable(wrong))
	}
	quoting, _ := known.whole.dialect.Quoting()
	return errors.Join(append(faults, sumfile.Check(m.options.fsys, m.options.basePath, m.options.folders(), quoting))...)
}

// Warnings returns suspicious findings in the folders and the files that are no faults: an environment without a
// folder, a file that is ignored, a gap in the numbering, a statement that the database refuses in a transaction, a file
// that runs outside a transaction and has no Down. It needs no database, and reads all files as Err does. A run sends the
// same to the observers ([Warning]), except the findings inside files. If the options or the folders have a fault, there are
// no warnings: first mend the faults that [Migrator.Err] returns.
func (m *Migrator) Warnings() []string {
	known, err := m.resolve()
	if err != nil {
		return nil
	}
	list := slices.Clone(known.warnings)
	for _, part := range known.parts {
		_, inFiles := part.set.Examine(context.Background())
		for _, w := range slices.Concat(part.set.Warnings, inFiles) {
			list = append(list, where(part.tenant, part.set.Namespace)+w)
		}
	}
	return list
}

// Migrate applies the migrations that are not applied yet, lowest version first. If one fails, the
// database is brought back to where it was when the run started. The package documentation says in
// detail what is true afterwards; in short, the error is
//
//   - nil: every migration is applied;
//   - [ErrRollForward]: a migration failed, and the same versions are applied as before;
//   - [ErrRollBack]: a migration failed and not everything could be undone, see [*RollbackError];
//   - [ErrMigrationTable] or a fault of the configuration: nothing was touched.
//
// When nothing is pending, that takes one statement, and another one if there is a state table and no lock.
//
// With [WithNamespaces] one run migrates all namespaces.
func (m *Migrator) Migrate(ctx context.Context) error {
	return m.migrate(ctx, upTo(math.MaxInt64))
}

// MigrateTo is [Migrator.Migrate] up to and including the given version. It
// never undoes anything: nothing happens if the database is beyond version. A version below 1 is
// an error, and so is a version that looks mistyped: see [Migrator.Goto].
func (m *Migrator) MigrateTo(ctx context.Context, version int64) error {
	if version < 1 {
		return fmt.Errorf("version %d: the lowest version is 1", version)
	}
	return m.migrateOne(ctx, existing(version, upTo(version)))
}

// Version returns the highest version applied, 0 if there is none. It takes one statement and
// creates nothing. A database that can't be read gives [ErrMigrationTable].
func (m *Migrator) Version(ctx context.Context) (int64, error) {
	part, db, done, err := m.open(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	applied, ready, err := part.table.Applied(ctx, db.own)
	if err == nil && !ready && m.options.bound {
		_, err = part.schemaMissing(ctx, db.own)
	}
	if err != nil {
		return 0, part.tableError(ctx, err)
	}
	return plan.Newest(applied), nil
}

// migrateOne is migrate for goals that need one namespace's versions.
func (m *Migrator) migrateOne(ctx context.Context, goal goal) error {
	if _, err := m.one(); err != nil {
		return m.refuse(ctx, err)
	}
	return m.migrate(ctx, goal)
}

// runOne is run for methods that need one namespace.
func (m *Migrator) runOne(ctx context.Context, what func(context.Context, *part) error) error {
	if _, err := m.one(); err != nil {
		return m.refuse(ctx, err)
	}
	return m.run(ctx, func(ctx context.Context, r *run) error { return what(ctx, r.parts[0]) })
}

// one is resolve for methods that need one namespace.
func (m *Migrator) one() (*target, error) {
	known, err := m.resolve()
	if err != nil {
		return nil, err
	}
	return known.one()
}

// named puts the tenant and the namespace before an error that doesn't say so itself.
func (m *Migrator) named(err error) error {
	return namedBy(where(m.options.tenant, m.options.namespace), err)
}

// refuse tells the observers of a run that can't start.
func (m *Migrator) refuse(ctx context.Context, err error) error {
	events := m.newStream(ctx)
	_, end := events.begin(ctx, RunRequested{})
	defer end()
	events.send(RunFinished{From: -1, To: -1, Err: err})
	return err
}

// open resolves the one namespace of a method, and returns the database with it. done gives the database back.
func (m *Migrator) open(ctx context.Context) (part *target, db site, done func(), err error) {
	if part, err = m.one(); err == nil {
		_, db, done, err = m.openAny(ctx)
	}
	return part, db, done, err
}

// openAny is open for methods that work on several namespaces.
func (m *Migrator) openAny(ctx context.Context) (known *targets, db site, done func(), err error) {
	if known, err = m.resolve(); err != nil {
		return nil, site{}, nil, err
	}
	pool, closePool := m.db, func() {}
	if m.own != nil {
		if pool, closePool, err = m.own.use(ctx); err != nil {
			return nil, site{}, nil, m.named(known.whole.tableError(ctx, err))
		}
	}
	if pool == nil {
		return nil, site{}, nil, errors.New("the database given to New is nil")
	}
	if err := known.whole.wrongDriver(pool); err != nil {
		closePool()
		return nil, site{}, nil, m.named(err)
	}
	db, leave := known.whole.reach(pool)
	return known, db, func() { leave(); closePool() }, nil
}

// withTimeout limits a run. The default gives way to a deadline of the caller's.
func (m *Migrator) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); limited && !m.options.timeoutSet {
		return context.WithCancel(ctx)
	}
	return failure.Limit(ctx, m.options.timeout, "timeout")
}

// newStream is the stream of a run's events.
func (m *Migrator) newStream(ctx context.Context) *stream {
	s := &stream{scope: Scope{m.options.tenant, m.options.namespace}, current: &current{context.WithoutCancel(ctx)}}
	if m.events != nil {
		s.observers = m.events.observers
	} else {
		s.observers = m.observers()
		s.observers.turns = new(sync.Mutex)
	}
	return s
}

// observers are the observers that the options give. The logger is one of them. The context hooks come first, so that the others get
// their context.
func (m *Migrator) observers() *observers {
	logger := m.options.logger
	if logger == nil {
		logger = zap.L()
	}
	o := &observers{list: slices.Clone(m.options.contextHooks), accused: make(map[int]bool), warn: func(message string) {
		defer func() { _ = recover() }() // the logger may be the observer that panicked
		logger.Warn(message)
	}}
	list := m.options.observers
	if writes(logger) {
		list = append(slices.Clone(list), logObserver(logger))
	}
	for _, observe := range list {
		o.list = append(o.list, func(ctx context.Context, e Event) context.Context { observe(ctx, e); return nil })
	}
	return o
}
