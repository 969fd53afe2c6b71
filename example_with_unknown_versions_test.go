package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleWithUnknownVersions() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	release := func(newest int, opts ...gooseplus.Option) *gooseplus.Migrator {
		files := fstest.MapFS{}
		for v := 1; v <= newest; v++ {
			text := fmt.Sprintf("-- +goose Up\nCREATE TABLE t%d (id INTEGER);\n-- +goose Down\nDROP TABLE t%[1]d;\n", v)
			files[fmt.Sprintf("sql/base/%d_t.sql", v)] = &fstest.MapFile{Data: []byte(text)}
		}
		return gooseplus.New(db, append(opts, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files))...)
	}
	fmt.Println(release(3).Migrate(ctx))

	// The release was rolled back. By default the older one warns and goes on.
	fmt.Println(release(2, gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if w, ok := e.(gooseplus.Warning); ok {
			fmt.Println("warning:", w.Message)
		}
	})).Migrate(ctx))
	err = release(2, gooseplus.WithUnknownVersions(gooseplus.Refuse)).Migrate(ctx)
	fmt.Println(errors.Is(err, gooseplus.ErrUnknownVersion))
	// Output:
	// <nil>
	// warning: the database has versions that this program doesn't know: [3]; the program's newest is 2: is it an older release, or is an environment missing?
	// <nil>
	// true
}

func ExampleWithStoredDowns() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	release := func(files fstest.MapFS) *gooseplus.Migrator {
		return gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(files), gooseplus.WithStoredDowns(true))
	}
	orders := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE orders (id INTEGER);\n-- +goose Down\nDROP TABLE orders;\n")}
	invoices := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE invoices (id INTEGER);\n-- +goose Down\nDROP TABLE invoices;\n")}
	newer := release(fstest.MapFS{"sql/base/1_orders.sql": orders, "sql/base/2_invoices.sql": invoices})
	older := release(fstest.MapFS{"sql/base/1_orders.sql": orders})
	fmt.Println(newer.Migrate(ctx))

	// The older release doesn't have the file of version 2. The database has its Down.
	status, err := older.Status(ctx)
	migration, _ := status.Migration(2)
	fmt.Println(migration.Unknown, migration.Down, err)
	fmt.Println(older.Goto(ctx, 1))
	fmt.Println(older.Version(ctx))
	// Output:
	// <nil>
	// true DROP TABLE invoices; <nil>
	// <nil>
	// 1 <nil>
}
