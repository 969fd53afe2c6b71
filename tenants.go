package gooseplus

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/fleet"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/redact"
	"github.com/gooseplus/gooseplus/internal/session"
)

// A Tenant is one schema of the database, or one database, that gets the whole migration set.
type Tenant struct {
	// Name is what errors, events and reports call the tenant; "" is the schema's name. If it is a DSN, they replace
	// its password by xxxxx.
	Name string
	// Schema is the tenant's schema, taken as [WithSchema] does.
	Schema string
	// Open opens the tenant's own database, which is closed when the tenant is done; nil is the
	// database of the Migrator. With a Schema as well, that schema of it.
	Open func(context.Context) (*sql.DB, error)
}

// name is what errors, events and reports call the tenant. A query that gives the DSN where the name belongs must not
// bring its password there.
func (t Tenant) name() string { return redact.Text(cmp.Or(t.Name, t.Schema)) }

// shares says whether the tenant is in the Migrator's own database.
func (t Tenant) shares() bool { return t.Open == nil }

// Schemas are tenants by the names of their schemas.
func Schemas(names ...string) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		for _, name := range names {
			if !yield(Tenant{Schema: name}, nil) {
				return
			}
		}
	}
}

// SchemasLike are the schemas whose names match a pattern of LIKE, in the order of their names: on
// PostgreSQL the schemas of the database except pg_… and information_schema, on MySQL and MariaDB the
// databases of the server. It asks db when it is ranged over, some hundred names at a time, and keeps no
// query open in between.
func SchemasLike(db *sql.DB, pattern string) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		query, err := schemasQuery(db)
		last, more := "", err == nil
		for more {
			more = false
			var names []Tenant
			for t, err := range SchemasFromQuery(db, query, pattern, last) {
				if err != nil {
					yield(Tenant{}, err)
					return
				}
				names = append(names, t)
			}
			for _, t := range names {
				if !yield(t, nil) {
					return
				}
				last, more = t.Schema, len(names) == schemasAtOnce
			}
		}
		if err != nil {
			yield(Tenant{}, fmt.Errorf("SchemasLike: %w", failure.Tidy{Err: err}))
		}
	}
}

// schemasAtOnce is the LIMIT of schemasQuery.
const schemasAtOnce = 500

// schemasQuery is the query of SchemasLike, with the pattern and the name to begin after.
func schemasQuery(db *sql.DB) (string, error) {
	if db == nil {
		return "", errors.New("the database is nil")
	}
	var version string
	if err := db.QueryRow("SELECT version()").Scan(&version); err != nil {
		return "", fmt.Errorf("is it PostgreSQL, MySQL or MariaDB? %w", err)
	}
	if strings.HasPrefix(version, "PostgreSQL") {
		return `SELECT nspname FROM pg_namespace WHERE nspname LIKE $1 AND nspname > $2
			AND left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema' ORDER BY nspname LIMIT 500`, nil
	}
	return `SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE ? AND BINARY schema_name > ?
		AND schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY BINARY schema_name LIMIT 500`, nil
}

// SchemasFromQuery are tenants by the rows of a query: one column, the schema. It asks db when it is
// ranged over, and the query is open until that is done, which takes a connection; with
// [Migrator.MigrateTenants] that is soon, since it collects the tenants ahead of the work. An error ends
// it, after the tenants before.
func SchemasFromQuery(db *sql.DB, query string, args ...any) iter.Seq2[Tenant, error] {
	return fromQuery(db, "SchemasFromQuery", "the schema", query, args, func(rows *sql.Rows) (t Tenant, err error) {
		err = rows.Scan(&t.Schema)
		return t, err
	})
}

// DatabasesFromQuery are tenants by the rows of a query: two columns, the name and the DSN, with which
// open is called when it is the tenant's turn. It asks db when it is ranged over, see
// [SchemasFromQuery]. An error ends it, after the tenants before.
func DatabasesFromQuery(db *sql.DB, open func(ctx context.Context, dsn string) (*sql.DB, error), query string, args ...any) iter.Seq2[Tenant, error] {
	return fromQuery(db, "DatabasesFromQuery", "the name, the DSN", query, args, func(rows *sql.Rows) (t Tenant, err error) {
		var dsn string
		err = rows.Scan(&t.Name, &dsn)
		t.Open = func(ctx context.Context) (*sql.DB, error) { return open(ctx, dsn) }
		return t, err
	})
}

