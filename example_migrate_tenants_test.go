package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleMigrator_MigrateTenants() {
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

	files := fstest.MapFS{
		"sql/base/1_create_bills.sql": {Data: []byte("-- +goose Up\nCREATE TABLE bills (number INTEGER);\n-- +goose Down\nDROP TABLE bills;\n")},
	}
	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files))
	report, err := m.MigrateTenants(ctx, tenants)
	fmt.Println(report.Migrated, "migrated,", err)

	// Globex has numbers that the next migration can't do with.
	globex, err := open("globex")(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer globex.Close()
	if _, err := globex.Exec("INSERT INTO bills VALUES (7), (7)"); err != nil {
		fmt.Println(err)
		return
	}
	files["sql/base/2_number_once.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE UNIQUE INDEX once ON bills (number);\n-- +goose Down\nDROP INDEX once;\n")}
	m = gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files))
	report, err = m.MigrateTenants(ctx, tenants)
	for _, t := range report.Tenants {
		fmt.Printf("%s: %s, at %d\n", t.Name, t.State, t.To)
	}
	var failed *gooseplus.TenantsError
	fmt.Println(errors.As(err, &failed), errors.Is(err, gooseplus.ErrRollForward))
	// Output:
	// 3 migrated, <nil>
	// acme: migrated, at 2
	// globex: failed and undone, at 1
	// initech: migrated, at 2
	// true true
}
