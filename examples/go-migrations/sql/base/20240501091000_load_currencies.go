// Package base has the migrations of this folder that are written in Go. They register themselves,
// so the program that migrates imports the package.
package base

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/csv"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed currencies.csv
var currencies string

// The version is the one in the name of this file, and the environment is the folder it is in.
func init() { goose.AddMigrationContext(loadCurrencies, unloadCurrencies) }

func loadCurrencies(ctx context.Context, tx *sql.Tx) error {
	rows, err := csv.NewReader(strings.NewReader(currencies)).ReadAll()
	if err != nil {
		return fmt.Errorf("currencies.csv: %w", err)
	}
	// With PostgreSQL the placeholders are $1, $2, $3.
	insert, err := tx.PrepareContext(ctx, `INSERT INTO currencies (code, name, digits) VALUES (?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, row := range rows[1:] { // after the names of the columns
		if _, err := insert.ExecContext(ctx, row[0], row[1], row[2]); err != nil {
			return fmt.Errorf("currency %s: %w", row[0], err)
		}
	}
	return nil
}

func unloadCurrencies(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM currencies`)
	return err
}
