package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// blog stands for an embed.FS with a folder sql/base.
var blog = fstest.MapFS{
	"sql/base/20240102090000_create_posts.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE posts (id BIGINT NOT NULL PRIMARY KEY, title VARCHAR(200) NOT NULL);

-- +goose Down
DROP TABLE posts;
`)},
	"sql/base/20240103090000_add_posts_body.sql": {Data: []byte(`
-- +goose Up
ALTER TABLE posts ADD COLUMN body TEXT;

-- +goose Down
ALTER TABLE posts DROP COLUMN body;
`)},
}

func ExampleMigrator_Migrate() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	ctx := context.Background()
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(blog))
	if err := migrator.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	version, err := migrator.Version(ctx)
	fmt.Println(version, err)
	// Output:
	// 20240103090000 <nil>
}
