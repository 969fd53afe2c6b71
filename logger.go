package gooseplus

import (
	"context"
	"errors"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// WithLogger sets the logger, one of the observers of a run: a line for each migration and for each
// outcome. The error that a method returns is logged as a warning, never at error level. nil is silent.
//
// The default is zap.L() at the time of the run, which is silent until the application calls
// zap.ReplaceGlobals.
func WithLogger(logger *zap.Logger) Option {
	return optionFunc(func(o *options) {
		if logger == nil {
			logger = zap.NewNop()
		}
		o.logger = logger
	})
}

// WithSlog adds a logger of log/slog, which gets the same lines as [WithLogger]'s, with the context's values. An error
// that a method returns is logged as a warning, never at error level. nil is ignored.
//
// There is none by default.
func WithSlog(logger *slog.Logger) Option {
	if logger == nil {
		return WithObserver(nil)
	}
	return WithObserver(func(ctx context.Context, e Event) {
		if l, ok := lineOf(e); ok {
			logger.LogAttrs(ctx, l.level, l.message, l.attrs...)
		}
	})
}

// writes says whether a logger takes any line. The levels are asked one by one because a core may take any set of them.
func writes(logger *zap.Logger) bool {
	return enabled(logger, zapcore.DebugLevel) || enabled(logger, zapcore.InfoLevel) || enabled(logger, zapcore.WarnLevel)
}

// enabled runs on the goroutine of the run, which a core that panics must not end.
func enabled(logger *zap.Logger, level zapcore.Level) (yes bool) {
	defer func() { _ = recover() }()
	return logger.Core().Enabled(level)
}

// logObserver writes events to a zap logger.
func logObserver(logger *zap.Logger) func(context.Context, Event) {
	return func(_ context.Context, e Event) {
		l, ok := lineOf(e)
		if !ok {
			return
		}
		fields := make([]zap.Field, len(l.attrs))
		for i, a := range l.attrs {
			fields[i] = zap.Any(a.Key, a.Value.Any())
		}
		logger.Log(map[slog.Level]zapcore.Level{
			slog.LevelDebug: zapcore.DebugLevel, slog.LevelInfo: zapcore.InfoLevel, slog.LevelWarn: zapcore.WarnLevel,
		}[l.level], l.message, fields...)
	}
}

// line is what a log has of an event. The caller reports the error that a run returns; a log has it as a warning at most.
type line struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

// lineOf is the line of an event, if it has one.
func lineOf(event Event) (l line, ok bool) {
	if tenant := event.place().Tenant; tenant != "" {
		l.attrs = append(l.attrs, slog.String("tenant", tenant))
	}
	if namespace := event.place().Namespace; namespace != "" {
		l.attrs = append(l.attrs, slog.String("namespace", namespace))
	}
	switch e := event.(type) {
	case LockWaiting:
		l.add(slog.LevelInfo, "waiting for the lock", slog.String("holder", e.Holder), slog.Time("since", e.Since))
	case RunStarted:
		l.add(slog.LevelInfo, "migrating the database", slog.Int64("version", e.From), slog.Int("steps", len(e.Steps)))
	case MigrationStarted:
		l.add(slog.LevelDebug, "migration started", stepAttrs(e.Step)...)
	case MigrationFinished:
		l.migration(e)
	case BatchFinished:
		l.batch(e)
	case WayBackStarted:
		l.add(slog.LevelWarn, "run failed, returning to the starting point", errorAttr(e.Cause))
	case VersionForced:
		l.add(slog.LevelWarn, "version forced", slog.Int64("version", e.Version), slog.Any("added", e.Added), slog.Any("removed", e.Removed))
	case RunFinished:
		l.outcome(e)
	case TenantsWayBackStarted:
		l.add(slog.LevelWarn, "too many tenants failed, undoing the tenants that had succeeded", slog.Int("tenants", e.Tenants))
	case Warning:
		l.add(slog.LevelWarn, e.Message)
	default:
		return l, false
	}
	return l, true
}

func (l *line) add(level slog.Level, message string, attrs ...slog.Attr) {
	l.level, l.message, l.attrs = level, message, append(l.attrs, attrs...)
}

func (l *line) migration(e MigrationFinished) {
	attrs := append(stepAttrs(e.Step), slog.Duration("duration", e.Duration))
	switch {
	case e.Err == nil && e.Step.Direction == directionUp:
		l.add(slog.LevelInfo, "migration applied", attrs...)
	case e.Err == nil:
		l.add(slog.LevelInfo, "migration undone", attrs...)
	default:
		l.add(slog.LevelWarn, "migration failed", append(attrs, errorAttr(e.Err))...)
		if p, ok := errors.AsType[*drive.PanicError](e.Err); ok {
			l.attrs = append(l.attrs, slog.String("stack", string(p.Stack)))
		}
	}
}

func (l *line) batch(e BatchFinished) {
	attrs := []slog.Attr{slog.Int("migrations", len(e.Steps)), slog.Int64("first", e.Steps[0].Version),
		slog.Int64("last", e.Steps[len(e.Steps)-1].Version), slog.Duration("duration", e.Duration)}
	if e.Err == nil {
		l.add(slog.LevelInfo, "migrations applied in one transaction", attrs...)
		return
	}
	l.add(slog.LevelWarn, "migrations failed in one transaction", append(attrs, errorAttr(e.Err))...)
}

func (l *line) outcome(e RunFinished) {
	var attrs []slog.Attr
	if e.To >= 0 { // otherwise it is unknown
		attrs = append(attrs, slog.Int64("version", e.To))
	}
	attrs = append(attrs, slog.Duration("duration", e.Duration))
	switch {
	case e.Err != nil:
		l.add(slog.LevelWarn, "database not migrated", append(attrs, errorAttr(e.Err))...)
	case e.Applied+e.Undone == 0:
		l.add(slog.LevelDebug, "database is up to date", attrs...)
	default:
		l.add(slog.LevelInfo, "database migrated", append(attrs, slog.Int("applied", e.Applied), slog.Int("undone", e.Undone))...)
	}
}

func stepAttrs(s Step) []slog.Attr {
	return []slog.Attr{
		slog.Int64("version", s.Version), slog.String("source", s.Source),
		slog.String("environment", s.Environment), slog.String("direction", s.Direction),
	}
}

// errorAttr is a text and no error: a logger may add the verbose form of a driver's error, which can hold data and, for
// some drivers, the DSN.
func errorAttr(err error) slog.Attr { return slog.String("error", redact.Text(err.Error())) }
