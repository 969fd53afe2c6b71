package otelgooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"testing/fstest"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/otelgooseplus"
)

// The spans go to the standard error, for want of a collector.
func ExampleWithTelemetry() {
	ctx := context.Background()
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
	if err != nil {
		log.Fatal(err)
	}
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	defer traces.Shutdown(ctx)

	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	files := fstest.MapFS{"sql/base/1_users.sql": {Data: []byte("-- +goose Up\nCREATE TABLE users (id INT);\n-- +goose Down\nDROP TABLE users;\n")}}
	err = gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files), otelgooseplus.WithTelemetry(traces, nil)).Migrate(ctx)
	fmt.Println(err)
	// Output: <nil>
}
