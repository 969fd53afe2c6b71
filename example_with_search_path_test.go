package gooseplus_test

import (
	"context"
	"database/sql"
	"log"
	"os"

	"github.com/gooseplus/gooseplus"
)

// The extension citext is installed once, in the schema extensions; each tenant has a schema of its own.
func ExampleWithSearchPath() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	m := gooseplus.New(db, gooseplus.WithSearchPath("extensions"), gooseplus.WithGlobalLock(true))
	report, err := m.MigrateTenants(context.Background(), gooseplus.SchemasLike(db, `tenant\_%`))
	if err != nil {
		log.Fatal(err)
	}
	log.Print(report.Migrated, " tenants have CREATE TABLE users (mail CITEXT), and more")
}

// The user of the connections is a member of shop_owner, which can't log in and owns everything.
func ExampleWithRole() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	m := gooseplus.New(db, gooseplus.WithRole("shop_owner"), gooseplus.WithGlobalLock(true))
	if err := m.Migrate(context.Background()); err != nil {
		log.Fatal(err) // there is no such role, the user is no member of it, or a migration failed
	}
}
