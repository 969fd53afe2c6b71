// The tenants-databases example has a database for each tenant, and a master database with a table of them:
// name, dsn, active. The master is migrated first, then every active tenant.
//
// It uses SQLite files, so that it runs anywhere.
package main

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

//go:embed sql
var files embed.FS

// server is what the databases are on.
type server struct {
	driver, dialect string
	dsn             func(database string) string
}

func main() {
	dir, err := os.MkdirTemp("", "tenants-databases-")
	if err != nil {
		log.Fatal(err)
	}
	err = run(os.Stdout, server{"sqlite", "sqlite3", func(name string) string { return "file:" + filepath.Join(dir, name+".db") }})
	if removeErr := os.RemoveAll(dir); err == nil {
		err = removeErr
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(w io.Writer, s server) error {
	ctx := context.Background()
	master, err := sql.Open(s.driver, s.dsn("master"))
	if err != nil {
		return err
	}
	defer master.Close()

	options := []gooseplus.Option{gooseplus.WithDialect(s.dialect), gooseplus.WithFS(files), gooseplus.WithGlobalLock(true)}
	first := gooseplus.New(master, append(options, gooseplus.WithBasePath("sql/master"))...)
	each := gooseplus.New(nil, append(options, gooseplus.WithBasePath("sql/tenant"))...) // no database but the tenants'

	if err := first.Migrate(ctx); err != nil {
		return err
	}
	for name, active := range map[string]bool{"acme": true, "globex": true, "initech": false} {
		// The names are this program's own; SQLite and PostgreSQL differ in their placeholders.
		statement := fmt.Sprintf("INSERT INTO tenants (name, dsn, active) VALUES ('%s', '%s', %t)", name, s.dsn(name), active)
		if _, err := master.ExecContext(ctx, statement); err != nil {
			return err
		}
	}

	open := func(_ context.Context, dsn string) (*sql.DB, error) { return sql.Open(s.driver, dsn) }
	tenants := gooseplus.DatabasesFromQuery(master, open, "SELECT name, dsn FROM tenants WHERE active ORDER BY name")
	report, err := each.MigrateTenants(ctx, tenants)
	for _, t := range report.Tenants {
		fmt.Fprintf(w, "%s: %s, from version %d to %d\n", t.Name, t.State, t.From, t.To)
	}
	if err != nil {
		return err
	}
	for tenant, err := range each.Tenants(ctx, tenants) {
		if err != nil {
			return err
		}
		status, err := tenant.Status(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: at %d, %d pending\n", tenant.TenantName(), status.CurrentVersion, status.PendingCount)
	}
	return nil
}
