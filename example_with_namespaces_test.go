package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// Two bounded contexts have versions of their own. They are migrated in the order given, and when the second
// fails, the first is undone too.
func ExampleWithNamespaces() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a database of its own

	migration := func(up, down string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")}
	}
	files := fstest.MapFS{
		"sql/core/1_units.sql":         migration("CREATE TABLE units (id INTEGER);", "DROP TABLE units;"),
		"sql/identity/1_accounts.sql":  migration("CREATE TABLE accounts (unit INTEGER);", "DROP TABLE accounts;"),
		"sql/identity/2_no_table.sql":  migration("INSERT INTO acounts VALUES (1);", ""),
		"sql/billing/1_not_chosen.sql": migration("CREATE TABLE bills (id INTEGER);", "DROP TABLE bills;"),
	}
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files),
		gooseplus.WithNamespaces("core", "identity"))
	ctx := context.Background()

	fmt.Println(migrator.Migrate(ctx))
	fmt.Println(migrator.Namespace("identity").MigrateTo(ctx, 1))
	all, err := migrator.NamespaceStatus(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"core", "identity"} {
		fmt.Printf("%s: version %d, %d pending\n", name, all[name].CurrentVersion, all[name].PendingCount)
	}
	fmt.Println(migrator.Namespace("idenity").Err())
	// Output:
	// migration failed, the database is back at its starting point: namespace "identity": migration 2 (sql/identity/2_no_table.sql:2) up: SQL logic error: no such table: acounts (1)
	// <nil>
	// core: version 0, 1 pending
	// identity: version 1, 1 pending
	// namespace "idenity" is unknown: there are "core", "identity"
}
