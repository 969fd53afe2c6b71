package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// PlanTo shows what Goto would do, and Statements the SQL of it.
func ExampleMigrator_PlanTo() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	ctx := context.Background()
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(wiki))
	if err := m.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	steps, err := m.PlanTo(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range steps {
		statements, err := m.Statements(ctx, step)
		fmt.Println(step.Direction, step.Version, statements, err)
	}
	// Output:
	// down 3 [DROP TABLE tags;] <nil>
	// down 2 [DROP TABLE links;] <nil>
}
