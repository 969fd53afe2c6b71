package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

var users = fstest.MapFS{
	"sql/base/1_create_users.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE users (name VARCHAR(50) NOT NULL);
-- +goose Down
DROP TABLE users;
`)},
}

// addAdmin is version 2, with a name that is known only when the program runs.
func addAdmin(name string) *goose.Migration {
	return goose.NewGoMigration(2,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO users (name) VALUES (?)`, name)
			return err
		}},
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM users WHERE name = ?`, name)
			return err
		}})
}

func ExampleWithGoMigrations() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own

	migrator := gooseplus.New(db,
		gooseplus.WithDialect("sqlite3"),
		gooseplus.WithFS(users),
		gooseplus.WithGoMigrations(addAdmin("ada")))
	if err := migrator.Migrate(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	var name string
	err = db.QueryRow(`SELECT name FROM users`).Scan(&name)
	fmt.Println(name, err)
	// Output:
	// ada <nil>
}
