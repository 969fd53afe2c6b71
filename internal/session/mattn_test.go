//go:build cgo

package session

import (
	"database/sql"

	"github.com/mattn/go-sqlite3"
)

func init() {
	sql.Register("sqlite3 with pause", &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		return c.RegisterFunc("pause", pause, false)
	}})
	targets = append(targets, sqlite("mattn", "sqlite3 with pause"))
}
