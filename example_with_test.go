package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// A command gets the Migrator of the application, and needs one more observer and the environment of the tests.
func ExampleMigrator_With() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	application := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(fstest.MapFS{
		"sql/base/1_cities.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE cities (name VARCHAR(40));\n")},
		"sql/test/2_examples.sql": {Data: []byte("-- +goose Up\nINSERT INTO cities VALUES ('Porto');\n")},
	}))

	observed := application.With(
		gooseplus.WithEnvironments("test"),
		gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
			if e, ok := event.(gooseplus.MigrationFinished); ok {
				fmt.Println(e.Step.Direction, e.Step.Source)
			}
		}),
	)
	fmt.Println(observed.Migrate(context.Background()))
	// Output:
	// up sql/base/1_cities.sql
	// up sql/test/2_examples.sql
	// <nil>
}
