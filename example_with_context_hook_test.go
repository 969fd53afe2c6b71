package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// A migration in Go finds in its context what the hook has put there, as a span of a trace.
func ExampleWithContextHook() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	type spanKey struct{}
	hook := func(ctx context.Context, e gooseplus.Event) context.Context {
		if e, ok := e.(gooseplus.MigrationStarted); ok {
			return context.WithValue(ctx, spanKey{}, fmt.Sprintf("migration %d", e.Step.Version))
		}
		return nil
	}
	fill := func(ctx context.Context, tx *sql.Tx) error {
		fmt.Println("in the span of", ctx.Value(spanKey{}))
		_, err := tx.ExecContext(ctx, "INSERT INTO pages VALUES (1)")
		return err
	}
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(wiki), gooseplus.WithContextHook(hook),
		gooseplus.WithGoMigrations(goose.NewGoMigration(4, &goose.GoFunc{RunTx: fill}, nil)))
	fmt.Println(m.Migrate(context.Background()))
	// Output:
	// in the span of migration 4
	// <nil>
}
