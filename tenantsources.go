package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/gooseplus/gooseplus/internal/failure"
)

// Schemas are tenants by the names of their schemas.
func Schemas(names ...string) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		for _, name := range names {
			if !yield(Tenant{Schema: name}, nil) {
				return
			}
		}
	}
}

// SchemasLike are the schemas whose names match a pattern of LIKE, in the order of their names: on
// PostgreSQL the schemas of the database except pg_… and information_schema, on MySQL and MariaDB the
// databases of the server. It asks db when it is ranged over, some hundred names at a time, and keeps no
// query open in between.
func SchemasLike(db *sql.DB, pattern string) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		query, err := schemasQuery(db)
		last, more := "", err == nil
		for more {
			more = false
			var names []Tenant
			for t, err := range SchemasFromQuery(db, query, pattern, last) {
				if err != nil {
					yield(Tenant{}, err)
					return
				}
				names = append(names, t)
			}
			for _, t := range names {
				if !yield(t, nil) {
					return
				}
				last, more = t.Schema, len(names) == schemasAtOnce
			}
		}
		if err != nil {
			yield(Tenant{}, fmt.Errorf("SchemasLike: %w", failure.Tidy{Err: err}))
		}
	}
}

// schemasAtOnce is the LIMIT of schemasQuery.
const schemasAtOnce = 500

// schemasQuery is the query of SchemasLike, with the pattern and the name to begin after.
func schemasQuery(db *sql.DB) (string, error) {
	if db == nil {
		return "", errors.New("the database is nil")
	}
	var version string
	if err := db.QueryRow("SELECT version()").Scan(&version); err != nil {
		return "", fmt.Errorf("is it PostgreSQL, MySQL or MariaDB? %w", err)
	}
	if strings.HasPrefix(version, "PostgreSQL") {
		return `SELECT nspname FROM pg_namespace WHERE nspname LIKE $1 AND nspname > $2
			AND left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema' ORDER BY nspname LIMIT 500`, nil
	}
	return `SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE ? AND BINARY schema_name > ?
		AND schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY BINARY schema_name LIMIT 500`, nil
}

// SchemasFromQuery are tenants by the rows of a query: one column, the schema. It asks db when it is
// ranged over, and the query is open until that is done, which takes a connection; with
// [Migrator.MigrateTenants] that is soon, since it collects the tenants ahead of the work. An error ends
// it, after the tenants before.
func SchemasFromQuery(db *sql.DB, query string, args ...any) iter.Seq2[Tenant, error] {
	return fromQuery(db, "SchemasFromQuery", "the schema", query, args, func(rows *sql.Rows) (t Tenant, err error) {
		err = rows.Scan(&t.Schema)
		return t, err
	})
}

// DatabasesFromQuery are tenants by the rows of a query: two columns, the name and the DSN, with which
// open is called when it is the tenant's turn. It asks db when it is ranged over, see
// [SchemasFromQuery]. An error ends it, after the tenants before.
func DatabasesFromQuery(db *sql.DB, open func(ctx context.Context, dsn string) (*sql.DB, error), query string, args ...any) iter.Seq2[Tenant, error] {
	return fromQuery(db, "DatabasesFromQuery", "the name, the DSN", query, args, func(rows *sql.Rows) (t Tenant, err error) {
		var dsn string
		err = rows.Scan(&t.Name, &dsn)
		t.Open = func(ctx context.Context) (*sql.DB, error) { return open(ctx, dsn) }
		return t, err
	})
}

// fromQuery makes tenants of the rows of a query that has the columns.
func fromQuery(db *sql.DB, what, columns, query string, args []any, scan func(*sql.Rows) (Tenant, error)) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		if db == nil {
			yield(Tenant{}, fmt.Errorf("%s: the database is nil", what))
			return
		}
		rows, err := db.Query(query, args...)
		if err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
			return
		}
		defer rows.Close()
		have, err := rows.Columns()
		if want := 1 + strings.Count(columns, ","); err == nil && len(have) != want {
			err = fmt.Errorf("the columns of the query are %q, and have to be %s", have, columns)
		}
		if err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
			return
		}
		for rows.Next() {
			t, err := scan(rows)
			if err != nil {
				yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
				return
			}
			if !yield(t, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
		}
	}
}
