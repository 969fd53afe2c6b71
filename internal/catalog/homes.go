package catalog

import (
	"context"
	"database/sql"
	"regexp"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// Home is the schema that names without a schema belong to, "" where there are no schemas.
func Home(ctx context.Context, db *sql.DB, dialect goose.Dialect) (home string, err error) {
	switch dialect {
	case goose.DialectPostgres:
		err = db.QueryRowContext(ctx, "SELECT COALESCE(current_schema(), '')").Scan(&home)
	case goose.DialectMySQL:
		err = db.QueryRowContext(ctx, "SELECT COALESCE(DATABASE(), '')").Scan(&home)
	}
	return home, err
}

// Unqualify removes the names of schemas from definitions: servers write them in some, such as those of views and indexes.
func (c Catalog) Unqualify(schemas []string) {
	for _, schema := range schemas {
		if schema == "" {
			continue
		}
		name := regexp.MustCompile("`" + regexp.QuoteMeta(strings.ReplaceAll(schema, "`", "``")) + "`\\." +
			`|"` + regexp.QuoteMeta(strings.ReplaceAll(schema, `"`, `""`)) + `"\.|\b` + regexp.QuoteMeta(schema) + `\.`)
		for key, o := range c {
			o.Definition = name.ReplaceAllString(o.Definition, "")
			c[key] = o
		}
	}
}

// outside are the kinds of objects that are in no schema.
var outside = []string{"schema", "language", "extension", "event trigger", "publication", "subscription", "server", "foreign data wrapper", "user mapping", "setting",
	"access method", "cast", "transform", "the database"}

// OnlyOwn removes what is outside the schema that a PostgreSQL catalog was read for: other schemas, whose objects have
// qualified names, and what belongs to the database.
func (c Catalog) OnlyOwn() {
	gone, schemas := make(map[string]bool), []string{}
	for key, o := range c {
		if gone[key] = slices.Contains(outside, o.Kind) || key == "the database"; o.Kind == "schema" {
			schemas = append(schemas, o.Name+".")
		}
	}
	for key, o := range c {
		gone[key] = gone[key] || slices.ContainsFunc(schemas, func(s string) bool { return strings.HasPrefix(o.Name, s) })
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
