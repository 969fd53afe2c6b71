package catalog

import (
	"database/sql"
	"maps"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/dialect"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func keysOf(t *testing.T, db *sql.DB, scope Scope) []string {
	t.Helper()
	c, err := Read(t.Context(), db, scope)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(c))
}

// Of two tables with the name of the version table, the one that it is not stays in the catalog.
func TestOnlyTheVersionTableIsIgnored(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
		if _, err := db.Exec("CREATE SCHEMA own; CREATE TABLE own.versions (id INTEGER); CREATE TABLE versions (id INTEGER)"); err != nil {
			t.Fatal(err)
		}
		got := keysOf(t, db, Scope{Dialect: goose.DialectPostgres, Ignore: []string{"versions"}, IgnoreIn: "own"})
		if slices.Contains(got, "table own.versions") || !slices.ContainsFunc(got, func(k string) bool { return k == "table versions" || k == "table public.versions" }) {
			t.Errorf("the catalog has %q", got)
		}
	})
	t.Run("mysql", func(t *testing.T) {
		db := dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql")
		if _, err := db.Exec("CREATE TABLE versions (id INTEGER)"); err != nil {
			t.Fatal(err)
		}
		for in, ignored := range map[string]bool{"": true, "another": false} {
			got := keysOf(t, db, Scope{Dialect: goose.DialectMySQL, Ignore: []string{"versions"}, IgnoreIn: in})
			if slices.Contains(got, "table versions") == ignored {
				t.Errorf("with the table in %q the catalog has %q", in, got)
			}
		}
	})
}

// MariaDB says of a query that it opens the tables of all databases, of which a server of tenants has thousands.
func TestOneDatabaseIsOpened(t *testing.T) {
	db := dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql")
	r := &mysqlReader{Dialect: dialect.Dialect{Goose: goose.DialectMySQL}, schema: "any"}
	for _, query := range mysqlQueries {
		explained := 0
		err := Each(t.Context(), db, "EXPLAIN "+r.written(query), func(rows *sql.Rows) error {
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				return err
			}
			extra := values[slices.Index(columns, "Extra")].String
			if explained++; strings.Contains(extra, "all databases") {
				t.Errorf("%s\n\t%s", query, extra)
			}
			return nil
		})
		if err != nil || explained == 0 {
			t.Errorf("%s\n\t%d lines, error %v", query, explained, err)
		}
	}
}
