// Package catalog reads the objects of a database that migrations make, and compares two such readings.
package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// Object is an object of a database, in the words of a difference.
type Object struct {
	Kind string // "index"
	Name string // "users_email_idx"
	// Of is the key of the object that this object is a part of, "" if there is none.
	Of string
	// Definition is everything of the object that can change, except its parts.
	Definition string
	// Weak says that the object follows from the whole, or from the other parts, such as the order of values. A difference in
	// a weak object counts if those are equal.
	Weak bool
	// CopyOf is the key of the object that this object follows in everything, such as the same column of a parent table; ""
	// if there is none.
	CopyOf string
	// Drop is the statement that drops this object and no other, whatever the search_path or the database of the connection
	// is; "" if there is none.
	Drop string
}

// Key identifies the object in its database.
func (o Object) Key() string { return strings.TrimSpace(o.Kind + " " + o.Name) }

// Catalog has the objects of a database by their keys.
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

// Scope says which objects of a database are read.
type Scope struct {
	Dialect goose.Dialect
	// Schema is the search_path on PostgreSQL and the database on MySQL and MariaDB, "" for the connection's own.
	Schema string
	// Ignore are the names of tables that are left out with all their parts.
	Ignore []string
	// IgnoreIn is the schema of those tables, "" for the schema of a name without a schema.
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
	return nil, fmt.Errorf("gooseplus can't read the catalog of the dialect %s", scope.Dialect)
}

// Each calls scan for each row of a query.
func Each(ctx context.Context, q Querier, query string, scan func(*sql.Rows) error, args ...any) error {
	r, err := q.QueryContext(ctx, query, args...)
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

// Querier is a pool, a connection or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
