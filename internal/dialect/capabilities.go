package dialect

import (
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// OneTransaction says whether a whole run can be one transaction, which a failure rolls back.
func (d Dialect) OneTransaction() bool { return d.TransactionalDDL && d.Quotes() }

// Deferred is the statement that has a transaction do at once what it has put off to its COMMIT, "" if nothing but checks can be
// put off.
func (d Dialect) Deferred() string {
	if d.Goose == goose.DialectPostgres {
		return "SET CONSTRAINTS ALL IMMEDIATE"
	}
	return ""
}

// OneWriter says whether a writing process keeps all others from writing, and perhaps from reading. On SQLite only the
// holder of the lock can rely on its reads.
func (d Dialect) OneWriter() bool { return d.Goose == goose.DialectSQLite3 }

// Networked says whether the database is a server, whose network may fail.
func (d Dialect) Networked() bool { return d.Schemas() }

// HidesTables says whether the server's catalog leaves out tables that the user may not read.
func (d Dialect) HidesTables() bool { return d.Goose == goose.DialectMySQL }

// LimitsStatements says whether the database can limit how long a statement takes.
func (d Dialect) LimitsStatements() bool { return d.Schemas() }

// LongestText is how many bytes a TEXT column holds, 0 for any number.
func (d Dialect) LongestText() int {
	if d.Goose == goose.DialectMySQL {
		return 1<<16 - 1
	}
	return 0
}

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

// SearchPaths says whether a name without a schema can be looked for in several schemas.
func (d Dialect) SearchPaths() bool { return d.Goose == goose.DialectPostgres }

// Roles says whether a transaction can work as another role than its user, up to its end.
func (d Dialect) Roles() bool { return d.Goose == goose.DialectPostgres }

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
