// Package catalog reads what there is in a database, as far as migrations make it, and says how two such readings
// differ.
package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// Object is one thing of a database, in the words that a difference is told in.
type Object struct {
	Kind string // "index"
	Name string // "users_email_idx"
	// Of is the key of the object that this one is a part of, "" if it is of none.
	Of string
	// Definition is all that can change of it but for its own parts.
	Definition string
	// Weak says that it follows from the object that it is a part of, or from other parts of that, such as an order. It
	// is of interest if those are as they were.
	Weak bool
	// CopyOf is the key of the object that it comes, goes and changes with, such as the column of the table that it
	// inherits from; "" if there is none.
	CopyOf string
	// Drop is the statement that drops this object and no other, whatever the search_path or the database of the
	// connection is; "" if there is none.
	Drop string
}

// Key tells the object from all others of the database.
func (o Object) Key() string { return strings.TrimSpace(o.Kind + " " + o.Name) }

// Catalog is the objects of a database by their keys.
type Catalog map[string]Object

func (c Catalog) add(o Object) { c[o.Key()] = o }

// withoutTables removes the tables with these names, and all their parts.
func (c Catalog) withoutTables(names []string) {
	gone := make(map[string]bool)
	for _, name := range names {
		gone["table "+name] = true
	}
	for more := true; more; {
		more = false
		for key, o := range c {
			if gone[key] || gone[o.Of] {
				gone[key], more = true, true
				delete(c, key)
			}
		}
	}
}

// Scope is what is read of a database.
type Scope struct {
	Dialect goose.Dialect
	// Schema is the search_path on PostgreSQL and the database on MySQL and MariaDB, "" for what the connection has.
	Schema string
	// Ignore are the names of tables that are left out with all that belongs to them.
	Ignore []string
	// IgnoreIn is the schema of those tables, "" for the one in which the database finds a name without a schema.
	IgnoreIn string
}

// Read reads the catalog of the database that db is connected to.
func Read(ctx context.Context, db *sql.DB, scope Scope) (Catalog, error) {
	switch scope.Dialect {
	case goose.DialectPostgres:
		return readPostgres(ctx, db, scope)
	case goose.DialectMySQL:
		return readMySQL(ctx, db, scope)
	case goose.DialectSQLite3:
		return readSQLite(ctx, db, scope)
	}
	return nil, fmt.Errorf("the catalog of the dialect %s can't be read", scope.Dialect)
}

// rows calls scan for each row of a query.
func rows(ctx context.Context, q querier, query string, scan func(*sql.Rows) error) error {
	r, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer r.Close()
	for r.Next() {
		if err := scan(r); err != nil {
			return err
		}
	}
	return r.Err()
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
