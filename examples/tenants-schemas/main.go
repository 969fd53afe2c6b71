// The tenants-schemas example has one PostgreSQL database for many organisations: a public schema with
// the list of them, and a schema for each with the tables of its own. The two sets of migrations are two
// Migrators with different base paths.
//
// GOOSEPLUS_DSN is the URL of an empty database.
package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	_ "github.com/lib/pq"

	"github.com/gooseplus/gooseplus"
)

//go:embed sql
var files embed.FS

func main() {
	dsn := os.Getenv("GOOSEPLUS_DSN")
	if dsn == "" {
		log.Fatal("set GOOSEPLUS_DSN to the URL of an empty PostgreSQL database: schemas are more than SQLite has")
	}
	if err := run(os.Stdout, dsn); err != nil {
		log.Fatal(err)
	}
}

func run(w io.Writer, dsn string) error {
	ctx := context.Background()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()

	public := gooseplus.New(db, gooseplus.WithFS(files), gooseplus.WithBasePath("sql/public"), gooseplus.WithGlobalLock(true))
	tenants := gooseplus.New(db, gooseplus.WithFS(files), gooseplus.WithBasePath("sql/tenant"), gooseplus.WithGlobalLock(true))

	// The service calls this when it boots.
	boot := func() error {
		if err := public.Migrate(ctx); err != nil {
			return err
		}
		organisations := gooseplus.SchemasFromQuery(db, `SELECT schema FROM public.organisations ORDER BY id`)
		report, err := tenants.MigrateTenants(ctx, organisations,
			gooseplus.WithCreateSchema(true), // of an organisation that has just signed up
			gooseplus.WithCanary(1))
		fmt.Fprintf(w, "%d organisations: %d migrated, %d up to date, %d failed\n", report.Total, report.Migrated, report.UpToDate, report.Failed)
		for _, t := range report.Tenants {
			if t.Err != nil {
				fmt.Fprintf(w, "  %s: %s\n", t.Name, t.State)
			}
		}
		return err
	}

	if err := boot(); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO public.organisations (name, schema) VALUES
		('Acme Corp.', 'Acme Corp.'), ('Globex', 'globex'), ('Initech', 'initech')`); err != nil {
		return err
	}
	if err := boot(); err != nil {
		return err
	}
	if err := boot(); err != nil { // the next replica
		return err
	}

	// Somebody has dropped what a migration of Globex needs to be undone: the others can go on.
	if _, err := db.ExecContext(ctx, `DROP TABLE globex.tasks`); err != nil {
		return err
	}
	report, err := tenants.EachTenant(ctx, gooseplus.SchemasFromQuery(db, `SELECT schema FROM public.organisations ORDER BY id`),
		func(ctx context.Context, tenant *gooseplus.Migrator) error { return tenant.Rollback(ctx, 1) })
	var failed *gooseplus.TenantsError
	if !errors.As(err, &failed) {
		return fmt.Errorf("the rollback of Globex succeeded: %w", err)
	}
	for _, t := range report.Tenants {
		fmt.Fprintf(w, "  %s: %s, at version %d\n", t.Name, t.State, t.To)
	}
	return nil
}