// fromQuery makes tenants of the rows of a query that has the columns.
func fromQuery(db *sql.DB, what, columns, query string, args []any, scan func(*sql.Rows) (Tenant, error)) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		if db == nil {
			yield(Tenant{}, fmt.Errorf("%s: the database is nil", what))
			return
		}
		rows, err := db.Query(query, args...)
		if err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
			return
		}
		defer rows.Close()
		have, err := rows.Columns()
		if want := 1 + strings.Count(columns, ","); err == nil && len(have) != want {
			err = fmt.Errorf("the columns of the query are %q, and have to be %s", have, columns)
		}
		if err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
			return
		}
		for rows.Next() {
			t, err := scan(rows)
			if err != nil {
				yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
				return
			}
			if !yield(t, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
		}
	}
}

// Tenant returns a Migrator for one tenant. Everything else is as in m, and the folders are not listed again. A tenant's own database is opened by each method that uses it, and
// closed again. A tenant with neither a schema nor Open is a configuration fault of the Migrator that
// is returned; [Migrator.Err] gives it.
func (m *Migrator) Tenant(t Tenant) *Migrator { return m.tenant(t) }

func (m *Migrator) tenant(t Tenant) *Migrator {
	tm := &Migrator{db: m.db, options: m.options, events: m.events}
	o := &tm.options
	o.tenant = t.name()
	if t.Schema != "" || t.Open == nil {
		o.schema, o.bound = t.Schema, true
	}
	if t.Open != nil {
		tm.own = &ownDatabase{open: t.Open}
	}
	tm.resolve = sync.OnceValues(func() (*targets, error) {
		known, err := m.resolve()
		if err != nil {
			return nil, err
		}
		return known.in(o)
	})
	return tm
}

// TenantName is what the tenant of a Migrator is called, "" if it has none.
func (m *Migrator) TenantName() string { return m.options.tenant }

// Tenants ranges over the Migrators of the tenants of a source, one by one. A tenant's own database is
// opened when it is used first and closed when the loop goes on. An error of the source is yielded with
// a nil Migrator, and ends the loop, as the end of ctx does.
func (m *Migrator) Tenants(ctx context.Context, source iter.Seq2[Tenant, error]) iter.Seq2[*Migrator, error] {
	return func(yield func(*Migrator, error) bool) {
		for t, err := range source {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !m.yieldTenant(t, yield) {
				return
			}
		}
	}
}

func (m *Migrator) yieldTenant(t Tenant, yield func(*Migrator, error) bool) bool {
	tm := m.tenant(t)
	defer tm.own.keep()()
	return yield(tm, nil)
}

// MigrateTenants is [Migrator.Migrate] for every tenant of a source, each with its own lock if the lock
// is enabled, and its own way back. It looks at many schemas at once and makes a run only for those that
// have anything to do: first the canaries, one by one, then the others, several at a time. A tenant that
// another process has locked is taken up again at the end. A tenant that fails doesn't stop the others,
// unless an option says so. Only the end of the context interrupts a tenant that is being migrated.
//
// The source is ranged over once, ahead of the work. The report is never nil, and has every tenant that
// the source gave; if there are none, the observers get a [Warning]. The error is a [*TenantsError] if any of them
// failed; the source's own error, or the error of a context that ended, is in it as well. A fault of the configuration
// or of the options is returned before the source is asked.
func (m *Migrator) MigrateTenants(ctx context.Context, source iter.Seq2[Tenant, error], opts ...TenantsOption) (*TenantsReport, error) {
	return m.eachTenant(ctx, source, nil, opts)
}

// EachTenant calls do with the Migrator of every tenant of a source, several at a time, like
// [Migrator.MigrateTenants], with the same options, report and error; there is no look ahead. do is called for every
// tenant, once, unless a stop rule or the end of the context comes first; if it returns [ErrLocked], it is called
// again at the end. The report says that the tenant is migrated if do returns nil. A panic of do is its
// tenant's failure. do must not keep the Migrator.
func (m *Migrator) EachTenant(ctx context.Context, source iter.Seq2[Tenant, error], do func(context.Context, *Migrator) error, opts ...TenantsOption) (*TenantsReport, error) {
	if do == nil {
		return new(TenantsReport), errors.New("EachTenant: the function is nil")
	}
	return m.eachTenant(ctx, source, do, opts)
}

