package main

import (
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestTenantsSchemas(t *testing.T) {
	var out strings.Builder
	if err := run(&out, dbtest.Postgres(t).NewDatabase(t).DSN); err != nil {
		t.Fatal(err)
	}
	const want = `0 organisations: 0 migrated, 0 up to date, 0 failed
3 organisations: 3 migrated, 0 up to date, 0 failed
3 organisations: 0 migrated, 3 up to date, 0 failed
  Acme Corp.: migrated, at version 1
  globex: failed and undone, at version 2
  initech: migrated, at version 1
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
