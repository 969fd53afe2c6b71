package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleWithApplicationVersion() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	files := fstest.MapFS{"sql/base/1_orders.sql": {Data: []byte("-- +goose Up\nCREATE TABLE orders (id INTEGER);\n-- +goose Down\nDROP TABLE orders;\n")}}
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files), gooseplus.WithApplicationVersion("v1.8.0"))
	if err := m.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	status, err := m.Status(ctx)
	fmt.Println(status.Migrations[0].Version, status.Migrations[0].Application, err)
	// Output:
	// 1 v1.8.0 <nil>
}

func ExampleWithRedactedDetails() {
	var db *sql.DB // PostgreSQL
	m := gooseplus.New(db, gooseplus.WithRedactedDetails(true))

	err := m.Migrate(context.Background())
	var failed *gooseplus.MigrationError
	if errors.As(err, &failed) {
		// Without the option, Detail is PostgreSQL's DETAIL, such as: Key (email)=(ann@example.com) already exists.
		fmt.Println(failed.Detail == "")
	}
}
