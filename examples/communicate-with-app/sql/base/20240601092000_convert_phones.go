// Package base has the migrations of this folder that are written in Go.
package base

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/examples/communicate-with-app/exchange"
)

func init() { goose.AddMigrationContext(convertPhones, forgetPhones) }

// convertPhones writes each number in its international form, with the application's country code
// where it has none.
func convertPhones(ctx context.Context, tx *sql.Tx) error {
	input, output, ok := exchange.From(ctx)
	if !ok {
		return errors.New("the context has no exchange: use exchange.WithExchange")
	}
	*output = exchange.Output{} // an earlier attempt may have filled it and then been undone
	phones, err := readPhones(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range phones {
		number, ok := international(p.number, input.CountryCode)
		if !ok {
			output.Unreadable = append(output.Unreadable, p.name)
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE contacts SET e164 = ? WHERE id = ?`, number, p.id); err != nil {
			return err
		}
		output.Converted++
	}
	return nil
}

func forgetPhones(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE contacts SET e164 = NULL`)
	return err
}

type phone struct {
	id           int64
	name, number string
}

// readPhones reads all numbers before the first is changed: most drivers can't run a statement of a
// transaction while rows of it are open.
func readPhones(ctx context.Context, tx *sql.Tx) ([]phone, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, name, phone FROM contacts ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var phones []phone
	for rows.Next() {
		var p phone
		if err := rows.Scan(&p.id, &p.name, &p.number); err != nil {
			return nil, err
		}
		phones = append(phones, p)
	}
	return phones, rows.Err()
}

func international(number, countryCode string) (string, bool) {
	digits := strings.NewReplacer(" ", "", "-", "").Replace(number)
	if strings.Trim(digits, "+0123456789") != "" {
		return "", false
	}
	if national, found := strings.CutPrefix(digits, "0"); found {
		return countryCode + national, true
	}
	return digits, strings.HasPrefix(digits, "+")
}
