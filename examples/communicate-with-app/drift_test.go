package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/examples/communicate-with-app/exchange"
)

// TestDrift: nothing is found in a database that only the migrations have made. The registered ones belong to every program that
// imports them, so the test is here.
func TestDrift(t *testing.T) {
	t.Parallel()
	open := func(name string) *sql.DB {
		db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	shadow, m := open("shadow.db"), gooseplus.New(open("contacts.db"), gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files))
	ctx := exchange.WithExchange(context.Background(), exchange.Input{CountryCode: "+49"}, new(exchange.Output)) // Drift runs the migrations too
	if err := m.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := m.Drift(ctx, shadow); err != nil || len(got) > 0 {
			t.Errorf("got %v, %v", got, err)
		}
	}
}
