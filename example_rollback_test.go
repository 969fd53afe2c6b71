package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

var shop = fstest.MapFS{
	"sql/base/1_create_orders.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY);
`)},
	"sql/base/2_add_orders_note.sql": {Data: []byte(`
-- +goose Up
ALTER TABLE orders ADD COLUMN note TEXT;
-- +goose Down
ALTER TABLE orders DROP COLUMN note;
`)},
}

// The last migration is undone. The one before it has no Down, which refuses the next call before
// it touches anything.
func ExampleMigrator_Rollback() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	ctx := context.Background()
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(shop))
	if err := migrator.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		err := migrator.Rollback(ctx, 1)
		if errors.Is(err, gooseplus.ErrIrreversible) {
			fmt.Println("refused:", err)
		} else if err != nil {
			fmt.Println(err)
			return
		}
		version, err := migrator.Version(ctx)
		fmt.Println(version, err)
	}
	// Output:
	// 1 <nil>
	// refused: migration 1 (sql/base/1_create_orders.sql) down: there is no Down to undo it
	// 1 <nil>
}
