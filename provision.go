package gooseplus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// Provision makes a new tenant, and brings it to the newest version: it creates the tenant's schema, or has [Tenant.Create]
// create its database, and runs the migrations of all environments in the fastest safe way. If anything fails, whatever this call has
// created is dropped again, and the error says so. Provision never drops what was there before: such a schema is migrated,
// and a failed run takes the way back of [Migrator.Migrate].
//
// Two calls for the same tenant, in any processes, take turns: one makes the tenant, the other finds it ready. So Provision
// takes the global lock even without [WithGlobalLock]. If the process is killed, the next call goes on with what is there.
// As the schema was there before, that call doesn't drop it if it fails. On MySQL and MariaDB it returns [ErrDirty] if a migration
// may be half-applied.
//
// # Migrations that run together
//
// With a checkpoint ([WithCheckpoints]) the run begins with it. All other migrations that can be in a transaction with others
// run together: one text in one transaction, with the rows of the version table and of the state table. That takes a small part of the
// time of one transaction each, and ends in the same state. Before anything runs, Provision finds the migrations that need a
// transaction of their own, or none, and runs these one by one, in their places:
//
//   - NO TRANSACTION, Go functions, and transactions of their own (COMMIT);
//   - SET, RESET, PRAGMA, LOCK, temporary tables, and all other statements that are not known to be harmless;
//   - ALTER TYPE … ADD VALUE;
//   - texts that SQLite would not read to the end: a comment without an end;
//   - INITIALLY DEFERRED, set_config, pg_settings, functions that SET or RESET something, and on SQLite ROLLBACK: these and all
//     later migrations run one by one.
//
// Each migration begins with the settings of the session, such as the search_path and the role, whatever functions earlier
// migrations have called. now() is the same for migrations that run together, and locks on tables of other schemas are held
// until all have run. Their time limit is [WithMigrationTimeout] times their number. The observers get [BatchStarted] and
// [BatchFinished] for them. If they fail together, they run one by one, so the error names the migration to blame. If no other
// migration follows, the same transaction verifies and records the end of the run. MySQL and MariaDB have no transactions for
// DDL, so there all migrations run one by one, as they do with [RollbackTransaction].
//
// [Migrator.MigrateTenants] runs migrations together too, in tenants without any applied version.
func (m *Migrator) Provision(ctx context.Context, t Tenant) error {
	known, err := m.resolve()
	if err == nil {
		err = t.creatable(m, known.whole.dialect)
	}
	if err != nil {
		return m.tenant(t).refuse(ctx, err)
	}
	tm := m.tenant(t)
	defer tm.own.keep()()
	o := &tm.options
	o.batches, o.globalLock, o.createSchema, o.dropCreated = true, known.whole.state != nil, o.bound, true
	if t.Create == nil {
		return tm.migrate(ctx, upTo(math.MaxInt64))
	}
	ctx, cancel := tm.withTimeout(ctx)
	defer cancel()
	return tm.named(m.provisionDatabase(ctx, known.whole, t, tm))
}

// creatable refuses a tenant whose database can't be created and dropped.
func (t Tenant) creatable(m *Migrator, d dialect.Dialect) error {
	switch {
	case (t.Create == nil) != (t.Drop == nil):
		return errors.New("a tenant with Create needs Drop, which undoes it, and the other way round")
	case t.Create == nil:
		return nil
	case t.Open == nil:
		return errors.New("a tenant with Create and Drop needs Open, which opens the created database")
	case !d.Networked():
		return fmt.Errorf("a tenant can't have Create and Drop with the dialect %s: Open creates the file", d.Goose)
	case m.db == nil:
		return errors.New("a tenant with Create needs the database given to New, which is nil: it holds the lock that keeps two calls apart")
	}
	return nil
}

// provisionDatabase makes a tenant that has its own database. The lock of that database comes too late to keep others from
// creating or dropping it, so there is another lock, in the database of m, for all of the time.
func (m *Migrator) provisionDatabase(ctx context.Context, whole *target, t Tenant, tm *Migrator) (err error) {
	site, leave := whole.reach(m.db)
	defer leave()
	held, err := m.tenantLock(ctx, whole, site, t)
	if err != nil {
		return err
	}
	alive, lost := context.WithCancelCause(context.WithoutCancel(ctx))
	defer lost(nil)
	stop := mutex.Watch(held, m.options.lockTimes.beats, func(err error) { lost(fmt.Errorf("%w: %s", ErrLockLost, failure.Reason(err))) })
	defer func() {
		stop(stopLimit)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
		defer cancel()
		_ = held.Release(ending) // the tenant is as the error says
	}()
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(alive, func() { cancel(context.Cause(alive)) })()
	there, err := tm.reachable(within, whole)
	if err != nil {
		return err
	}
	if !there {
		if err := called(within, t.Create); err != nil {
			return tm.notCreated(alive, whole, failure.Stopped(within, err))
		}
	}
	if err = tm.migrate(within, upTo(math.MaxInt64)); err == nil || there {
		return err
	}
	tm.own.close() // a server drops no database that is in use
	if alive.Err() != nil {
		return fmt.Errorf("%w; its database, which this call had created, was left: %w: call Provision again", err, context.Cause(alive))
	}
	dropping, end := failure.Limit(alive, m.options.rollbackTimeout, "rollback timeout")
	defer end()
	if dropErr := called(dropping, t.Drop); dropErr != nil {
		return fmt.Errorf("%w; its database, which this call had created, is still there: the tenant's Drop: %w: drop it, or call Provision again",
			err, failure.Stopped(dropping, dropErr))
	}
	return dropped(err, "the database")
}

