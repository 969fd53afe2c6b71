package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const want = `acme: migrated, from version 0 to 2
globex: migrated, from version 0 to 2
acme: at 2, 0 pending
globex: at 2, 0 pending
`

func test(t *testing.T, s server) {
	t.Helper()
	var out strings.Builder
	if err := run(&out, s); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestSQLite(t *testing.T) {
	dir := t.TempDir()
	test(t, server{"sqlite", "sqlite3", func(name string) string { return "file:" + filepath.Join(dir, name+".db") }})
}

func TestPostgres(t *testing.T) {
	dsns := make(map[string]string)
	for _, name := range []string{"master", "acme", "globex", "initech"} {
		dsns[name] = dbtest.Postgres(t).NewDatabase(t).DSN
	}
	test(t, server{"postgres", "postgres", func(name string) string { return dsns[name] }})
}
