package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// An Event is something that happened in a run: [LockWaiting], [RunStarted], [MigrationStarted],
// [MigrationFinished], [WayBackStarted], [VersionForced], [RunFinished],
// [TenantsProgress] or [Warning].
type Event interface {
	in(Scope) Event
	place() Scope
}

// Scope says where an event happened.
type Scope struct {
	Tenant    string // "" for a run without a tenant
	Namespace string // "" for a run without namespaces, and for events of a run over all of them
}

func (s Scope) place() Scope { return s }

// A Step is one migration in one direction, as a run plans it.
type Step struct {
	Namespace   string // "" when the run has no namespace
	Version     int64
	Source      string // as in [MigrationStatus]
	Environment string // the folder it is in; "" if it is in none
	Direction   string // "up" or "down"
	// Transactional says that the step is applied as a whole or not at all. It is false for NO
	// TRANSACTION files and Go migrations without a transaction, and for every step on a database
	// where DDL commits by itself.
	Transactional bool
	// Reversible says that there is a Down that does something.
	Reversible bool
}

// LockWaiting is sent once per run, when the run begins to wait for another runner: for its lock, or for a
// statement that the server still executes for a runner that was cut off.
type LockWaiting struct {
	Scope
	Holder string    // host/process id/run; "" until the holder has recorded its run
	Since  time.Time // the start of the holder's run
}

// RunStarted is sent when a run has read its starting point and has something to do. A run over several
// namespaces sends it before the first step of each.
type RunStarted struct {
	Scope
	From  int64 // the highest version applied
	Steps []Step
}

// MigrationStarted is sent before a migration runs, on the way back too.
type MigrationStarted struct {
	Scope
	Step Step
}

// MigrationFinished is sent when a migration has run. Err is nil or a [*MigrationError].
type MigrationFinished struct {
	Scope
	Step     Step
	Duration time.Duration
	Err      error
}

// WayBackStarted is sent when a run failed and is about to undo its steps.
type WayBackStarted struct {
	Scope
	Cause error
}

// RunFinished is the last event of a run. Without a [RunStarted] before it nothing was pending, or
// the run could not start: after a fault of the configuration it is the only event. A run over several
// namespaces ends with one for each, in their order.
type RunFinished struct {
	Scope
	From, To int64 // the highest version applied before and after; -1 if it can't be read
	Applied  int   // how many migrations the run applied and kept
	Undone   int   // how many migrations the run undid and left undone
	Duration time.Duration
	Err      error // what the run returns, or what is true of this namespace if that says more
}

// VersionForced is sent when [Migrator.Force] has rewritten the version table.
type VersionForced struct {
	Scope
	Version        int64
	Added, Removed []int64
}

// TenantsProgress is sent by [Migrator.MigrateTenants], [Migrator.EachTenant] and [Migrator.TenantsStatus] when
// tenants are done.
type TenantsProgress struct {
	Done    int  // tenants that are done
	Total   int  // tenants that the source has yielded so far
	Counted bool // the source has ended: Total is final
	Failed  int
	Rate    float64 // tenants per second since the call began
}

// Warning is something that a person should know and that stops nothing.
type Warning struct {
	Scope
	Message string
}

func (e LockWaiting) in(s Scope) Event       { e.Scope = s; return e }
func (e RunStarted) in(s Scope) Event        { e.Scope = s; return e }
func (e MigrationStarted) in(s Scope) Event  { e.Scope = s; return e }
func (e MigrationFinished) in(s Scope) Event { e.Scope = s; return e }
func (e WayBackStarted) in(s Scope) Event    { e.Scope = s; return e }
func (e RunFinished) in(s Scope) Event       { e.Scope = s; return e }
func (e VersionForced) in(s Scope) Event     { e.Scope = s; return e }
func (e TenantsProgress) in(Scope) Event     { return e }
func (e TenantsProgress) place() Scope       { return Scope{} }
func (e Warning) in(s Scope) Event           { e.Scope = s; return e }

// stream carries the events of one run to its observers. The zero value has none.
type stream struct {
	scope     Scope
	observers *observers // shared by the runs of the same call
}

// observers are the functions that hear the events of one call: of one run, or of the runs of many tenants.
type observers struct {
	ctx   context.Context // has the values of the caller's, and never ends
	turns *sync.Mutex     // held while one of them is called: one event at a time
	list  []func(context.Context, Event)

	warn    func(string) // is told of an observer that panics
	accused map[int]bool // guarded by turns; the observers whose panic was told
}

