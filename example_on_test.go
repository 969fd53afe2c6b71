package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// A service with shards migrates each of its databases with the same Migrator. The folders are read once.
func ExampleMigrator_On() {
	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(fstest.MapFS{
		"sql/base/1_cities.sql": {Data: []byte("-- +goose Up\nCREATE TABLE cities (name VARCHAR(40));\n")},
	}))
	for shard := range 2 {
		db, err := sql.Open("sqlite", ":memory:")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer db.Close()
		db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

		fmt.Println(shard, m.On(db).Migrate(context.Background()))
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
}
