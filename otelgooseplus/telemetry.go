// Package otelgooseplus shows the runs of gooseplus in OpenTelemetry, as spans and metrics.
//
//	migrator := gooseplus.New(db, gooseplus.WithFS(files), otelgooseplus.WithTelemetry(tracerProvider, meterProvider))
//
// The spans, all of kind INTERNAL, are
//
//	gooseplus.tenants            a call of MigrateTenants or EachTenant
//	  gooseplus.run              a run, also one with nothing to do
//	    gooseplus.lock_wait      its wait for the global lock, if it waits
//	    gooseplus.migration      one migration, up or down
//	    gooseplus.batch          several migrations in one transaction, as Provision applies them
//	    gooseplus.way_back       the way back of a failed run, with its migrations below it
//
// The statements of a migration, and a Go migration, have the context of its span: the spans of an instrumented driver, such
// as github.com/XSAM/otelsql, stand below it. In a run of more than 100 steps, migrations are events of the span above
// instead. A warning is an event too.
//
// The metrics are the histograms gooseplus.run.duration, gooseplus.migration.duration and gooseplus.lock_wait.duration, in
// seconds, and the counters gooseplus.migrations and gooseplus.tenants. A tenant's name is on spans, and never on a metric.
package otelgooseplus

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/gooseplus/gooseplus"
)

const scope = "github.com/gooseplus/gooseplus/otelgooseplus"

// An Option configures [WithTelemetry].
type Option func(*telemetry)

// WithAttributes adds attributes to all spans and metrics, such as db.system.name and db.namespace of the semantic
// conventions.
//
// There are none by default.
func WithAttributes(attributes ...attribute.KeyValue) Option {
	return func(t *telemetry) { t.attributes = append(t.attributes, attributes...) }
}

// WithTelemetry is an option of gooseplus that sends the runs of a Migrator to the providers. A nil provider gets nothing;
// the global providers are never used.
func WithTelemetry(traces trace.TracerProvider, metrics metric.MeterProvider, opts ...Option) gooseplus.Option {
	if traces == nil {
		traces = nooptrace.NewTracerProvider()
	}
	if metrics == nil {
		metrics = noopmetric.NewMeterProvider()
	}
	t := &telemetry{tracer: traces.Tracer(scope), instruments: newInstruments(metrics.Meter(scope))}
	for _, opt := range opts {
		if opt != nil {
			opt(t)
		}
	}
	return gooseplus.WithContextHook(t.hook)
}

// ContextWithLink returns a context whose runs have a link to a span that is not above them, such as the span of a rollout
// that another process has begun.
func ContextWithLink(ctx context.Context, to trace.SpanContext) context.Context {
	return context.WithValue(ctx, linkKey{}, to)
}

type linkKey struct{}

func linksOf(ctx context.Context) []trace.Link {
	if to, ok := ctx.Value(linkKey{}).(trace.SpanContext); ok && to.IsValid() {
		return []trace.Link{{SpanContext: to}}
	}
	return nil
}

type instruments struct {
	run, migration, lockWait metric.Float64Histogram
	migrations, tenants      metric.Int64Counter
}

func newInstruments(m metric.Meter) (i instruments) {
	seconds := func(name, description string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(.005, .025, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600))
		report(err)
		return h
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		report(err)
		return c
	}
	return instruments{
		run:        seconds("gooseplus.run.duration", "Duration of a run, by its outcome"),
		migration:  seconds("gooseplus.migration.duration", "Duration of a migration, by its direction and outcome"),
		lockWait:   seconds("gooseplus.lock_wait.duration", "Duration of the wait for the global lock"),
		migrations: counter("gooseplus.migrations", "{migration}", "Migrations that were executed, by direction and outcome"),
		tenants:    counter("gooseplus.tenants", "{tenant}", "Tenants that a call has worked on, by their state at its end"),
	}
}

// report tells OpenTelemetry's error handler: an instrument that could not be made is one that does nothing.
func report(err error) {
	if err != nil {
		otel.Handle(err)
	}
}
