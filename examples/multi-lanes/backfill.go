package main

import (
	"context"
	"database/sql"

	"github.com/gooseplus/gooseplus"
)

const batch = 100

// slowLane fills in what the fast lane has made room for. afterBatch is called between two batches.
func slowLane(afterBatch func()) *gooseplus.Definitions {
	lane := new(gooseplus.Definitions)
	lane.Define(1).
		UpAction(gooseplus.DBFunc(func(ctx context.Context, db *sql.DB) error { return fillPrices(ctx, db, afterBatch) })).
		Down(`SELECT 1`) // prices that are there do no harm
	return lane
}

// fillPrices commits each batch by itself: no lock on the table is held for long.
func fillPrices(ctx context.Context, db *sql.DB, afterBatch func()) error {
	for {
		result, err := db.ExecContext(ctx, `UPDATE orders SET price = printf('%d.%02d', cents / 100, cents % 100)
			WHERE id IN (SELECT id FROM orders WHERE price IS NULL LIMIT ?)`, batch)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil || n == 0 {
			return err
		}
		afterBatch()
	}
}
