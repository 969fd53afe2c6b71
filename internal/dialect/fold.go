package dialect

import (
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

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
