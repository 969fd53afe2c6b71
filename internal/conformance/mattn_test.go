//go:build cgo

package conformance

import _ "github.com/mattn/go-sqlite3"

func init() { targets = append(targets, sqliteTarget("sqlite3")) }
