package catalog

import (
	"database/sql"
	"fmt"
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

// EXPLAIN shows when MariaDB opens the tables of all databases, of which a server of tenants has thousands.
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

// Of views and sequences no column is in the catalog, whatever the connection's character set is. A table whose name differs from
// a view's in case alone has its columns.
func TestColumnsOfTables(t *testing.T) {
	base := dbtest.MySQL(t).NewDatabase(t)
	db := base.Open(t, "mysql")
	var ignoresCase bool
	if err := db.QueryRow("SELECT @@lower_case_table_names > 0").Scan(&ignoresCase); err != nil {
		t.Fatal(err)
	}
	view := "bothü"
	if ignoresCase { // a view can't have the name of the table
		view = "viewü"
	}
	for _, statement := range []string{
		"CREATE TABLE BOTHÜ (id INTEGER)", "CREATE VIEW " + view + " AS SELECT 1 AS seen", "CREATE VIEW other AS SELECT 1 AS seen",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	db.SetMaxOpenConns(1)
	for _, charset := range []string{"utf8mb4", "latin1"} {
		if _, err := db.Exec("SET NAMES " + charset); err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, key := range keysOf(t, db, Scope{Dialect: goose.DialectMySQL}) {
			if strings.HasPrefix(key, "column ") {
				columns = append(columns, key)
			}
		}
		if len(columns) != 1 || !strings.HasPrefix(strings.ToUpper(columns[0]), "COLUMN BOTH") {
			t.Errorf("%s: %q", charset, columns)
		}
	}
}

// Each kind of object is found where it is the only one of its kind.
func TestKindsThatFewUse(t *testing.T) {
	db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
	for _, statement := range []string{
		"CREATE TABLE t (a INTEGER, b INTEGER)", "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	for key, made := range map[string]string{
		"trigger ":                   "CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"rule ":                      "CREATE RULE x AS ON DELETE TO t DO NOTHING",
		"policy ":                    "CREATE POLICY x ON t",
		"procedure ":                 "DROP EVENT TRIGGER IF EXISTS x; DROP FUNCTION f(); CREATE PROCEDURE x() LANGUAGE sql AS ''",
		"enum value ":                "CREATE TYPE x AS ENUM ('a')",
		"order of the values ":       "CREATE TYPE x AS ENUM ('a')",
		"default privileges ":        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO public",
		"statistics ":                "CREATE STATISTICS x ON a, b FROM t",
		"event trigger ":             "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION f()",
		"publication ":               "CREATE PUBLICATION x",
		"collation ":                 "CREATE COLLATION x (locale = 'C')",
		"operator ":                  "CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)",
		"operator class ":            "CREATE OPERATOR CLASS x FOR TYPE integer USING btree AS OPERATOR 1 <, FUNCTION 1 btint4cmp(integer, integer)",
		"operator family ":           "CREATE OPERATOR FAMILY x USING btree",
		"cast ":                      "CREATE CAST (date AS integer) WITH INOUT",
		"conversion ":                "CREATE CONVERSION x FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
		"foreign data wrapper ":      "CREATE FOREIGN DATA WRAPPER x",
		"server ":                    "CREATE FOREIGN DATA WRAPPER x; CREATE SERVER x FOREIGN DATA WRAPPER x",
		"text search configuration ": "CREATE TEXT SEARCH CONFIGURATION x (COPY = simple)",
		"text search dictionary ":    "CREATE TEXT SEARCH DICTIONARY x (TEMPLATE = simple)",
		"text search parser ":        "CREATE TEXT SEARCH PARSER x (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)",
		"text search template ":      "CREATE TEXT SEARCH TEMPLATE x (INIT = dsimple_init, LEXIZE = dsimple_lexize)",
		"transform ":                 "CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))",
		"access method ":             "CREATE ACCESS METHOD x TYPE INDEX HANDLER bthandler",
	} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(made); err != nil {
			t.Fatalf("%s: %v", made, err)
		}
		c, err := readIn(t.Context(), tx, Scope{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(c)), func(k string) bool { return strings.HasPrefix(k, key) }) {
			t.Errorf("no %safter %s", key, made)
		}
		var jit string // the planner would use it for publications
		if err := tx.QueryRow("SHOW jit").Scan(&jit); err != nil || jit != "off" {
			t.Errorf("jit is %s (%v)", jit, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSubscription: what a subscription is can be read by everybody, and its connection, which has a password, is not read.
func TestSubscription(t *testing.T) {
	db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		"CREATE SUBSCRIPTION sub CONNECTION 'dbname=x password=S3cretPW' PUBLICATION a, b WITH (connect = false)",
		"ALTER SUBSCRIPTION sub SET (slot_name = other)", "SET ROLE pg_monitor",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // a database that has one can't be dropped
		for _, statement := range []string{"RESET ROLE", "ALTER SUBSCRIPTION sub SET (slot_name = NONE)", "DROP SUBSCRIPTION sub"} {
			if _, err := db.Exec(statement); err != nil {
				t.Error(err)
			}
		}
	})
	c, err := Read(t.Context(), db, Scope{Dialect: goose.DialectPostgres})
	if err != nil {
		t.Fatal(err)
	}
	if got := c["subscription sub"].Definition; !strings.HasPrefix(got, "to a, b, slot other, disabled") {
		t.Errorf("%q", got)
	}
	if text := fmt.Sprint(c); strings.Contains(text, "S3cret") {
		t.Error(text)
	}
	if c.OnlyOwn(); len(c["subscription sub"].Name) > 0 {
		t.Error("it belongs to a schema")
	}
}
