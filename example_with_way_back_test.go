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

// The release is stopped by its first failure. Nothing of it stays in the tenants that had succeeded.
func ExampleWithWayBack() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	open := func(name string) func(context.Context) (*sql.DB, error) {
		return func(context.Context) (*sql.DB, error) {
			return sql.Open("sqlite", "file:"+filepath.Join(dir, name+".db"))
		}
	}
	tenants := func(yield func(gooseplus.Tenant, error) bool) {
		for _, name := range []string{"acme", "globex", "initech"} {
			if !yield(gooseplus.Tenant{Name: name, Open: open(name)}, nil) {
				return
			}
		}
	}
	globex, err := open("globex")(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer globex.Close()
	if _, err := globex.Exec("CREATE TABLE bills (number INTEGER)"); err != nil { // somebody made it by hand
		fmt.Println(err)
		return
	}

	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(fstest.MapFS{
		"sql/base/1_create_bills.sql": {Data: []byte("-- +goose Up\nCREATE TABLE bills (number INTEGER);\n-- +goose Down\nDROP TABLE bills;\n")},
	}))
	report, err := m.MigrateTenants(ctx, tenants,
		gooseplus.WithConcurrency(1), gooseplus.WithMaxFailures(1), gooseplus.WithWayBack(true))
	for _, t := range report.Tenants {
		fmt.Printf("%s: %s, from %d to %d\n", t.Name, t.State, t.From, t.To)
	}
	fmt.Println(report.Undone, "undone,", report.Failed, "failed,", report.Skipped, "skipped,", err != nil)
	// Output:
	// acme: undone, from 0 to 0
	// globex: failed and undone, from 0 to 0
	// initech: skipped, from -1 to -1
	// 1 undone, 1 failed, 1 skipped, true
}
