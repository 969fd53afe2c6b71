package otelgooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gooseplus/gooseplus"
)

// spansUpTo is how many steps of a run have spans of their own.
const spansUpTo = 100

// telemetry makes spans and metrics of events. It keeps its knowledge of a run in the context of the run's events.
type telemetry struct {
	tracer      trace.Tracer
	instruments instruments
	attributes  []attribute.KeyValue
}

// level is a span that has begun.
type level struct {
	span      trace.Span
	run       *run // nil above a run
	migration bool
}

// run is what is known of a run. Only one event at a time is sent.
type run struct {
	left  int  // how many RunFinished are still to come
	large bool // its migrations are events
}

type levelKey struct{}

func (t *telemetry) start(ctx context.Context, name string, r *run, links []trace.Link, attributes ...attribute.KeyValue) context.Context {
	ctx, span := t.tracer.Start(ctx, name, trace.WithLinks(links...), trace.WithAttributes(t.attributes...), trace.WithAttributes(attributes...))
	return context.WithValue(ctx, levelKey{}, level{span: span, run: r, migration: name == "gooseplus.migration"})
}

func (t *telemetry) hook(ctx context.Context, event gooseplus.Event) context.Context {
	at, ok := ctx.Value(levelKey{}).(level)
	if !ok {
		at.span = trace.SpanFromContext(context.Background()) // which does nothing
	}
	switch e := event.(type) {
	case gooseplus.TenantsStarted:
		return t.start(ctx, "gooseplus.tenants", nil, linksOf(ctx))
	case gooseplus.TenantsFinished:
		t.tenantsFinished(ctx, at.span, e)
	case gooseplus.RunRequested:
		return t.start(ctx, "gooseplus.run", &run{left: max(1, len(e.Namespaces))}, linksOf(ctx), place(e.Scope)...)
	case gooseplus.RunStarted:
		if at.run != nil {
			at.run.large = at.run.large || len(e.Steps) > spansUpTo
		}
	case gooseplus.RunFinished:
		t.runFinished(ctx, at, e)
	case gooseplus.LockWaiting:
		return t.start(ctx, "gooseplus.lock_wait", at.run, nil, append(place(e.Scope), attribute.String("gooseplus.lock.holder", e.Holder))...)
	case gooseplus.LockWaitFinished:
		t.instruments.lockWait.Record(ctx, e.Duration.Seconds(), t.with(attribute.String("gooseplus.outcome", word(e.Err, "obtained"))))
		fail(at.span, e.Err)
		at.span.End()
	case gooseplus.MigrationStarted:
		if at.run == nil || at.run.large {
			return nil
		}
		return t.start(ctx, "gooseplus.migration", at.run, nil, step(e.Scope, e.Step)...)
	case gooseplus.MigrationFinished:
		t.migrationFinished(ctx, at, e)
	case gooseplus.BatchStarted:
		return t.start(ctx, "gooseplus.batch", at.run, nil, append(place(e.Scope), attribute.Int("gooseplus.steps", len(e.Steps)),
			attribute.Int64("gooseplus.version", e.Steps[len(e.Steps)-1].Version))...)
	case gooseplus.BatchFinished:
		if e.Err == nil { // otherwise they run one by one
			t.instruments.migrations.Add(ctx, int64(len(e.Steps)), t.with(result(e.Scope, "up", nil)...))
		}
		at.span.SetAttributes(attribute.String("gooseplus.outcome", word(e.Err, "applied")))
		fail(at.span, e.Err)
		at.span.End()
	case gooseplus.TenantsWayBackStarted:
		at.span.AddEvent("gooseplus.way_back")
	case gooseplus.WayBackStarted:
		return t.start(ctx, "gooseplus.way_back", at.run, nil, place(e.Scope)...)
	case gooseplus.WayBackFinished:
		if errors.Is(e.Err, gooseplus.ErrRollBack) { // otherwise it succeeded
			fail(at.span, e.Err)
		}
		at.span.SetAttributes(attribute.String("gooseplus.outcome", outcome(gooseplus.RunFinished{Err: e.Err})))
		at.span.End()
	case gooseplus.VersionForced:
		at.span.AddEvent("gooseplus.version_forced", trace.WithAttributes(attribute.Int64("gooseplus.version", e.Version)))
	case gooseplus.Warning:
		at.span.AddEvent("gooseplus.warning", trace.WithAttributes(attribute.String("gooseplus.message", e.Message)))
	}
	return nil
}

// with are the attributes of a metric.
func (t *telemetry) with(attributes ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(slices.Concat(t.attributes, attributes)...)
}

func (t *telemetry) runFinished(ctx context.Context, at level, e gooseplus.RunFinished) {
	word := attribute.String("gooseplus.outcome", outcome(e))
	t.instruments.run.Record(ctx, e.Duration.Seconds(), t.with(slices.Concat(namespace(e.Scope), []attribute.KeyValue{word})...))
	if at.run == nil {
		return
	}
	end := []attribute.KeyValue{word, attribute.Int64("gooseplus.from", e.From), attribute.Int64("gooseplus.to", e.To),
		attribute.Int("gooseplus.applied", e.Applied), attribute.Int("gooseplus.undone", e.Undone)}
	if e.Namespace == "" {
		at.span.SetAttributes(end...)
	} else {
		at.span.AddEvent("gooseplus.namespace", trace.WithAttributes(append(namespace(e.Scope), end...)...))
		at.span.SetAttributes(word)
	}
	fail(at.span, e.Err)
	if at.run.left--; at.run.left == 0 {
		at.span.End()
	}
}

