package migrations

import (
	"context"
	"database/sql"

	"github.com/gooseplus/gooseplus"
)

var cities = []struct {
	name, code, country string
	population          int
}{
	{"Bern", "ch", "Switzerland", 134_000},
	{"Kyoto", "jp", "Japan", 1_440_000},
	{"Zug", "ch", "Switzerland", 31_000},
}

// An Up that is simpler in Go than in SQL is a function. Its Down can still be a statement.
func init() {
	Schema.Define(3).
		UpAction(gooseplus.TxFunc(load)).
		Down(`DELETE FROM city; DELETE FROM country;`)
}

func load(ctx context.Context, tx *sql.Tx) error {
	for _, c := range cities {
		if _, err := tx.ExecContext(ctx, `INSERT INTO country VALUES (?, ?) ON CONFLICT DO NOTHING`, c.code, c.country); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO city VALUES (?, ?, ?)`, c.name, c.code, c.population); err != nil {
			return err
		}
	}
	return nil
}
