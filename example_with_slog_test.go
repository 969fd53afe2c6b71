package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleWithSlog() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}}))
	files := fstest.MapFS{"sql/base/1_orders.sql": {Data: []byte("-- +goose Up\nCREATE TABLE orders (id INTEGER);\n-- +goose Down\nDROP TABLE orders;\n")}}
	if err := gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files), gooseplus.WithSlog(logger)).Migrate(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// level=INFO msg="migrating the database" version=0 steps=1
	// level=INFO msg="migration applied" version=1 source=sql/base/1_orders.sql environment=base direction=up
	// level=INFO msg="database migrated" version=1 applied=1 undone=0
}
