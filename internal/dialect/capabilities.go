package dialect

import (
	"fmt"

	"github.com/pressly/goose/v3"
)

// OneTransaction says whether a whole run can be one transaction that a failure takes back.
func (d Dialect) OneTransaction() bool { return d.TransactionalDDL && d.Quotes() }

// OneWriter says whether a process that writes keeps the others from writing anything, and perhaps from reading: of
// SQLite only the holder of the lock can rely on what it reads.
func (d Dialect) OneWriter() bool { return d.Goose == goose.DialectSQLite3 }

// Networked says whether a network is between here and the database, which may be cut.
func (d Dialect) Networked() bool { return d.Schemas() }

// HidesTables says whether the server's catalog doesn't have the tables that a user may not read.
func (d Dialect) HidesTables() bool { return d.Goose == goose.DialectMySQL }

// LimitsStatements says whether the database can limit how long a statement takes.
func (d Dialect) LimitsStatements() bool { return d.Schemas() }

// Schemas says whether a run can be bound to one of the schemas of a database, or, on MySQL and MariaDB, to one of the
// databases of a server.
func (d Dialect) Schemas() bool {
	return d.Goose == goose.DialectPostgres || d.Goose == goose.DialectMySQL
}

// SchemaFault says what is wrong with the name of a schema that a run is to be bound to.
func (d Dialect) SchemaFault(name string) error {
	if d.Goose == goose.DialectPostgres && (name == "$user" || name == "pg_temp") {
		return fmt.Errorf("in a search_path PostgreSQL takes this name for another schema, quoted or not (SHOW search_path): rename the schema")
	}
	return nil
}

// FindSchema is a query that finds a row if the schema is there.
func (d Dialect) FindSchema(name string) string {
	if d.Goose == goose.DialectMySQL {
		return "SELECT 1 FROM information_schema.schemata WHERE schema_name = " + d.Literal(name)
	}
	return "SELECT 1 FROM pg_namespace WHERE nspname = " + d.Literal(name)
}

// CreateSchema is the statement that creates a schema unless it is there.
func (d Dialect) CreateSchema(name string) string {
	what := "SCHEMA"
	if d.Goose == goose.DialectMySQL {
		what = "DATABASE"
	}
	return "CREATE " + what + " IF NOT EXISTS " + d.Quote(Name{Table: name})
}
