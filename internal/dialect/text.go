package dialect

import (
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Quoting is what the database takes for quotes, false if that is not known.
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

// StandsAloneInText says whether it also refuses them among others that are sent together with them.
func (d Dialect) StandsAloneInText() bool { return d.Goose == goose.DialectPostgres }
