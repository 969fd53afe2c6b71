// Package drive takes one step of a run through goose, and returns its result. It knows the step, the session that goose
// works on, and how the version table is written. The run decides why a step is taken, and what follows from its result.
package drive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/sqltext"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// ErrOtherRunner is the error of a step that another runner has taken meanwhile.
var ErrOtherRunner = failure.Outcome("the applied versions changed during this run, by another process (use WithGlobalLock(true)), by a trigger of the version table, or by a migration")

// Section is one direction of a migration.
type Section struct {
	Function         bool // it is a Go function
	GooseTransaction bool // goose opens a transaction for it
	InTransaction    bool // and nothing in it ends that
	// Transactional says that the transaction makes it whole or absent, which isn't so where DDL commits by itself.
	Transactional bool
	// Watched says that it might end its transaction, or change settings of its connection.
	Watched bool
	// Plain says that it leaves its connection as it was.
	Plain bool
}

// Step is one migration in one direction.
type Step struct {
	Section
	Version int64
	Source  string
	Down    bool
	// Reversible says that there is a Down, or an Up, that takes it back.
	Reversible bool
	// Unrecorded says of a step down that the version is not in the version table: if it has a row all the same, that is
	// another runner's.
	Unrecorded bool
	// Instead are the versions, besides its own, instead of which the step is executed, lowest first: it is not the migration
	// of its version, but what [Reader.ReadInstead] has read, and it records all of them. nil for a migration.
	Instead []int64
	// Texts, if not nil, are all that the step executes, in one round trip: one transaction has them and the records of the
	// step's versions. Each begins with the settings that the session's transactions begin with. Instead may be nil.
	Texts []string
}

func (s Step) String() string {
	direction := "up"
	if s.Down {
		direction = "down"
	}
	return "migration " + failure.Ref(s.Version, s.Source) + " " + direction
}

// Result is the result of a step.
type Result struct {
	Err       error  // nil: the step is executed and recorded
	Statement string // that failed; "" if all of the step's own were executed
	Number    int    // of that statement, counted from 1
	// LeftNothing is true when a step that failed is certain to have changed nothing except, if it was committed after
	// all, the version table.
	LeftNothing bool
	// MaybeRecorded is true when the version table may say that a step that failed was executed.
	MaybeRecorded bool
	// Blockers are the connections that were in the way of a step that failed on a lock, or at the end of its time.
	Blockers []history.Blocker
	Key      int64 // of the row that a step up has inserted, 0 if it is unknown
}

// Config configures a Driver.
type Config struct {
	DB       *sql.DB // for the driver's own statements
	Pool     *sql.DB // that both come from
	Dialect  dialect.Dialect
	Table    *history.Versions
	State    *history.State // nil for dialects that gooseplus leaves to goose
	Run      string         // the id of the run
	Retries  int            // how often a step is tried again that met another session; negative: until its time is over
	LockWait time.Duration  // how long a statement waits for a lock; 0 is unknown
	Patience *wait.Patience
	Hooks    Hooks
}

// Hooks are calls back to the run.
type Hooks struct {
	Warn func(message string)
	// Dead makes the error of a run that another runner has declared dead.
	Dead func() error
	// Restore puts back the state table, or what it knew of the run, if a migration has removed that, and says whether it was
	// gone.
	Restore func(context.Context) (gone bool, err error)
	// Fenced says whether a step has failed that may have left its transaction, with the fence, to a connection that the
	// run doesn't know.
	Fenced func() bool
	// Remember is called to execute what the state table remembers of the step, in the transaction of its row in the version table.
	Remember func(ctx context.Context, db history.Querier, step Step, took time.Duration) error
	// Recorded is called when both tables have the step, in that transaction.
	Recorded func(ctx context.Context, db history.Querier, step Step) error
	// Unreadable makes the error of a state table that can't be used.
	Unreadable func(context.Context, error) error
}

// Driver takes steps. It is used by one goroutine. A nil Driver has no connections, and has lost none.
type Driver struct {
	*Reader
	cfg         Config
	session     *session.Session
	step        Step // that goose is at
	began       time.Time
	connections *Connections
	fenced      bool // the run has the lock
}

// New makes a Driver that takes the steps that the reader has read.
func New(r *Reader, cfg Config) *Driver {
	return &Driver{Reader: r, cfg: cfg, connections: &Connections{cfg: &cfg}}
}

// Connections are the run's connections outside transactions.
func (d *Driver) Connections() *Connections {
	if d == nil {
		return nil
	}
	return d.connections
}

// Connect has goose work on a session. limit is how many connections it may have at once, 0 for any number.
func (d *Driver) Connect(s *session.Session, limit int) {
	d.session, d.functions = s, s.DB()
	d.recorder.Outside(d.recordStep)
	d.provider.Connect(s.Connector(), limit)
}

// Found tells the driver what the version table says before the first step.
func (d *Driver) Found(rows history.Rows) { d.recorder.Found(rows) }

// Rest lets go of the connection that is kept for the next step.
func (d *Driver) Rest() { d.session.Rest() }

// Disconnect gives the connections back. There are some only if a migration has kept them.
func (d *Driver) Disconnect(ctx context.Context) error {
	if d == nil || d.session == nil {
		return nil
	}
	return d.session.Close(ctx)
}

