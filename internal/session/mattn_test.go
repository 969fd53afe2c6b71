//go:build cgo

package session

import _ "github.com/mattn/go-sqlite3"

func init() { targets = append(targets, sqlite("mattn", "sqlite3")) }
