// Package inside has what a Migrator shows to gooseplustest.
package inside

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/migset"
)

// Set is the migration set of a Migrator and those of its options that decide what a migrated database looks like.
type Set struct {
	Dialect goose.Dialect
	Schema  string // that it is bound to, "" if it is to none
	// Tables are the names of the version tables, of the state table and of its parts, without their schema.
	Tables []string
	// TablesIn is the schema that the option for the version table names, "" if it names none.
	TablesIn string
	// Settings are the options as text, for comparison only.
	Settings string
	// Migrations are ascending by version in each namespace; the namespaces are in their order.
	Migrations []migset.Shown
}

// Home is the schema that has to be there before the migrations: that of WithSchema or of the version table, "" for none.
func (s Set) Home() string { return cmp.Or(s.Schema, s.TablesIn) }

// View is what is inside a Migrator, whose type is M.
type View[M any] struct {
	// Set returns the migration set. The error is that of the Migrator's method Err.
	Set func() (Set, error)
	// Open returns the database. The caller has to call done.
	Open func(context.Context) (db *sql.DB, done func(), err error)
	// On returns a copy of the Migrator that works on another database.
	On func(*sql.DB) M
}
