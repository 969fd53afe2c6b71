package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleMigrator_Provision() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	acme := gooseplus.Tenant{Name: "acme", Open: func(context.Context) (*sql.DB, error) {
		return sql.Open("sqlite", "file:"+filepath.Join(dir, "acme.db"))
	}}
	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(fstest.MapFS{
		"sql/base/1_bills.sql": {Data: []byte("-- +goose Up\nCREATE TABLE bills (number INTEGER);\n-- +goose Down\nDROP TABLE bills;\n")},
		"sql/base/2_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (text VARCHAR(80));\n-- +goose Down\nDROP TABLE notes;\n")},
	}), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if e, ok := e.(gooseplus.BatchFinished); ok {
			fmt.Println(len(e.Steps), "migrations in one transaction:", e.Err)
		}
	}))
	if err := m.Provision(ctx, acme); err != nil {
		fmt.Println(err)
		return
	}
	version, err := m.Tenant(acme).Version(ctx)
	fmt.Println("version", version, err)
	// Output:
	// 2 migrations in one transaction: <nil>
	// version 2 <nil>
}
