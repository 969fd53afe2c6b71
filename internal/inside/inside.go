// Package inside has what a Migrator shows to gooseplustest.
package inside

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"
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
	Migrations []Migration
}

// Home is the schema that has to be there before the migrations: that of WithSchema or of the version table, "" for none.
func (s Set) Home() string { return cmp.Or(s.Schema, s.TablesIn) }

// Migration is one of a Set.
type Migration struct {
	// Namespace is "" unless the Migrator is for several.
	Namespace string
	Version   int64
	Source    string
	// Text is what goose reads of it, "" for a Go migration.
	Text string
	// Files are those that a Go migration's functions were compiled in, as the compiler names them. They need not exist here.
	Files []string
}

// View is what is inside a Migrator, whose type is M.
type View[M any] struct {
	// Set returns the migration set. The error is that of the Migrator's method Err.
	Set func() (Set, error)
	// Open returns the database. The caller has to call done.
	Open func(context.Context) (db *sql.DB, done func(), err error)
	// On returns a copy of the Migrator that works on another database.
	On func(*sql.DB) M
}
