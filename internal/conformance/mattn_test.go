//go:build cgo

package conformance

import (
	"database/sql"

	"github.com/mattn/go-sqlite3"
)

func init() {
	db, err := sql.Open("sqlite3", "")
	if err != nil {
		panic(err)
	}
	db.Driver().(*sqlite3.SQLiteDriver).ConnectHook = func(c *sqlite3.SQLiteConn) error { return c.RegisterFunc("pause", pause, false) }
	targets = append(targets, sqliteTarget("sqlite3"))
}