// replaced takes the place of the observers in the same call.
func (o *observers) replaced(by *observers) *observers {
	by.ctx, by.turns = o.ctx, o.turns
	return by
}

// silent says whether nobody listens.
func (s *stream) silent() bool { return s.observers == nil || len(s.observers.list) == 0 }

// send returns when all observers have had the event.
func (s *stream) send(e Event) {
	if s.silent() {
		return
	}
	o := s.observers
	o.turns.Lock()
	defer o.turns.Unlock()
	e = e.in(s.scope)
	for i := range o.list {
		o.call(i, e)
	}
}

// call calls one observer, whose panic must not end the run. o.turns is held.
func (o *observers) call(i int, e Event) {
	defer func() {
		if v := recover(); v != nil && !o.accused[i] {
			o.accused[i] = true
			o.warn(fmt.Sprintf("observer panicked: %v\n%s", v, debug.Stack()))
		}
	}()
	o.list[i](o.ctx, e)
}

// share is the stream of a run of one tenant or namespace.
func (s *stream) share(tenant, namespace string) *stream {
	return &stream{scope: Scope{tenant, namespace}, observers: s.observers}
}

// writes says whether a logger takes anything of what logObserver writes. The levels are asked one
// by one because a core may take any set of them.
func writes(logger *zap.Logger) bool {
	return enabled(logger, zapcore.DebugLevel) || enabled(logger, zapcore.InfoLevel) || enabled(logger, zapcore.WarnLevel)
}

// enabled runs on the goroutine of the run, which a core that panics must not end.
func enabled(logger *zap.Logger, level zapcore.Level) (yes bool) {
	defer func() { _ = recover() }()
	return logger.Core().Enabled(level)
}

// logObserver writes events to a zap logger. An error that the run returns is the caller's to
// report; here it is a warning at most.
func logObserver(logger *zap.Logger) func(context.Context, Event) {
	return func(_ context.Context, event Event) {
		logger := logger
		if tenant := event.place().Tenant; tenant != "" {
			logger = logger.With(zap.String("tenant", tenant))
		}
		if namespace := event.place().Namespace; namespace != "" {
			logger = logger.With(zap.String("namespace", namespace))
		}
		switch e := event.(type) {
		case LockWaiting:
			logger.Info("waiting for the lock", zap.String("holder", e.Holder), zap.Time("since", e.Since))
		case RunStarted:
			logger.Info("migrating the database",
				zap.Int64("version", e.From), zap.Int("steps", len(e.Steps)))
		case MigrationStarted:
			logger.Debug("migration started", stepFields(e.Step)...)
		case MigrationFinished:
			logMigration(logger, e)
		case WayBackStarted:
			logger.Warn("run failed, returning to the starting point", errorField(e.Cause))
		case VersionForced:
			logger.Warn("version forced", zap.Int64("version", e.Version), zap.Int64s("added", e.Added), zap.Int64s("removed", e.Removed))
		case RunFinished:
			logOutcome(logger, e)
		case Warning:
			logger.Warn(e.Message)
		}
	}
}

func logMigration(logger *zap.Logger, e MigrationFinished) {
	fields := append(stepFields(e.Step), zap.Duration("duration", e.Duration))
	switch {
	case e.Err == nil && e.Step.Direction == directionUp:
		logger.Info("migration applied", fields...)
	case e.Err == nil:
		logger.Info("migration undone", fields...)
	default:
		fields = append(fields, errorField(e.Err))
		var p *drive.PanicError
		if errors.As(e.Err, &p) {
			fields = append(fields, zap.ByteString("stack", p.Stack))
		}
		logger.Warn("migration failed", fields...)
	}
}

func logOutcome(logger *zap.Logger, e RunFinished) {
	fields := []zap.Field{zap.Int64("version", e.To), zap.Duration("duration", e.Duration)}
	switch {
	case e.Err != nil:
		logger.Warn("database not migrated", append(fields, errorField(e.Err))...)
	case e.Applied+e.Undone == 0:
		logger.Debug("database is up to date", fields...)
	default:
		logger.Info("database migrated", append(fields, zap.Int("applied", e.Applied), zap.Int("undone", e.Undone))...)
	}
}

func stepFields(s Step) []zap.Field {
	return []zap.Field{
		zap.Int64("version", s.Version),
		zap.String("source", s.Source),
		zap.String("environment", s.Environment),
		zap.String("direction", s.Direction),
	}
}

// errorField is a string, not zap.Error: zap would add the verbose form of a driver's error, which
// can hold data and, for some drivers, the DSN.
func errorField(err error) zap.Field {
	return zap.String("error", redact.Text(err.Error()))
}
