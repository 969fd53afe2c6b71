package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

var wiki = fstest.MapFS{
	"sql/base/1_create_pages.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE pages (id BIGINT NOT NULL PRIMARY KEY);
-- +goose Down
DROP TABLE pages;
`)},
	"sql/base/2_create_links.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE links (page BIGINT NOT NULL, target BIGINT NOT NULL);
-- +goose Down
DROP TABLE links;
`)},
	"sql/base/3_create_tags.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE tags (page BIGINT NOT NULL, tag VARCHAR(50) NOT NULL);
-- +goose Down
DROP TABLE tags;
`)},
}

// Goto takes a database to a version from wherever it is.
func ExampleMigrator_Goto() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	ctx := context.Background()
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(wiki),
		gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
			if e, ok := event.(gooseplus.MigrationFinished); ok {
				fmt.Println(e.Step.Direction, e.Step.Source)
			}
		}))
	for _, version := range []int64{3, 1, 2} {
		if err := migrator.Goto(ctx, version); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("at", version)
	}
	// Output:
	// up sql/base/1_create_pages.sql
	// up sql/base/2_create_links.sql
	// up sql/base/3_create_tags.sql
	// at 3
	// down sql/base/3_create_tags.sql
	// down sql/base/2_create_links.sql
	// at 1
	// up sql/base/2_create_links.sql
	// at 2
}
