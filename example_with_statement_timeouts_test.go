package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

func ExampleWithStatementTimeouts() {
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

	files := fstest.MapFS{
		"sql/base/1_create_tags.sql": {Data: []byte("-- +goose Up\nCREATE TABLE tags (name VARCHAR(20));\n")},
	}
	migrate := func(opts ...gooseplus.Option) error {
		opts = append(opts, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files))
		return gooseplus.New(db, opts...).Migrate(context.Background())
	}
	if err := migrate(); err != nil {
		fmt.Println(err)
		return
	}

	// The application is writing, and goes on until the migration has failed for the first time.
	application, err := db.Begin()
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := application.Exec("INSERT INTO tags VALUES ('go')"); err != nil {
		fmt.Println(err)
		return
	}
	waited := false
	observe := func(_ context.Context, event gooseplus.Event) {
		switch e := event.(type) {
		case gooseplus.Warning:
			if !waited {
				waited = true
				message, _, _ := strings.Cut(e.Message, ":")
				fmt.Println(message, "met a busy database")
				fmt.Println("the application commits:", application.Commit())
			}
		case gooseplus.MigrationFinished:
			fmt.Println(e.Step.Source, e.Err)
		}
	}
	files["sql/base/2_add_color.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE tags ADD COLUMN color VARCHAR(20);\n-- +goose Down\nALTER TABLE tags DROP COLUMN color;\n")}
	err = migrate(gooseplus.WithObserver(observe),
		gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: 20 * time.Millisecond}))
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// migration 2 (sql/base/2_add_color.sql) up met a busy database
	// the application commits: <nil>
	// sql/base/2_add_color.sql <nil>
}
