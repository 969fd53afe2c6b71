package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestLineOfALongFile: of a file with hundreds of statements, many of them the same, the error names the line of the one that
// failed, in whichever way it runs. Where variables are filled in, it names the statement's number.
func TestLineOfALongFile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		// One of 300 statements that are the same fails.
		limited := script("CREATE TABLE a (id INTEGER CHECK (id < 150));\nINSERT INTO a VALUES (0);", "DROP TABLE a;")
		var long strings.Builder
		want := 0
		for i := range 300 {
			if i%50 == 0 {
				fmt.Fprintf(&long, "-- a comment; with a semicolon\n\nUPDATE a SET id = id\n  WHERE id < %d;\n", i)
			}
			long.WriteString("UPDATE a SET id = id + 1;\n")
			if i == 149 {
				want = 2 + strings.Count(long.String(), "\n") - 1
			}
		}
		failed := func(fsys fstest.MapFS, opts ...gooseplus.Option) *gooseplus.MigrationError {
			t.Helper()
			err := p.migrator(append(opts, from(fsys))...).Migrate(ctx)
			e, ok := errors.AsType[*gooseplus.MigrationError](err)
			if !ok {
				t.Fatal(err)
			}
			return e
		}
		for name, opts := range map[string][]gooseplus.Option{
			"step by step": nil, "in one transaction": {gooseplus.WithRollback(gooseplus.RollbackTransaction)},
		} {
			if name == "in one transaction" && !p.transactionalDDL {
				continue
			}
			fsys := files(map[string]*fstest.MapFile{"1_a.sql": limited, "2_long.sql": script(long.String(), "SELECT 1;")})
			if e := failed(fsys, opts...); e.Line != want || !strings.Contains(e.Error(), fmt.Sprintf("migration 2 (sql/base/2_long.sql:%d) up: ", want)) {
				t.Errorf("%s: line %d, want %d: %v", name, e.Line, want, e)
			}
			crlf := &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(script(long.String(), "SELECT 1;").Data), "\n", "\r\n"))}
			if e := failed(files(map[string]*fstest.MapFile{"1_a.sql": limited, "2_long.sql": crlf}), opts...); e.Line != want {
				t.Errorf("%s, CRLF: line %d, want %d: %v", name, e.Line, want, e)
			}
		}
		fsys := files(map[string]*fstest.MapFile{"1_a.sql": limited, "2_long.sql": script("-- +goose ENVSUB ON\nSELECT ${GOOSEPLUS_NOTHING:-1};\n"+long.String(), "SELECT 1;")})
		if e := failed(fsys); e.Line != want+2 {
			t.Errorf("with variables: %v", e)
		}
		broken := files(map[string]*fstest.MapFile{"1_a.sql": limited, "2_long.sql": script("-- +goose ENVSUB ON\nSELECT 1;\nINSERT INTO ${GOOSEPLUS_NOTHING:-nowhere} VALUES (1);\nSELECT 1;", "SELECT 1;")})
		if e := failed(broken); e.Line != 0 || !strings.Contains(e.Error(), "migration 2 (sql/base/2_long.sql, statement 2 of 3) up: ") {
			t.Errorf("a statement with a variable: %v", e)
		}
		down := files(map[string]*fstest.MapFile{"1_a.sql": limited, "2_long.sql": script("UPDATE a SET id = 100;", "UPDATE a SET id = id + 20;\nUPDATE a SET id = id + 20;\n\nUPDATE a SET id = id + 20;")})
		if err := p.migrator(from(down)).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		err := p.migrator(from(down)).Rollback(ctx, 1)
		if e, ok := errors.AsType[*gooseplus.MigrationError](err); !ok || e.Line != 7 {
			t.Errorf("down: %v", err)
		}
	})
}
