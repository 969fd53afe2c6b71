// Package dialect holds what gooseplus knows of a database beyond goose's dialects: its names, whether its DDL can be rolled
// back, how it quotes identifiers, and which of its errors report contention.
package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// Dialect is one of goose's dialects.
type Dialect struct {
	Goose goose.Dialect
	// TransactionalDDL says that a transaction undoes schema changes too. Without it DDL commits by itself, and any migration
	// can be left half-applied.
	TransactionalDDL bool
}

// names are the spellings that goose's command line takes, and two others in common use. dsql is left out: it can't have
// DDL and the version's row in one transaction, so goose needs WithIsolateDDL for it, which breaks the contract of a run.
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
		known := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
		return Dialect{}, fmt.Errorf("dialect %q is unknown: use one of %s", name, known)
	}
	switch d {
	case goose.DialectPostgres, goose.DialectSQLite3, goose.DialectTurso, goose.DialectMSSQL, goose.DialectRedshift:
		return Dialect{Goose: d, TransactionalDDL: true}, nil
	}
	return Dialect{Goose: d}, nil
}
