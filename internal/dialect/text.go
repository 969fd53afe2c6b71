package dialect

import (
	"slices"
	"strings"

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

// Fold is a name as the database tells tables apart.
func (d Dialect) Fold(name string) string {
	if d.Goose == goose.DialectPostgres {
		return name
	}
	return strings.ToLower(name)
}

// Derived says whether the database itself gives names with such an ending, to the indexes and sequences of tables.
func (d Dialect) Derived(ending string) bool {
	return d.Goose == goose.DialectPostgres &&
		slices.ContainsFunc([]string{"_pkey", "_id_seq"}, func(suffix string) bool { return strings.HasSuffix(ending, suffix) })
}
