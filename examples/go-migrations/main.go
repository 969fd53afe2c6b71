// Go-migrations runs a migration written in Go, which loads a CSV file, between two SQL ones.
package main

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	_ "github.com/gooseplus/gooseplus/examples/go-migrations/sql/base" // registers its Go migrations
)

// files has the .go files too: gooseplus can't run them from there, but it sees that they exist,
// and refuses to migrate without them if the import above is forgotten.
//
//go:embed sql
var files embed.FS

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "go-migrations:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "gooseplus-go-migrations-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "prices.db"))
	if err != nil {
		return err
	}
	defer db.Close()

	ctx := context.Background()
	migrator := gooseplus.New(db,
		gooseplus.WithDialect("sqlite3"),
		gooseplus.WithFS(files), // with the default base path, "sql", and environment, "base"
		gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
			if e, ok := event.(gooseplus.MigrationFinished); ok && e.Err == nil {
				fmt.Fprintln(w, "applied", e.Step.Source)
			}
		}))
	if err := migrator.Migrate(ctx); err != nil {
		return err
	}
	return printPrices(ctx, w, db)
}

func printPrices(ctx context.Context, w io.Writer, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `
		SELECT p.article, p.amount, c.code, c.name, c.digits
		FROM prices p JOIN currencies c ON c.code = p.currency ORDER BY c.code`)
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintln(w)
	for rows.Next() {
		var article, code, name string
		var amount, digits int
		if err := rows.Scan(&article, &amount, &code, &name, &digits); err != nil {
			return err
		}
		unit := 1
		for range digits {
			unit *= 10
		}
		fmt.Fprintf(w, "%s  %s %8.*f  (%s)\n", article, code, digits, float64(amount)/float64(unit), name)
	}
	return rows.Err()
}
