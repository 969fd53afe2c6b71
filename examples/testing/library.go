// Package library is what a service has that lends books, with the tests of such a service: each gets a PostgreSQL
// database of its own, migrated and with the rows of sql/test, which no other environment has.
package library

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"time"

	"github.com/gooseplus/gooseplus"
)

//go:embed sql
var files embed.FS

// Migrations are the options that the service boots with, and its tests too.
func Migrations() []gooseplus.Option {
	return []gooseplus.Option{
		gooseplus.WithFS(files),
		gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: 2 * time.Second}),
	}
}

// ErrNoCopy says that all copies of a book are lent.
var ErrNoCopy = errors.New("no copy is left")

// Lend gives a copy of a book to a reader.
func Lend(ctx context.Context, db *sql.DB, title, reader string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a Commit
	var book int64
	if err := tx.QueryRowContext(ctx, `SELECT id FROM books WHERE title = $1 FOR UPDATE`, title).Scan(&book); err != nil {
		return err
	}
	var copies int
	if err := tx.QueryRowContext(ctx, `SELECT copies FROM available WHERE id = $1`, book).Scan(&copies); err != nil {
		return err
	}
	if copies == 0 {
		return ErrNoCopy
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO loans (book, reader) VALUES ($1, $2)`, book, reader); err != nil {
		return err
	}
	return tx.Commit()
}