// eachTenant is EachTenant, or MigrateTenants if do is nil.
func (m *Migrator) eachTenant(ctx context.Context, source iter.Seq2[Tenant, error], do func(context.Context, *Migrator) error, opts []TenantsOption) (report *TenantsReport, err error) {
	c, err := m.newTenantsCall(ctx, source, opts)
	if err != nil {
		return new(TenantsReport), m.refuse(ctx, err)
	}
	defer c.close()
	ctx, end := c.m.events.begin(ctx, TenantsStarted{})
	defer func() {
		c.m.events.send(TenantsFinished{Report: report, Err: err})
		end()
	}()
	limits := c.limits()
	if do == nil {
		limits.Lookers = c.lookers()
	}
	f := fleet.New(limits, fleet.Work[Tenant, TenantResult]{
		Skipped: func(t Tenant) TenantResult { return skipped(t.name(), nil) },
		Shares:  Tenant.shares,
		Look:    c.upToDate,
		Do: func(ctx context.Context, t Tenant, last bool) (TenantResult, fleet.Outcome) {
			return c.work(ctx, t, do, last)
		},
		Progress: c.progress,
	})
	sourceErr := f.Run(ctx, source)
	r := &TenantsReport{Duration: time.Since(c.started)}
	for result := range f.Results() {
		r.Tenants = append(r.Tenants, result)
	}
	r.count()
	if r.Total == 0 && sourceErr == nil && ctx.Err() == nil {
		c.m.events.send(Warning{Message: "the source gave no tenant: nothing was done"})
	}
	return r, failure.Join(r.err(), c.ended(ctx, sourceErr, r.Skipped == 0 && f.Complete()))
}

func skipped(name string, err error) TenantResult {
	return TenantResult{Name: name, State: TenantSkipped, From: -1, To: -1, Err: err}
}

// tenantsCall is one call of MigrateTenants, EachTenant or TenantsStatus.
type tenantsCall struct {
	m       *Migrator // as it was given, with the options of the call
	known   *targets
	options tenantsOptions
	started time.Time
	db      site            // the database of m, if it has one
	keeper  *session.Keeper // of the connections of the tenants there
	close   func()
}

func (m *Migrator) newTenantsCall(ctx context.Context, source iter.Seq2[Tenant, error], opts []TenantsOption) (*tenantsCall, error) {
	options, err := newTenantsOptions(opts)
	if err != nil {
		return nil, err
	}
	known, err := m.resolve()
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, errors.New("the source of tenants is nil")
	}
	shared := *m
	shared.events, shared.options.createSchema = m.newStream(ctx), options.createSchema
	if options.timeout > 0 {
		shared.options.timeout, shared.options.timeoutSet = 0, true // WithTenantTimeout counts instead
	}
	c := &tenantsCall{m: &shared, known: known, options: options, started: time.Now(), close: func() {}}
	if m.db != nil {
		db, leave := reach(known.whole.dialect, m.db)
		c.db, c.keeper = db, new(session.Keeper)
		c.close = func() {
			c.keeper.Close()
			leave()
		}
	}
	return c, nil
}

// limits are those of the options and of the pool. Without a look every tenant is worked on.
func (c *tenantsCall) limits() fleet.Limits {
	o := c.options
	return fleet.Limits{
		Workers: o.concurrency, Sharers: c.sharers(), Batch: history.SweepBatch, Canaries: o.canary,
		MaxFailures: o.maxFailures, MaxFailureRate: o.maxFailureRate,
	}
}

// sharers is how many tenants the pool of m has connections for, with one to spare for the look.
func (c *tenantsCall) sharers() int {
	if c.m.db == nil {
		return c.options.concurrency
	}
	limit := c.m.db.Stats().MaxOpenConnections
	if limit == 0 {
		return c.options.concurrency
	}
	return max(1, min(c.options.concurrency, (limit-1)/c.m.options.mostConnections()))
}

// mostConnections is how many connections a run can need at once, see steps.connections.
func (o *options) mostConnections() int {
	need := 2 // for the migrations, kept from step to step, and for the run's own statements
	if o.globalLock {
		need++
	}
	return need
}

// tenant is the Migrator of one tenant, whose database stays open until the tenant is done.
func (c *tenantsCall) tenant(t Tenant) (tm *Migrator, done func()) {
	tm = c.m.tenant(t)
	if t.shares() {
		tm.keeper = c.keeper
	}
	return tm, tm.own.keep()
}

