package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleWithCheckpoints() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a database of its own

	// As gooseplus checkpoint has written it. The files of versions 1 and 2 were deleted.
	files := fstest.MapFS{"sql/base/2_base.checkpoint.sql": &fstest.MapFile{Data: []byte(`-- gooseplus checkpoint sqlite3 70a5c0b244b2ded8a9e5db05e31704322735059c8f2b02be226617a9bfd55dc4
-- covers 1 1111111111111111111111111111111111111111111111111111111111111111 0 "base" "sql/base/1_customers.sql"
-- covers 2 2222222222222222222222222222222222222222222222222222222222222222 0 "base" "sql/base/2_add_email.sql"
-- +goose Up
-- +goose StatementBegin
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT);
-- +goose StatementEnd
`)}}
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files), gooseplus.WithCheckpoints(true))
	ctx := context.Background()
	steps, err := m.Plan(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(steps[0].Source, "covers", steps[0].Covers, "versions")
	fmt.Println(m.Migrate(ctx))
	version, _ := m.Version(ctx)
	fmt.Println("version", version)
	// Output:
	// sql/base/2_base.checkpoint.sql covers 2 versions
	// <nil>
	// version 2
}
