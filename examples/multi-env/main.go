// Multi-env migrates two databases with one program: production settings go to one, test settings
// and test data to the other. Then it adds an environment to a database that is already beyond the
// versions in it.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	schema "github.com/gooseplus/gooseplus/sql"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "multi-env:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "gooseplus-multi-env-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, environment := range []string{"production", "test"} {
		if err := deploy(w, dir, environment); err != nil {
			return fmt.Errorf("%s: %w", environment, err)
		}
	}
	return addLate(w, dir)
}

// migrator is what a program has: the environment comes from its configuration.
func migrator(db *sql.DB, environment string, more ...gooseplus.Option) *gooseplus.Migrator {
	opts := []gooseplus.Option{
		gooseplus.WithDialect("sqlite3"),
		gooseplus.WithFS(schema.FS),
		gooseplus.WithBasePath("."),
	}
	if environment != "" {
		opts = append(opts, gooseplus.WithEnvironments(environment)) // base is in it anyway
	}
	return gooseplus.New(db, append(opts, more...)...)
}

func deploy(w io.Writer, dir, environment string) error {
	db, err := sql.Open("sqlite", filepath.Join(dir, environment+".db"))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := migrator(db, environment).Migrate(context.Background()); err != nil {
		return err
	}
	return report(w, environment, db)
}

func report(w io.Writer, name string, db *sql.DB) error {
	var customers, orders int
	var payment string
	err := db.QueryRow(`
		SELECT (SELECT count(*) FROM customers),
		       (SELECT count(*) FROM orders),
		       coalesce((SELECT value FROM settings WHERE name = 'payment_provider'), 'none')`).
		Scan(&customers, &orders, &payment)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%-10s  customers: %d  orders: %d  payment provider: %s\n", name, customers, orders, payment)
	return err
}

// addLate migrates a database with base alone and then with test, whose versions are lower than
// the newest of base.
func addLate(w io.Writer, dir string) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", filepath.Join(dir, "laptop.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := migrator(db, "").Migrate(ctx); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := report(w, "laptop", db); err != nil {
		return err
	}

	err = migrator(db, "test", gooseplus.WithStrictOrder(true)).Migrate(ctx)
	if !errors.Is(err, gooseplus.ErrMergeMigrations) {
		return fmt.Errorf("a late version in strict order was not refused: %v", err)
	}
	fmt.Fprintln(w, "\nadding the environment test, in strict order:\n ", err)

	fmt.Fprintln(w, "\nadding the environment test:")
	show := gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
		switch e := event.(type) {
		case gooseplus.RunStarted:
			fmt.Fprintln(w, "  at", e.From)
		case gooseplus.MigrationFinished:
			fmt.Fprintln(w, "  applied", e.Step.Source)
		}
	})
	if err := migrator(db, "test", show).Migrate(ctx); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return report(w, "laptop", db)
}
