//go:build cgo

package dialect

import _ "github.com/mattn/go-sqlite3"

func init() { sqliteDrivers = append(sqliteDrivers, "sqlite3") }
