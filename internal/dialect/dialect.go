// Package dialect holds what gooseplus has to know of a database beyond what goose's dialects do:
// its names, whether its DDL can be rolled back, how its identifiers are quoted, and which of its
// errors say that somebody else was in the way.
package dialect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// Dialect is one of goose's dialects.
type Dialect struct {
	Goose goose.Dialect
	// TransactionalDDL says that a transaction undoes schema changes too. Where it is false, DDL
	// commits by itself and any migration can be left half-applied.
	TransactionalDDL bool
}

// names are the spellings that goose's command line takes, and the two others in common use. dsql
// is not among them: it can't have DDL and the version's row in one transaction, so that goose
// needs WithIsolateDDL for it, which gives up what a run relies on.
var names = map[string]goose.Dialect{
	"postgres": goose.DialectPostgres, "pgx": goose.DialectPostgres, "postgresql": goose.DialectPostgres,
	"mysql": goose.DialectMySQL, "mariadb": goose.DialectMySQL,
	"sqlite3": goose.DialectSQLite3, "sqlite": goose.DialectSQLite3,
	"mssql": goose.DialectMSSQL, "azuresql": goose.DialectMSSQL, "sqlserver": goose.DialectMSSQL,
	"clickhouse": goose.DialectClickHouse,
	"redshift":   goose.DialectRedshift,
	"spanner":    goose.DialectSpanner,
	"starrocks":  goose.DialectStarrocks,
	"tidb":       goose.DialectTiDB,
	"turso":      goose.DialectTurso,
	"vertica":    goose.DialectVertica,
	"ydb":        goose.DialectYdB,
}

// Lookup finds a dialect by one of its names.
func Lookup(name string) (Dialect, error) {
	d, ok := names[name]
	if !ok {
		return Dialect{}, fmt.Errorf("dialect %q is unknown: use one of %s", name, known())
	}
	switch d {
	case goose.DialectPostgres, goose.DialectSQLite3, goose.DialectTurso, goose.DialectMSSQL, goose.DialectRedshift:
		return Dialect{Goose: d, TransactionalDDL: true}, nil
	}
	return Dialect{Goose: d}, nil
}

func known() string {
	var list []string
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