// work brings one tenant to its end. It waits for the lock of another process only the last time.
func (c *tenantsCall) work(ctx context.Context, t Tenant, do func(context.Context, *Migrator) error, last bool) (TenantResult, fleet.Outcome) {
	tm, done := c.tenant(t)
	defer done()
	if !last {
		tm.options.lockWait = 0
	}
	result := c.attempt(ctx, tm, do)
	switch {
	case result.State == TenantLocked && !last:
		return skipped(result.Name, result.Err), fleet.Locked
	case result.State.failed():
		return result, fleet.Failed
	}
	return result, fleet.Done
}

func (c *tenantsCall) attempt(ctx context.Context, tm *Migrator, do func(context.Context, *Migrator) error) TenantResult {
	started := time.Now()
	limited, cancel := failure.Limit(ctx, c.options.timeout, "tenant timeout")
	defer cancel()
	var end *outcome
	tm.ended = func(o outcome) { end = &o }
	var err error
	if do == nil {
		err = tm.Migrate(limited)
	} else {
		err = tm.guarded(limited, do)
	}
	result := TenantResult{Name: tm.options.tenant, Err: err, Duration: time.Since(started)}
	if end != nil {
		result.From, result.To = end.from, end.to
	} else if err != nil {
		result.From, result.To = -1, -1 // nobody has looked
	}
	switch touched := end != nil && end.touched; {
	case err != nil:
		result.State = c.failed(err)
		if result.State == TenantFailed && do == nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) && !touched {
			result.State = TenantSkipped
		}
	case do == nil && end != nil && end.applied+end.undone == 0:
		result.State = TenantUpToDate
	default:
		result.State = TenantMigrated
	}
	return result
}

// guarded calls do, whose panic is an error.
func (m *Migrator) guarded(ctx context.Context, do func(context.Context, *Migrator) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = m.named(&drive.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	return do(ctx, m)
}

// failed is the state of a tenant with an error.
func (c *tenantsCall) failed(err error) TenantState {
	switch {
	case errors.Is(err, ErrTenantMissing), c.known.whole.dialect.NoDatabase(err):
		return TenantMissing
	case errors.Is(err, ErrLocked):
		return TenantLocked
	case errors.Is(err, ErrDirty):
		return TenantDirty
	case errors.Is(err, ErrRollForward) && !errors.Is(err, ErrRollBack):
		return TenantFailedAndUndone
	}
	return TenantFailed
}

func (c *tenantsCall) progress(p fleet.Progress) {
	c.m.events.send(TenantsProgress{
		Done: p.Done, Total: p.Total, Counted: p.Counted, Failed: p.Failed,
		Rate: float64(p.Done) / max(time.Since(c.started).Seconds(), 1e-9),
	})
}

// ended is the error of a source, and of a context that ended before all tenants had.
func (c *tenantsCall) ended(ctx context.Context, source error, all bool) (err error) {
	var panicked *fleet.PanicError
	switch {
	case errors.As(source, &panicked):
		err = fmt.Errorf("the source of tenants panicked: %w", &drive.PanicError{Value: panicked.Value, Stack: panicked.Stack})
	case source != nil:
		err = fmt.Errorf("the source of tenants: %w", source)
	}
	if ctx.Err() != nil && !all {
		err = failure.Join(err, failure.Stopped(ctx, nil))
	}
	return err
}

// ownDatabase is the database that a tenant brings.
type ownDatabase struct {
	open func(context.Context) (*sql.DB, error)

	mu   sync.Mutex
	kept bool    // guarded by mu: it is opened once, and whoever keeps it closes it
	db   *sql.DB // guarded by mu
}

// use opens the database, or takes the one that is kept.
func (d *ownDatabase) use(ctx context.Context) (*sql.DB, func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db != nil {
		return d.db, func() {}, nil
	}
	db, err := d.opened(ctx)
	if err == nil && db == nil {
		err = errors.New("the tenant's Open returned neither a database nor an error")
	}
	if err != nil {
		return nil, nil, err
	}
	if d.kept {
		d.db = db
		return db, func() {}, nil
	}
	return db, func() { _ = db.Close() }, nil // everything that was to be written has been committed
}

// opened calls open. A panic of open is this tenant's failure, so that the other tenants go on.
func (d *ownDatabase) opened(ctx context.Context) (db *sql.DB, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the tenant's Open: %w", &drive.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	return d.open(ctx)
}

// keep has the database stay open until the function that it returns is called.
func (d *ownDatabase) keep() (end func()) {
	if d == nil {
		return func() {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.db != nil {
			_ = d.db.Close() // everything that was to be written has been committed
		}
		d.db, d.kept = nil, false
	}
}
