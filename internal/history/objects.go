package history

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// objectsAtOnce is how many objects one statement looks for.
const objectsAtOnce = 100

// Present are those of the objects that exist. path has the schemas in which those are looked for whose names have none, none for
// wherever the connection finds them. The dialect is one of those that gooseplus doesn't leave to goose.
func (s *State) Present(ctx context.Context, db Querier, path []string, objects []dialect.Object) (present []dialect.Object, err error) {
	for some := range slices.Chunk(objects, objectsAtOnce) {
		var parts []string
		for i, o := range some {
			var found []string
			for _, at := range o.In(path) {
				found = append(found, "EXISTS ("+s.server.object(at)+")")
			}
			parts = append(parts, fmt.Sprintf("SELECT %d AS i FROM (SELECT 1 AS one) AS n WHERE %s", i, strings.Join(found, " OR ")))
		}
		err := each(ctx, db, strings.Join(parts, " UNION ALL "), func(rows *sql.Rows) error {
			var i int
			err := rows.Scan(&i)
			present = append(present, some[i])
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return present, nil
}

// object looks for a schema that is named in the catalog: a name that leads to a table is an error where the user may not use the schema.
func (p postgres) object(o dialect.Object) string {
	in := func(catalog, name, schema, function string) string {
		if o.Schema == "" {
			return function + "(" + p.Literal(p.Quote(o.Name)) + ")"
		}
		return "(SELECT c.oid FROM " + catalog + " AS c JOIN pg_namespace AS s ON s.oid = c." + schema + " WHERE s.nspname = " + p.Literal(o.Schema) +
			" AND c." + name + " = " + p.Literal(o.Table) + ")"
	}
	table := in("pg_class", "relname", "relnamespace", "to_regclass")
	switch {
	case o.Kind == sqltext.Schema:
		return "SELECT 1 FROM pg_namespace WHERE nspname = " + p.Literal(o.Table)
	case o.Kind == sqltext.Extension:
		return "SELECT 1 FROM pg_extension WHERE extname = " + p.Literal(o.Table)
	case o.Kind == sqltext.Type:
		return "SELECT 1 WHERE " + in("pg_type", "typname", "typnamespace", "to_regtype") + " IS NOT NULL"
	case o.Column != "":
		return "SELECT 1 FROM pg_attribute WHERE attrelid = " + table + " AND NOT attisdropped AND attname = " + p.Literal(o.Column)
	}
	return "SELECT 1 WHERE " + table + " IS NOT NULL"
}

func (m mysql) object(o dialect.Object) string {
	switch {
	case o.Kind == sqltext.Schema:
		return "SELECT 1 FROM information_schema.schemata WHERE schema_name = " + m.Literal(o.Table)
	case o.Kind != "":
		return "SELECT 1 FROM information_schema.schemata WHERE FALSE" // there is none
	case o.Column != "":
		return "SELECT 1 FROM information_schema.columns WHERE " + m.in(o.Name) + " AND column_name = " + m.Literal(o.Column)
	}
	return m.there(o.Name)
}

// object finds nothing in a database that a migration attaches by itself.
func (s sqlite) object(o dialect.Object) string {
	switch {
	case o.Kind != "" || o.Schema != "":
		return "SELECT 1 WHERE FALSE"
	case o.Column != "":
		return "SELECT 1 FROM (" + s.columns(o.Name) + ") AS c WHERE c.name = " + s.Literal(o.Column) + " COLLATE NOCASE"
	}
	return s.there(o.Name)
}