func (t *telemetry) migrationFinished(ctx context.Context, at level, e gooseplus.MigrationFinished) {
	attributes := result(e.Scope, e.Step.Direction, e.Err)
	t.instruments.migration.Record(ctx, e.Duration.Seconds(), t.with(attributes...))
	t.instruments.migrations.Add(ctx, 1, t.with(attributes...))
	if at.migration {
		at.span.SetAttributes(attributes...)
		fail(at.span, e.Err)
		at.span.End()
		return
	}
	attributes = append(step(e.Scope, e.Step), append(attributes, attribute.Float64("gooseplus.duration", e.Duration.Seconds()))...)
	at.span.AddEvent("gooseplus.migration", trace.WithAttributes(append(attributes, cause(e.Err)...)...), trace.WithTimestamp(time.Now()))
}

func (t *telemetry) tenantsFinished(ctx context.Context, span trace.Span, e gooseplus.TenantsFinished) {
	states := make(map[gooseplus.TenantState]int64)
	for _, tenant := range e.Report.Tenants {
		states[tenant.State]++
	}
	for state, n := range states {
		t.instruments.tenants.Add(ctx, n, t.with(attribute.String("gooseplus.state", string(state))))
	}
	span.SetAttributes(attribute.Int("gooseplus.tenants.total", e.Report.Total), attribute.Int("gooseplus.tenants.migrated", e.Report.Migrated),
		attribute.Int("gooseplus.tenants.up_to_date", e.Report.UpToDate), attribute.Int("gooseplus.tenants.failed", e.Report.Failed),
		attribute.Int("gooseplus.tenants.skipped", e.Report.Skipped))
	fail(span, e.Err)
	span.End()
}

// place is where something happened, for a span.
func place(s gooseplus.Scope) []attribute.KeyValue {
	list := namespace(s)
	if s.Tenant != "" {
		list = append(list, attribute.String("gooseplus.tenant", s.Tenant))
	}
	return list
}

// namespace is place for a metric, which must not have a value for each tenant.
func namespace(s gooseplus.Scope) (list []attribute.KeyValue) {
	if s.Namespace != "" {
		list = append(list, attribute.String("gooseplus.namespace", s.Namespace))
	}
	return list
}

// result are the attributes of a migration's metrics.
func result(s gooseplus.Scope, direction string, err error) []attribute.KeyValue {
	return append(namespace(s), attribute.String("gooseplus.direction", direction),
		attribute.String("gooseplus.outcome", word(err, map[string]string{"up": "applied", "down": "undone"}[direction])))
}

func step(s gooseplus.Scope, step gooseplus.Step) []attribute.KeyValue {
	return append(place(s), attribute.Int64("gooseplus.version", step.Version), attribute.String("gooseplus.source", step.Source),
		attribute.String("gooseplus.direction", step.Direction), attribute.String("gooseplus.environment", step.Environment))
}

// fail marks a span as failed. The text of a statement can hold data, so it is there only for a statement that failed.
func fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	span.SetStatus(codes.Error, err.Error())
	span.SetAttributes(cause(err)...)
}

// cause is the type of an error, and the statement that failed.
func cause(err error) (list []attribute.KeyValue) {
	if err == nil {
		return nil
	}
	list = append(list, attribute.String("error.type", errorType(err)))
	var migration *gooseplus.MigrationError
	if errors.As(err, &migration) && migration.Statement != "" {
		list = append(list, attribute.String("db.query.text", migration.Statement))
	}
	return list
}

// errorType has few values: PostgreSQL's code, or the name of what is true after a run, or the type of the error that the
// others wrap.
func errorType(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	for _, known := range errorTypes {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

var errorTypes = []struct {
	err  error
	name string
}{
	{context.Canceled, "canceled"}, {context.DeadlineExceeded, "timeout"}, {gooseplus.ErrLocked, "locked"}, {gooseplus.ErrLockLost, "lock_lost"},
	{gooseplus.ErrDirty, "dirty"}, {gooseplus.ErrIrreversible, "irreversible"}, {gooseplus.ErrMigrationTable, "migration_table"},
	{gooseplus.ErrRollForward, "migration"}, {gooseplus.ErrRollBack, "migration"},
}

// word is the outcome of something that has succeeded or failed.
func word(err error, done string) string {
	if err != nil {
		return "failed"
	}
	return done
}

// outcome is how a run ended.
func outcome(e gooseplus.RunFinished) string {
	for _, o := range []struct {
		is   error
		word string
	}{
		{gooseplus.ErrRollBack, "not undone"}, {gooseplus.ErrLockLost, "lock lost"}, {gooseplus.ErrRollForward, "undone"},
		{gooseplus.ErrLocked, "locked"}, {gooseplus.ErrDirty, "dirty"},
	} {
		if errors.Is(e.Err, o.is) {
			return o.word
		}
	}
	switch {
	case e.Err != nil:
		return "refused"
	case e.Applied+e.Undone == 0:
		return "up to date"
	}
	return "migrated"
}
