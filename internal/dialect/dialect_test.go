package dialect

import (
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

func lookup(t testing.TB, name string) Dialect {
	t.Helper()
	d, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		goose            goose.Dialect
		transactionalDDL bool
		names            []string
	}{
		{goose.DialectPostgres, true, []string{"postgres", "pgx", "postgresql"}},
		{goose.DialectMySQL, false, []string{"mysql", "mariadb"}},
		{goose.DialectSQLite3, true, []string{"sqlite3", "sqlite"}},
		{goose.DialectMSSQL, true, []string{"mssql", "azuresql", "sqlserver"}},
		{goose.DialectRedshift, true, []string{"redshift"}},
		{goose.DialectTurso, true, []string{"turso"}},
		{goose.DialectClickHouse, false, []string{"clickhouse"}},
		{goose.DialectSpanner, false, []string{"spanner"}},
		{goose.DialectStarrocks, false, []string{"starrocks"}},
		{goose.DialectTiDB, false, []string{"tidb"}},
		{goose.DialectVertica, false, []string{"vertica"}},
		{goose.DialectYdB, false, []string{"ydb"}},
	} {
		for _, name := range tc.names {
			if got, want := lookup(t, name), (Dialect{tc.goose, tc.transactionalDDL}); got != want {
				t.Errorf("Lookup(%q) = %v, want %v", name, got, want)
			}
		}
	}
}

func TestEveryDialectHasAStore(t *testing.T) {
	t.Parallel()
	for name := range names {
		if _, err := database.NewStore(lookup(t, name).Goose, "t"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLookupOfAnUnknownName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "oracle", "Postgres", " postgres", "dsql"} {
		_, err := Lookup(name)
		if err == nil {
			t.Errorf("%q is taken", name)
			continue
		}
		for want := range names {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q doesn't offer %s", err, want)
			}
		}
	}
}

func TestQuotes(t *testing.T) {
	t.Parallel()
	for name, d := range names {
		want := d == goose.DialectPostgres || d == goose.DialectMySQL || d == goose.DialectSQLite3
		if got := lookup(t, name).Quotes(); got != want {
			t.Errorf("%s: Quotes() = %t", name, got)
		}
	}
}
