package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// Schema is a schema that a run can be bound to, see [Dialect.Schemas].
type Schema struct {
	dialect Dialect
	name    string
}

// Schema is the schema with this name, which need not exist.
func (d Dialect) Schema(name string) Schema { return Schema{d, name} }

// Fault says why a run can't be bound to the schema.
func (s Schema) Fault() error {
	if s.dialect.Goose == goose.DialectPostgres && (s.name == "$user" || s.name == "pg_temp") {
		return errors.New("in a search_path PostgreSQL takes this name for another schema, quoted or not (SHOW search_path): rename the schema")
	}
	return nil
}

// Find is a query that finds a row if the schema exists.
func (s Schema) Find() string {
	if s.dialect.Goose == goose.DialectMySQL {
		return "SELECT 1 FROM information_schema.schemata WHERE schema_name = " + s.dialect.Literal(s.name)
	}
	return "SELECT 1 FROM pg_namespace WHERE nspname = " + s.dialect.Literal(s.name) // information_schema hides schemas of others
}

// Create is the statement that creates the schema, and fails if it exists. MySQL takes the word SCHEMA too.
func (s Schema) Create() string { return "CREATE SCHEMA " + s.quoted() }

// Drop is the statement that drops the schema with everything in it.
func (s Schema) Drop() string {
	if s.dialect.Goose == goose.DialectPostgres {
		return "DROP SCHEMA " + s.quoted() + " CASCADE"
	}
	return "DROP SCHEMA " + s.quoted()
}

func (s Schema) quoted() string { return s.dialect.Quote(Name{Table: s.name}) }

// BehindFault says why a schema of PostgreSQL can't stand behind another one in a search_path.
func BehindFault(name string) error {
	switch {
	case name == "":
		return errors.New("the name of a schema is empty: is a variable not set?")
	case strings.HasPrefix(name, "pg_"):
		return fmt.Errorf("schema %q: PostgreSQL searches its own schemas by itself: leave it out", name)
	}
	d := Dialect{Goose: goose.DialectPostgres}
	if err := cmp.Or(d.Schema(name).Fault(), checkLength(name, d.Goose)); err != nil {
		return fmt.Errorf("schema %q: %w", name, err)
	}
	return nil
}

// FindPath is a query of PostgreSQL for the schemas of the connection's search_path, in their order, and for the named
// schemas behind them. A row has a number and a name. The number is 0 for a schema of the search_path. For a named schema
// it is 1 if the schema exists, 2 if it doesn't, and 3 if this user may not use it, so that the server would skip it.
func FindPath(names []string) string {
	rows := make([]string, len(names))
	for i, name := range names {
		rows[i] = fmt.Sprintf("(%s::text, %d)", Dialect{Goose: goose.DialectPostgres}.Literal(name), i)
	}
	return "SELECT 0, s.name::text, s.i FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS s (name, i)" +
		" UNION ALL SELECT CASE WHEN n.oid IS NULL THEN 2 WHEN pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN 1 ELSE 3 END, w.name, w.i" +
		" FROM (VALUES " + strings.Join(rows, ", ") + ") AS w (name, i) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.name ORDER BY 1, 3"
}

// RoleFault says why nothing can work as a role of this name on PostgreSQL.
func RoleFault(name string) error {
	switch name {
	case "":
		return errors.New("the name is empty: is a variable not set?")
	case "none":
		return errors.New(`SET ROLE takes the name "none" for no role at all`)
	}
	return checkLength(name, goose.DialectPostgres)
}
