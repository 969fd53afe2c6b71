package gooseplus

import (
	"context"
	"errors"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/redact"
)

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
