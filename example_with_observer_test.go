package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

var observed = fstest.MapFS{
	"sql/base/1_create_tags.sql": {Data: []byte("-- +goose Up\nCREATE TABLE tags (name VARCHAR(20));\n")},
	"sql/base/2_insert_tags.sql": {Data: []byte("-- +goose Up\nINSERT INTO tags VALUES ('go'), ('sql');\n")},
}

func ExampleWithObserver() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	observe := func(_ context.Context, event gooseplus.Event) {
		switch e := event.(type) {
		case gooseplus.RunStarted:
			fmt.Println("at version", e.From, "with", len(e.Steps), "pending")
		case gooseplus.MigrationFinished:
			fmt.Println(e.Step.Direction, e.Step.Source, e.Err)
		case gooseplus.RunFinished:
			fmt.Println("at version", e.To, "with", e.Applied, "applied")
		}
	}
	err = gooseplus.New(db,
		gooseplus.WithDialect("sqlite3"),
		gooseplus.WithFS(observed),
		gooseplus.WithObserver(observe),
	).Migrate(context.Background())
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// at version 0 with 2 pending
	// up sql/base/1_create_tags.sql <nil>
	// up sql/base/2_insert_tags.sql <nil>
	// at version 2 with 2 applied
}