// notCreated is the error of a Create that failed. A database that is there nevertheless stays: somebody else may have created it.
func (m *Migrator) notCreated(alive context.Context, whole *target, err error) error {
	asking, cancel := failure.Limit(alive, m.options.rollbackTimeout, "rollback timeout")
	defer cancel()
	there, askErr := m.reachable(asking, whole)
	m.own.close()
	switch {
	case askErr != nil:
		return fmt.Errorf("the tenant's Create: %w (whether its database is there could not be found out: %w)", err, askErr)
	case there:
		return fmt.Errorf("the tenant's Create: %w; its database is there all the same and was left: drop it, or call Provision again", err)
	}
	return fmt.Errorf("%w: the tenant's Create: %w", ErrRollForward, err)
}

// called calls a function of a tenant. A panic is its error.
func called(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = failure.Tidy{Err: &drive.PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	return failure.Tidied(failure.Foreign(f(ctx)))
}

// reachable says whether the tenant's database is there.
func (m *Migrator) reachable(ctx context.Context, whole *target) (bool, error) {
	db, done, err := m.own.use(ctx)
	if err == nil {
		defer done()
		err = db.PingContext(ctx)
	}
	switch {
	case err == nil:
		return true, nil
	case whole.dialect.NoDatabase(err):
		return false, nil
	}
	return false, whole.tableError(ctx, err)
}

// tenantLock waits for the lock of a tenant in the database of m.
func (m *Migrator) tenantLock(ctx context.Context, whole *target, db site, t Tenant) (mutex.Held, error) {
	sum := sha256.Sum256([]byte(t.name()))
	// No such table ever exists. The lock is named after it, so that it is the same for every search_path.
	state, err := history.NewState(whole.dialect, whole.dialect.Quote(dialect.Name{Schema: "gooseplus", Table: "tenant_" + hex.EncodeToString(sum[:16])}))
	if err != nil {
		return nil, err
	}
	lock, err := state.Mutex(ctx, db.own, db.pool, mutex.Lease{Idle: m.options.lockTimes.idle, Name: "gooseplus provision"})
	if err != nil {
		return nil, whole.tableError(ctx, err)
	}
	waiting, cancel := m.options.whileWaiting(ctx)
	defer cancel()
	for began := time.Now(); ; {
		held, err := lock.TryLock(ctx)
		if err != nil {
			return nil, whole.tableError(ctx, err)
		}
		if held != nil {
			return held, nil
		}
		if !wait.Sleep(waiting, wait.Poll(time.Since(began))) {
			return nil, fmt.Errorf("%w: %w (another Provision of this tenant)", ErrLocked, failure.Stopped(waiting, nil))
		}
	}
}

// dropCreated drops the schema that a failed run has created, if it is to leave nothing, and says what became of it.
func (h *holding) dropCreated(err error) error {
	o, schema := h.run.options, h.run.whole.schema
	if err == nil || !h.created || !o.dropCreated {
		return err
	}
	sqlText := h.run.whole.dialect.Schema(schema).Drop()
	if !h.lives() || errors.Is(err, ErrLockLost) {
		return fmt.Errorf("%w; the schema %q, which this call had created, was left, as the lock was lost: call Provision again", err, schema)
	}
	for _, p := range h.run.parts {
		if busy := p.driver.Connections().Await(h.alive); busy != nil {
			return fmt.Errorf("%w; the schema %q, which this call had created, is still there: %w: execute %s, or call Provision again", err, schema, busy, sqlText)
		}
	}
	ctx, cancel := h.detached(h.alive, o.rollbackTimeout)
	defer cancel()
	if _, dropErr := h.run.db.own.ExecContext(ctx, sqlText); dropErr != nil {
		return fmt.Errorf("%w; the schema %q, which this call had created, is still there: %w: execute %s, or call Provision again",
			err, schema, failure.Tidy{Err: failure.Stopped(ctx, dropErr)}, sqlText)
	}
	return dropped(err, fmt.Sprintf("the schema %q", schema))
}

// dropped is the error of a run after what it had created was dropped.
func dropped(err error, what string) error {
	if stuck, ok := errors.AsType[*RollbackError](err); ok { // there is nothing any more that could not be undone, or is dirty
		err = fmt.Errorf("%w: %w (its Downs failed too: %s: look for what they leave outside of the tenant)", ErrRollForward, stuck.Cause, reason(stuck.Err))
	}
	return fmt.Errorf("%w; %s, which this call had created, was dropped", err, what)
}
