// Quickstart migrates a new SQLite database, then deploys a release that fails half-way, and shows
// that the database is back where it was.
package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	schema "github.com/gooseplus/gooseplus/sql"
)

// nextRelease has the migrations that the second deployment adds to those of the schema.
//
//go:embed next-release
var nextRelease embed.FS

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "gooseplus-quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "shop.db"))
	if err != nil {
		return err
	}
	defer db.Close()

	ctx, page := context.Background(), newPage(w)
	migrations := filepath.Join(dir, "sql")
	migrator := func() *gooseplus.Migrator { // as a service makes it each time it boots
		return gooseplus.New(db,
			gooseplus.WithDialect("sqlite3"),
			gooseplus.WithFS(os.DirFS(dir)),
			gooseplus.WithEnvironments("test"), // base and test
			gooseplus.WithObserver(page.event))
	}

	page.heading("First deployment: an empty SQLite database, environments base and test")
	if err := os.CopyFS(migrations, schema.FS); err != nil {
		return err
	}
	if err := migrator().Migrate(ctx); err != nil {
		return err
	}
	before, err := look(ctx, db, migrator())
	if err != nil {
		return err
	}

	page.heading("Second deployment: three new migrations, of which the last one fails")
	if err := os.CopyFS(migrations, sub(nextRelease, "next-release")); err != nil {
		return err
	}
	failure := migrator().Migrate(ctx)
	after, err := look(ctx, db, migrator())
	if err != nil {
		return err
	}

	page.heading("What Migrate returned")
	if !errors.Is(failure, gooseplus.ErrRollForward) {
		return fmt.Errorf("want ErrRollForward, got: %v", failure)
	}
	page.row("errors.Is", "gooseplus.ErrRollForward")
	var at *gooseplus.MigrationError
	if errors.As(failure, &at) {
		page.row("source", at.Source)
		page.row("statement", at.Statement)
	}
	var cause *sqlite.Error
	if errors.As(failure, &cause) {
		page.row("driver", cause.Error())
	}

	page.heading("The database, before and after the second deployment")
	page.compare("version", before.version, after.version)
	page.compare("tables", before.tables, after.tables)
	page.compare("orders", before.columns, after.columns)
	page.end()
	return nil
}
