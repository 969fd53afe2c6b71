package main

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	migratepostgres "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// pairs are four migrations in golang-migrate's layout, of which the third has a function.
func pairs() fs.FS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"migrations/000001_users.up.sql":    file("CREATE TABLE users (id int);\nCREATE TABLE groups (id int);\n"),
		"migrations/000001_users.down.sql":  file("DROP TABLE groups;\nDROP TABLE users;\n"),
		"migrations/000002_orders.up.sql":   file("BEGIN;\nCREATE TABLE orders (id int);\nCOMMIT;\n"),
		"migrations/000002_orders.down.sql": file("BEGIN;\nDROP TABLE orders;\nCOMMIT;\n"),
		"migrations/000003_count.up.sql": file("CREATE FUNCTION orders_count() RETURNS bigint LANGUAGE plpgsql AS $$\n" +
			"BEGIN\n  RETURN (SELECT count(*) FROM orders);\nEND;\n$$;\nSELECT orders_count();\n"),
		"migrations/000003_count.down.sql": file("DROP FUNCTION orders_count();\n"),
		"migrations/000004_items.up.sql":   file("CREATE TABLE items (id int)"),
		"migrations/000004_items.down.sql": file("DROP TABLE items"),
	}
}

// TestAdoptADatabaseOfGolangMigrate goes on, with gooseplus and the same files, where golang-migrate has
// stopped.
func TestAdoptADatabaseOfGolangMigrate(t *testing.T) {
	database := dbtest.Postgres(t).NewDatabase(t)
	db := database.Open(t, "postgres")
	ctx := t.Context()

	source, err := iofs.New(pairs(), "migrations")
	if err != nil {
		t.Fatal(err)
	}
	driver, err := migratepostgres.WithInstance(database.Open(t, "postgres"), &migratepostgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := migrate.NewWithInstance("iofs", source, "postgres", driver)
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Migrate(2); err != nil {
		t.Fatal(err)
	}
	version, dirty, err := before.Version()
	if err != nil || dirty {
		t.Fatalf("golang-migrate is at %d, dirty %t, %v", version, dirty, err)
	}
	if err := errors.Join(before.Close()); err != nil {
		t.Fatal(err)
	}

	m := gooseplus.New(db, gooseplus.WithFS(pairs()), gooseplus.WithBasePath("migrations"), gooseplus.SetEnvironments(nil))
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	if err := m.Force(ctx, int64(version)); err != nil {
		t.Fatal(err)
	}
	if err := m.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	status, err := m.Status(ctx)
	if err != nil || status.CurrentVersion != 4 || status.PendingCount != 0 {
		t.Fatalf("%+v, %v", status, err)
	}
	want := []string{"groups", "items", "orders", "schema_migrations", "users"}
	if got := tableNames(t, database); !slices.Equal(got, want) {
		t.Errorf("the tables are %v, want %v", got, want)
	}
	if err := m.RollbackTo(ctx, 0); err != nil { // what golang-migrate applied goes the same way
		t.Fatal(err)
	}
	if got := tableNames(t, database); !slices.Equal(got, []string{"schema_migrations"}) {
		t.Errorf("the tables that are left are %v", got)
	}
}

// tableNames lists the tables, without those of the version table.
func tableNames(t *testing.T, database dbtest.Database) (names []string) {
	t.Helper()
	rows, err := database.Open(t, "postgres").QueryContext(t.Context(),
		`SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}
