// Package catalog reads what there is in a database, as far as migrations make it, and says how two such readings
// differ.
package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
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
}

// Key tells the object from all others of the database.
func (o Object) Key() string { return o.Kind + " " + o.Name }

// Catalog is the objects of a database by their keys.
type Catalog map[string]Object

func (c Catalog) add(o Object) { c[o.Key()] = o }

// Read reads the catalog of the database that db is connected to. schema is the search_path on PostgreSQL and the
// database on MySQL and MariaDB, "" for what the connection has. The tables that ignore names are left out with all
// that belongs to them.
func Read(ctx context.Context, db *sql.DB, dialect goose.Dialect, schema string, ignore []string) (Catalog, error) {
	read := map[goose.Dialect]func(context.Context, *sql.DB, string, map[string]bool) (Catalog, error){
		goose.DialectPostgres: readPostgres, goose.DialectMySQL: readMySQL, goose.DialectSQLite3: readSQLite,
	}[dialect]
	if read == nil {
		return nil, fmt.Errorf("the catalog of the dialect %s can't be read", dialect)
	}
	names := make(map[string]bool)
	for _, name := range ignore {
		names[name] = true
	}
	return read(ctx, db, schema, names)
}

// without removes the objects with these keys, and all their parts.
func (c Catalog) without(gone map[string]bool) {
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

// Change is what has happened to an object.
type Change int

const (
	Added Change = iota
	Removed
	Altered
)

// Difference is one between two catalogs.
type Difference struct {
	Change Change
	Object // as it is; as it was if it was Removed
	Was    string
}

// Diff returns the differences, sorted by key. Of an object that came or went, the parts that came or went with it are
// left out.
func Diff(before, after Catalog) []Difference {
	var list []Difference
	for key, o := range after {
		was, ok := before[key]
		switch {
		case !ok:
			list = append(list, Difference{Change: Added, Object: o})
		case was.Definition != o.Definition:
			list = append(list, Difference{Change: Altered, Object: o, Was: was.Definition})
		}
	}
	for key, o := range before {
		if _, ok := after[key]; !ok {
			list = append(list, Difference{Change: Removed, Object: o})
		}
	}
	came, went, touched := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, d := range list {
		switch d.Change {
		case Added:
			came[d.Key()] = true
		case Removed:
			went[d.Key()] = true
		case Altered:
			touched[d.Key()] = true
		}
		if !d.Weak {
			touched[d.Of] = true
		}
	}
	list = slices.DeleteFunc(list, func(d Difference) bool {
		return d.Change == Added && came[d.Of] || d.Change == Removed && went[d.Of] || d.Weak && touched[d.Of]
	})
	slices.SortFunc(list, func(a, b Difference) int { return strings.Compare(a.Key(), b.Key()) })
	return list
}

// oneLine makes a text fit for a message.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	const limit = 300
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + " …"
	}
	return text
}

// Leftover tells the difference as that of a Down: between the catalog before its Up and the one after it.
func (d Difference) Leftover() string {
	switch d.Change {
	case Added:
		return d.Key() + " is left behind" + colon(d.Definition)
	case Removed:
		return d.Key() + " is not put back" + colon(d.Definition)
	default:
		return fmt.Sprintf("%s is not as it was: before %q, now %q", d.Key(), oneLine(d.Was), oneLine(d.Definition))
	}
}

// Drop removes an object that was left behind, if it takes no more than a statement. schema is that of [Read].
func (d Difference) Drop(ctx context.Context, db *sql.DB, dialect goose.Dialect, schema string) error {
	statement := d.drop(dialect)
	if statement == "" {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a Commit
	if dialect == goose.DialectPostgres {
		if err := setPath(ctx, tx, schema); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, statement); err != nil {
		return err
	}
	return tx.Commit()
}

// drop is the statement, "" if there is none.
func (d Difference) drop(dialect goose.Dialect) string {
	if d.Change != Added {
		return ""
	}
	name, table, _ := strings.Cut(d.Name, " on ")
	kind := strings.ToUpper(d.Kind)
	switch d.Kind {
	case "column":
		if dot := strings.LastIndexByte(d.Name, '.'); dot > 0 {
			return "ALTER TABLE " + d.Name[:dot] + " DROP COLUMN " + d.Name[dot+1:]
		}
		return ""
	case "default":
		column := strings.TrimPrefix(d.Name, "of ")
		if dot := strings.LastIndexByte(column, '.'); dot > 0 {
			return "ALTER TABLE " + column[:dot] + " ALTER COLUMN " + column[dot+1:] + " DROP DEFAULT"
		}
		return ""
	case "constraint":
		return "ALTER TABLE " + table + " DROP CONSTRAINT " + name
	case "table", "view", "materialized view", "foreign table", "sequence", "type", "schema", "extension", "function", "procedure", "aggregate", "event":
		if dialect == goose.DialectPostgres {
			return "DROP " + kind + " " + d.Name + " CASCADE"
		}
		return "DROP " + kind + " " + d.Name
	case "index", "trigger", "policy", "rule":
		switch {
		case d.Kind == "index" && dialect == goose.DialectMySQL, d.Kind != "index" && dialect == goose.DialectPostgres:
			return "DROP " + kind + " " + name + " ON " + table
		default:
			return "DROP " + kind + " " + name
		}
	}
	return ""
}

// Again tells the difference as that of a second Up: between the catalogs after the first and after the second.
func (d Difference) Again() string {
	switch d.Change {
	case Added:
		return d.Key() + " is there only the second time" + colon(d.Definition)
	case Removed:
		return d.Key() + " was there only the first time" + colon(d.Definition)
	default:
		return fmt.Sprintf("%s differs: first %q, then %q", d.Key(), oneLine(d.Was), oneLine(d.Definition))
	}
}

func colon(definition string) string {
	if definition == "" {
		return ""
	}
	return ": " + oneLine(definition)
}

// rows calls scan for each row of a query.
func rows(ctx context.Context, q querier, query string, args []any, scan func(*sql.Rows) error) error {
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

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
