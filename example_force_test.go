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

func ExampleMigrator_Force() {
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

	// Not in a transaction, it fails half-way, and its Down can't undo that.
	files := fstest.MapFS{"sql/base/1_tags.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" +
		"CREATE TABLE tags (name TEXT);\nINSERT INTO colours VALUES ('red');\n" +
		"-- +goose Down\nDROP TABLE colours;\n")}}
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files))
	fmt.Println("dirty:", errors.Is(m.Migrate(ctx), gooseplus.ErrDirty))
	fmt.Println(m.Migrate(ctx))

	// Somebody looks, does what is missing, and says so.
	if _, err := db.Exec("CREATE TABLE colours (name TEXT); INSERT INTO colours VALUES ('red')"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("forced:", m.Force(ctx, 1))
	fmt.Println("migrated:", m.Migrate(ctx))

	// From here on nothing goes below version 1.
	fmt.Println("locked:", m.LockVersion(ctx, 1))
	fmt.Println(errors.Is(m.Rollback(ctx, 1), gooseplus.ErrVersionLocked))
	// Output:
	// dirty: true
	// a migration may be half-applied: migration 1 (sql/base/1_tags.sql) up failed and could not be undone: repair the database, then call Force(0) if nothing of the migration is left, or Force(1) if it is complete
	// forced: <nil>
	// migrated: <nil>
	// locked: <nil>
	// true
}
