package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// The runs that had the lock are remembered, the newest first.
func ExampleMigrator_Runs() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a database of its own

	files := fstest.MapFS{"sql/base/1_units.sql": &fstest.MapFile{
		Data: []byte("-- +goose Up\nCREATE TABLE units (id INTEGER);\n-- +goose Down\nDROP TABLE units;\n"),
	}}
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files), gooseplus.WithGlobalLock(true))
	ctx := context.Background()
	if err := migrator.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	files["sql/base/2_typo.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nINSERT INTO unit VALUES (1);\n")}
	_ = gooseplus.New(migrator.DB(), gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files), gooseplus.WithGlobalLock(true)).Migrate(ctx)

	runs, err := migrator.Runs(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range runs {
		fmt.Println(r.Outcome, "from", r.From, "to", r.To)
	}
	// Output:
	// rolled back from 1 to 1
	// migrated from 0 to 1
}
