// Communicate-with-app passes configuration to a Go migration, and gets a result back from it,
// through the context of Migrate.
package main

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/examples/communicate-with-app/exchange"
	_ "github.com/gooseplus/gooseplus/examples/communicate-with-app/sql/base" // registers its Go migrations
)

//go:embed sql
var files embed.FS

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "communicate-with-app:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "gooseplus-communicate-with-app-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "contacts.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files))

	// Without its input the migration fails, and the ones before it are undone.
	err = migrator.Migrate(context.Background())
	fmt.Fprintf(w, "without an exchange: %v\n\n", err)

	var output exchange.Output
	ctx := exchange.WithExchange(context.Background(), exchange.Input{CountryCode: "+49"}, &output)
	if err := migrator.Migrate(ctx); err != nil {
		return err
	}
	fmt.Fprintln(w, "with the country code +49:")
	fmt.Fprintln(w, "  converted: ", output.Converted)
	fmt.Fprintln(w, "  unreadable:", strings.Join(output.Unreadable, ", "))
	return printContacts(w, db)
}

func printContacts(w io.Writer, db *sql.DB) error {
	rows, err := db.Query(`SELECT name, phone, coalesce(e164, '?') FROM contacts ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintln(w)
	for rows.Next() {
		var name, phone, e164 string
		if err := rows.Scan(&name, &phone, &e164); err != nil {
			return err
		}
		fmt.Fprintf(w, "  %-6s  %-15s  %s\n", name, phone, e164)
	}
	return rows.Err()
}
