// Definitions runs migrations that are defined in Go: two tables, their rows, and a view in two versions.
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
	"github.com/gooseplus/gooseplus/examples/definitions/migrations"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "definitions:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "gooseplus-definitions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "cities.db"))
	if err != nil {
		return err
	}
	defer db.Close()

	ctx := context.Background()
	migrator := gooseplus.New(db,
		gooseplus.WithDialect("sqlite3"),
		gooseplus.WithDefinitions(&migrations.Schema),
		gooseplus.WithFS(embed.FS{}), // no folder is needed, whatever there is where the program is started
		gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
			if e, ok := event.(gooseplus.MigrationFinished); ok && e.Err == nil {
				fmt.Fprintf(w, "%-4s %d  %s\n", e.Step.Direction, e.Step.Version, e.Step.Source)
			}
		}))
	if err := migrator.Migrate(ctx); err != nil {
		return err
	}
	if err := printCities(ctx, w, db); err != nil {
		return err
	}
	if err := migrator.Rollback(ctx, 1); err != nil {
		return err
	}
	return printCities(ctx, w, db)
}

func printCities(ctx context.Context, w io.Writer, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT city, country FROM city_list ORDER BY city`)
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintln(w)
	for rows.Next() {
		var city, country string
		if err := rows.Scan(&city, &country); err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s, %s\n", city, country)
	}
	fmt.Fprintln(w)
	return rows.Err()
}
