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

func ExampleMigrator_TenantsStatus() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	tenant := func(name string) gooseplus.Tenant {
		return gooseplus.Tenant{Name: name, Open: func(context.Context) (*sql.DB, error) {
			return sql.Open("sqlite", "file:"+filepath.Join(dir, name+".db"))
		}}
	}
	tenants := func(yield func(gooseplus.Tenant, error) bool) {
		for _, name := range []string{"acme", "globex"} {
			if !yield(tenant(name), nil) {
				return
			}
		}
	}
	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(fstest.MapFS{
		"sql/base/1_bills.sql": {Data: []byte("-- +goose Up\nCREATE TABLE bills (number INTEGER);\n")},
		"sql/base/2_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (text VARCHAR(80));\n")},
	}))
	if err := m.Tenant(tenant("globex")).Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	for status, err := range m.TenantsStatus(ctx, tenants) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %s, at %d, %d pending\n", status.Name, status.State, status.Version, status.Pending)
	}
	// Output:
	// acme: pending, at 0, 2 pending
	// globex: up to date, at 2, 0 pending
}
