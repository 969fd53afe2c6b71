// Package dump writes what migrations have made of an empty database as statements that make the same of another one:
// definitions, rows, and the positions of sequences. It is for the command that writes checkpoints.
package dump

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/catalog"
)

// Source is a database that was made by migrations.
type Source struct {
	Dialect goose.Dialect
	DB      *sql.DB
	// Ignore are the names of tables that are left out.
	Ignore []string
	// IgnoreIn is the schema of those tables on PostgreSQL.
	IgnoreIn string
	// Schema is where the migrations made what has no schema in its name, on PostgreSQL. It is a plain word that is found
	// nowhere else: it is taken out of the statements. With "" each object keeps the name of its schema.
	Schema string
	// Connection is the database as pg_dump connects to it.
	Connection Connection
}

// Read returns the statements, each to be sent by itself. They need those of [Framed] around them.
func Read(ctx context.Context, s Source) ([]string, error) {
	switch s.Dialect {
	case goose.DialectPostgres:
		return s.readPostgres(ctx)
	case goose.DialectMySQL:
		return s.readMySQL(ctx)
	case goose.DialectSQLite3:
		return s.readSQLite(ctx)
	}
	return nil, fmt.Errorf("gooseplus can't dump the dialect %s", s.Dialect)
}

// Minus returns the statements of after without those of before.
func Minus(after, before []string) []string {
	count := make(map[string]int)
	for _, s := range before {
		count[s]++
	}
	return slices.DeleteFunc(slices.Clone(after), func(s string) bool { count[s]--; return count[s] >= 0 })
}

// Framed are statements between settings that they rely on.
func Framed(dialect goose.Dialect, statements []string) []string {
	before, after := map[goose.Dialect][]string{
		// Functions may name what comes after them.
		goose.DialectPostgres: {"SET LOCAL check_function_bodies = false;"},
		goose.DialectMySQL:    {"SET foreign_key_checks = 0, unique_checks = 0, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO';"},
		goose.DialectSQLite3:  {"PRAGMA defer_foreign_keys = ON;"},
	}[dialect], map[goose.Dialect][]string{
		goose.DialectMySQL: {"SET foreign_key_checks = DEFAULT, unique_checks = DEFAULT, time_zone = DEFAULT, sql_mode = DEFAULT;"},
	}[dialect]
	return slices.Concat(before, statements, after)
}

// rowsAtOnce is how many rows one INSERT has.
const rowsAtOnce = 200

// inserts makes INSERTs of rows that are lists of literals.
func inserts(into string, rows []string) (list []string) {
	for some := range slices.Chunk(rows, rowsAtOnce) {
		list = append(list, "INSERT INTO "+into+" VALUES\n("+strings.Join(some, "),\n(")+");")
	}
	return list
}

// column reads the only column of a query as text.
func column(ctx context.Context, db catalog.Querier, query string, args ...any) (list []string, err error) {
	err = catalog.Each(ctx, db, query, func(rows *sql.Rows) error {
		var s sql.NullString
		err := rows.Scan(&s)
		list = append(list, s.String)
		return err
	}, args...)
	return list, err
}
