package dialect

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// OneTransaction says whether a whole run can be one transaction, which a failure rolls back.
func (d Dialect) OneTransaction() bool { return d.TransactionalDDL && d.Quotes() }

// OneWriter says whether a writing process keeps all others from writing, and perhaps from reading. On SQLite only the
// holder of the lock can rely on its reads.
func (d Dialect) OneWriter() bool { return d.Goose == goose.DialectSQLite3 }

// Networked says whether the database is a server, whose network may fail.
func (d Dialect) Networked() bool { return d.Schemas() }

// HidesTables says whether the server's catalog leaves out tables that the user may not read.
func (d Dialect) HidesTables() bool { return d.Goose == goose.DialectMySQL }

// LimitsStatements says whether the database can limit how long a statement takes.
func (d Dialect) LimitsStatements() bool { return d.Schemas() }

// EndConnection is the statement that ends another connection.
func (d Dialect) EndConnection(pid int64) string {
	if d.Goose == goose.DialectMySQL {
		return fmt.Sprintf("KILL %d", pid)
	}
	return fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid)
}

// Schemas says whether a run can be bound to one schema of a database. On MySQL and MariaDB, a schema is one of the
// databases of a server.
func (d Dialect) Schemas() bool {
	return d.Goose == goose.DialectPostgres || d.Goose == goose.DialectMySQL
}

// SchemaFault says why a run can't be bound to a schema of this name.
func (d Dialect) SchemaFault(name string) error {
	if d.Goose == goose.DialectPostgres && (name == "$user" || name == "pg_temp") {
		return fmt.Errorf("in a search_path PostgreSQL takes this name for another schema, quoted or not (SHOW search_path): rename the schema")
	}
	return nil
}

// SearchPaths says whether a name without a schema can be looked for in several schemas.
func (d Dialect) SearchPaths() bool { return d.Goose == goose.DialectPostgres }

// Roles says whether a transaction can work as another role than its user, up to its end.
func (d Dialect) Roles() bool { return d.Goose == goose.DialectPostgres }

// RoleFault says why nothing can work as a role of this name.
func (d Dialect) RoleFault(name string) error {
	switch name {
	case "":
		return errors.New("the name is empty, which may be a variable that is not set")
	case "none":
		return errors.New(`SET ROLE takes the name "none" for no role at all`)
	}
	return checkLength(name, d.Goose)
}

// BehindFault says why a schema can't stand behind another one in a search_path.
func (d Dialect) BehindFault(name string) error {
	switch {
	case name == "":
		return errors.New("the name of a schema is empty, which may be a variable that is not set")
	case strings.HasPrefix(name, "pg_"):
		return fmt.Errorf("schema %q: PostgreSQL searches its own schemas by itself: leave it out", name)
	}
	if err := d.SchemaFault(name); err != nil {
		return fmt.Errorf("schema %q: %w", name, err)
	}
	if err := checkLength(name, d.Goose); err != nil {
		return fmt.Errorf("schema %q: %w", name, err)
	}
	return nil
}

// FindPath is a query for the schemas of the connection's search_path, in their order, and for the named ones behind them: a
// number and a name a row. 0 is of the search_path, and of a named one 1 says that it is there, 2 that it isn't, and 3 that
// this user may not use it, so that the server would skip it.
func (d Dialect) FindPath(names []string) string {
	rows := make([]string, len(names))
	for i, name := range names {
		rows[i] = fmt.Sprintf("(%s::text, %d)", d.Literal(name), i)
	}
	return "SELECT 0, s.name::text, s.i FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS s (name, i)" +
		" UNION ALL SELECT CASE WHEN n.oid IS NULL THEN 2 WHEN pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN 1 ELSE 3 END, w.name, w.i" +
		" FROM (VALUES " + strings.Join(rows, ", ") + ") AS w (name, i) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.name ORDER BY 1, 3"
}

// FindSchema is a query that finds a row if the schema exists.
func (d Dialect) FindSchema(name string) string {
	if d.Goose == goose.DialectMySQL {
		return "SELECT 1 FROM information_schema.schemata WHERE schema_name = " + d.Literal(name)
	}
	return "SELECT 1 FROM pg_namespace WHERE nspname = " + d.Literal(name) // information_schema hides schemas of others
}

// CreateSchema is the statement that creates a schema, and fails if it exists. MySQL takes the word SCHEMA too.
func (d Dialect) CreateSchema(name string) string {
	return "CREATE SCHEMA " + d.Quote(Name{Table: name})
}

// DropSchema is the statement that drops a schema with everything in it.
func (d Dialect) DropSchema(name string) string {
	drop := "DROP SCHEMA " + d.Quote(Name{Table: name})
	if d.Goose == goose.DialectPostgres {
		drop += " CASCADE"
	}
	return drop
}

// Quoting is how the database writes quotes and comments, false if that isn't known.
func (d Dialect) Quoting() (q sqltext.Quoting, known bool) {
	switch d.Goose {
	case goose.DialectPostgres:
		return sqltext.Quoting{Dollars: true}, true
	case goose.DialectMySQL:
		return sqltext.Quoting{Backslashes: true}, true
	case goose.DialectSQLite3:
		return sqltext.Quoting{Brackets: true}, true
	}
	return q, false
}

// StandsAlone says whether the database refuses some statements, such as VACUUM, in a transaction.
func (d Dialect) StandsAlone() bool {
	return d.Goose == goose.DialectPostgres || d.Goose == goose.DialectSQLite3
}

// StandsAloneInText says whether the database also refuses those statements in a text of several statements.
func (d Dialect) StandsAloneInText() bool { return d.Goose == goose.DialectPostgres }

// Fold makes two names of tables equal if the database may take them for the same table.
func (d Dialect) Fold(name string) string {
	if d.Goose == goose.DialectPostgres {
		return name
	}
	return strings.ToLower(name)
}

// Derived says whether the database itself gives such names to the indexes and sequences of tables.
func (d Dialect) Derived(ending string) bool {
	return d.Goose == goose.DialectPostgres && (strings.HasSuffix(ending, "_pkey") || strings.HasSuffix(ending, "_id_seq"))
}
