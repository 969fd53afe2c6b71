package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

var forum = fstest.MapFS{
	"sql/base/1_create_threads.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE threads (id BIGINT NOT NULL PRIMARY KEY);
-- +goose Down
DROP TABLE threads;
`)},
	"sql/base/2_create_replies.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE replies (thread BIGINT NOT NULL, text TEXT NOT NULL);
-- +goose Down
DROP TABLE replies;
`)},
}

// Status tells what is applied and what isn't; Plan, what Migrate would do about it.
func ExampleMigrator_Status() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	ctx := context.Background()
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(forum))
	if err := migrator.MigrateTo(ctx, 1); err != nil {
		fmt.Println(err)
		return
	}
	status, err := migrator.Status(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("at version", status.CurrentVersion, "with", status.PendingCount, "to come")
	for _, m := range status.Migrations {
		fmt.Println(m.Version, m.Source, m.AppliedAt != nil)
	}
	steps, err := migrator.Plan(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range steps {
		fmt.Println("would go", s.Direction, s.Source)
	}
	// Output:
	// at version 1 with 1 to come
	// 1 sql/base/1_create_threads.sql true
	// 2 sql/base/2_create_replies.sql false
	// would go up sql/base/2_create_replies.sql
}
