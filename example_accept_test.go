package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleMigrator_Accept() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	release := func(text string) *gooseplus.Migrator {
		files := fstest.MapFS{"sql/base/1_orders.sql": {Data: []byte("-- +goose Up\n" + text + "\n-- +goose Down\nDROP TABLE orders;\n")}}
		return gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files), gooseplus.WithChecksums(gooseplus.Refuse))
	}
	fmt.Println(release("CREATE TABLE orders (id INTEGER);").Migrate(ctx))

	// A comment doesn't count. Another column does.
	fmt.Println(release("CREATE TABLE orders (id INTEGER); -- one row for each order").Migrate(ctx))
	edited := release("CREATE TABLE orders (id INTEGER, total INTEGER);")
	err = edited.Migrate(ctx)
	fmt.Println(errors.Is(err, gooseplus.ErrEdited))
	fmt.Println(err)

	// If the edit is right for databases that have the migration:
	fmt.Println(edited.Accept(ctx, 1), edited.Migrate(ctx))
	// Output:
	// <nil>
	// <nil>
	// true
	// applied migrations were edited: 1 (sql/base/1_orders.sql): take the edit back, or call Accept(1). Nothing was touched
	// <nil> <nil>
}

func ExampleMigrator_Drift() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	open := func(name string) *sql.DB {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, name))
		if err != nil {
			panic(err)
		}
		return db
	}
	db, shadow := open("shop.db"), open("shadow.db")
	defer db.Close()
	defer shadow.Close()
	files := fstest.MapFS{"sql/base/1_orders.sql": {Data: []byte("-- +goose Up\nCREATE TABLE orders (id INTEGER);\n-- +goose Down\nDROP TABLE orders;\n")}}
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files))
	fmt.Println(m.Migrate(ctx), m.Wait(ctx)) // Wait returns at once: nothing is pending

	if _, err := db.Exec("ALTER TABLE orders ADD COLUMN note TEXT"); err != nil { // by hand
		fmt.Println(err)
		return
	}
	differences, err := m.Drift(ctx, shadow)
	for _, d := range differences {
		fmt.Printf("%s %s: want %q, have %q\n", d.Kind, d.Name, d.Want, d.Have)
	}
	fmt.Println(err)
	// Output:
	// <nil> <nil>
	// column orders.note: want "", have "text"
	// <nil>
}
