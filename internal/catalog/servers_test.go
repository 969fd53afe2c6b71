package catalog

import (
	"database/sql"
	"maps"
	"slices"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dbtest"
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
