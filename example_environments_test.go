package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	schema "github.com/gooseplus/gooseplus/sql"
)

// customersIn migrates a new database with base and one more environment, and counts its customers.
func customersIn(environment string) (n int, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	migrator := gooseplus.New(db,
		gooseplus.WithDialect("sqlite3"),
		gooseplus.WithFS(schema.FS), // the folders base, production and test at its root
		gooseplus.WithBasePath("."),
		gooseplus.WithEnvironments(environment))
	if err := migrator.Migrate(context.Background()); err != nil {
		return 0, err
	}
	err = db.QueryRow(`SELECT count(*) FROM customers`).Scan(&n)
	return n, err
}

// Test data is in a folder beside the schema's, and gets into a database only with its environment.
func Example_environments() {
	for _, environment := range []string{"production", "test"} {
		n, err := customersIn(environment)
		fmt.Println(environment, n, err)
	}
	// Output:
	// production 0 <nil>
	// test 3 <nil>
}
