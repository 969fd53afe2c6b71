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

var brokenRelease = fstest.MapFS{
	"sql/base/1_create_posts.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE posts (id BIGINT NOT NULL PRIMARY KEY);
-- +goose Down
DROP TABLE posts;
`)},
	"sql/base/2_index_posts.sql": {Data: []byte(`
-- +goose Up
CREATE INDEX posts_by_title ON posts (title);
-- +goose Down
DROP INDEX posts_by_title;
`)},
}

// The error of a failed run says where the database is, and which statement failed.
func Example_failedRun() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	ctx := context.Background()
	migrator := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(brokenRelease))
	err = migrator.Migrate(ctx)

	var incomplete *gooseplus.RollbackError
	switch {
	case errors.Is(err, gooseplus.ErrRollForward):
		fmt.Println("failed, and undone")
	case errors.As(err, &incomplete):
		fmt.Println("failed, and left at version", incomplete.Reached)
	}
	var migration *gooseplus.MigrationError
	if errors.As(err, &migration) {
		fmt.Println(migration.Source)
		fmt.Println(migration.Statement)
	}
	version, err := migrator.Version(ctx)
	fmt.Println(version, err)
	// Output:
	// failed, and undone
	// sql/base/2_index_posts.sql
	// CREATE INDEX posts_by_title ON posts (title);
	// 0 <nil>
}
