package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/gooseplus/gooseplus"
)

// Migrations can be defined in Go, in any order. The Down of the second version of a view is the Up of the
// first.
func ExampleDefinitions() {
	var schema gooseplus.Definitions
	schema.Define(3).
		Up(`DROP VIEW greeting; CREATE VIEW greeting AS SELECT 'Hello, ' || name AS text FROM guest`).
		DownAction(gooseplus.Replay(2))
	schema.Define(2).
		Up(`DROP VIEW IF EXISTS greeting; CREATE VIEW greeting AS SELECT name AS text FROM guest`).
		Down(`DROP VIEW greeting`)
	schema.Define(1).
		UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE TABLE guest AS SELECT 'Ada' AS name`)
			return err
		})).
		Down(`DROP TABLE guest`)
	if err := schema.Err(); err != nil {
		log.Fatal(err)
	}

	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection has a memory of its own

	ctx := context.Background()
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithDefinitions(&schema))
	for _, version := range []int64{3, 2} {
		if err := migrator.Goto(ctx, version); err != nil {
			log.Fatal(err)
		}
		var text string
		if err := db.QueryRow(`SELECT text FROM greeting`).Scan(&text); err != nil {
			log.Fatal(err)
		}
		fmt.Println(version, text)
	}
	// Output:
	// 3 Hello, Ada
	// 2 Ada
}