// Take takes a step. All its attempts have the time of ctx.
func (d *Driver) Take(ctx context.Context, step Step) Result {
	d.step, d.began = step, time.Now()
	d.connections.take(step)
	if step.Unrecorded {
		d.recorder.Unrecorded()
	} else {
		d.recorder.Step(step.Down)
	}
	lookout, stop := d.watch(ctx)
	defer stop()
	waits := d.functions.Stats()
	err := d.attempts(ctx, step)
	if err != nil {
		d.Rest() // what asks for the state of things may need the connection
	}
	if err != nil && d.leftNothing(ctx, step, err) {
		err, _ = d.restored(ctx, err, func() error { // it failed at the fence
			d.recorder.Again()
			return d.attempts(ctx, step)
		})
	}
	if err == nil {
		return Result{Key: d.recorder.Key()}
	}
	if d.connections.dead.Load() {
		err = d.cfg.Hooks.Dead()
	}
	result := Result{Statement: d.trace.statement, Number: d.trace.statements, LeftNothing: d.leftNothing(ctx, step, err), MaybeRecorded: d.maybeRecorded(step, err), Key: d.recorder.Key()}
	if d.recorder.Reached() {
		result.Statement, result.Number = "", 0 // it was the version table, or the COMMIT
	}
	if otherRunner(err) {
		err = fmt.Errorf("%w: %w", ErrOtherRunner, err)
	}
	result.Err = failure.Stopped(ctx, d.starved(ctx, err, waits))
	if ctx.Err() != nil || d.cfg.Dialect.Contention(err) || d.cfg.Dialect.StatementTimeout(err) {
		result.Blockers = lookout.found()
	}
	return result
}

// starved adds to the error of a step that ran out of time that a Go migration waited for a connection for most of it. That is so if it
// executes something while the rows of a query are open, and the pool has one connection. before are the figures from before the step.
// Many short waits are no sign of that: a migration that works on several goroutines has them.
func (d *Driver) starved(ctx context.Context, err error, before sql.DBStats) error {
	stats := d.functions.Stats()
	count, waited := stats.WaitCount-before.WaitCount, stats.WaitDuration-before.WaitDuration
	if ctx.Err() == nil || count == 0 || waited/time.Duration(count) < time.Since(d.began)/2 {
		return err
	}
	return fmt.Errorf("%w (it waited for a connection, while rows or a transaction of its own may have been open: the run lends it at most %d, "+
		"see SetMaxOpenConns of the *sql.DB)", err, stats.MaxOpenConnections)
}

// restored puts back what a migration has removed of the run from the state table, and tries again. It returns the error of that
// try, or err if nothing was removed. over says that it could not be put back, perhaps because the lock is lost: then nothing
// more may be written.
func (d *Driver) restored(ctx context.Context, err error, again func() error) (_ error, over bool) {
	gone, failed := d.cfg.Hooks.Restore(ctx)
	if !gone {
		return err, false
	}
	d.connections.dead.Store(false)
	if failed != nil {
		return d.cfg.Hooks.Unreadable(ctx, failed), true
	}
	return again(), false
}

// EndedTransaction says whether the last step has ended the transaction that it was in, so that it may have left
// something.
func (d *Driver) EndedTransaction() bool { return d.session.Ended() }

// maybeRecorded says whether the version table may say that the step that failed with err was
// executed all the same.
func (d *Driver) maybeRecorded(step Step, err error) bool {
	switch {
	case otherRunner(err), !d.recorder.Reached():
		return false
	case d.recorder.Recorded():
		// It was the COMMIT that failed, or, in a transaction that executeText has rolled back since, the run's hook.
		return step.Texts == nil || !failure.RolledBack(err)
	}
	// The answer was lost; where there is no transaction, nobody can tell.
	return !step.InTransaction || !failure.RolledBack(err)
}

// otherRunner says whether err comes from a version table in which somebody else has done meanwhile
// what the step was to do.
func otherRunner(err error) bool {
	return errors.Is(err, history.ErrRecorded) || errors.Is(err, history.ErrNotRecorded)
}

// leftNothing says whether the step that failed with err is certain to have changed nothing but, if
// it was committed after all, the version table. A transaction takes everything back where DDL obeys
// it. Where it doesn't, some single statements still are all or nothing; but it has to be this
// statement that the server refused, not the row of the version table that comes after it, nor a
// connection that was lost on the way: then the rollback that goose sent has succeeded.
func (d *Driver) leftNothing(ctx context.Context, step Step, err error) bool {
	if d.session != nil && d.session.Ended() {
		return false
	}
	if step.Transactional || !d.trace.began() || d.firstRefused(step, err) {
		return true
	}
	if !step.InTransaction || !d.trace.onlyStatement() || d.recorder.Reached() || !failure.RolledBack(err) {
		return false
	}
	return atomicDDL(d.trace.statement) || atomicDML(d.trace.statement) && d.cfg.Table.Transactional(ctx, d.cfg.DB)
}

// firstRefused says whether the step failed at its first statement, before that had any effect: the server could not parse
// it, or has what it makes already, or it stood in the transaction that goose opened, which a later statement would have ended.
func (d *Driver) firstRefused(step Step, err error) bool {
	statement := d.trace.statement
	switch {
	case d.trace.statements != 1 || d.trace.functions > 0 || d.recorder.Reached():
		return false
	case errors.Is(err, session.ErrPooled), errors.Is(err, session.ErrUnsure): // it was not sent
		return true
	case single(statement) && !executesOthers(statement) && (d.cfg.Dialect.Unparsed(err, statement) || d.cfg.Dialect.Exists(err)):
		return true
	}
	opened := !step.Function && step.GooseTransaction
	return opened && d.cfg.Dialect.TransactionalDDL && !sqltext.ControlsTransactions(statement) && failure.RolledBack(err)
}
