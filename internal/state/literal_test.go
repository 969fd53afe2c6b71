package state

import (
	"context"
	"testing"

	"github.com/pressly/goose/v3"
)

// TestLiteral: each server reads a literal as the text that it was made of, whatever it takes a backslash for.
func TestLiteral(t *testing.T) {
	ctx := context.Background()
	modes := map[goose.Dialect][]string{
		goose.DialectPostgres: {"SET standard_conforming_strings = on", "SET standard_conforming_strings = off"},
		goose.DialectMySQL:    {"SET sql_mode = ''", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = 'ANSI_QUOTES'"},
		goose.DialectSQLite3:  {"SELECT 1"},
	}
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		conn, err := p.db.Conn(ctx)
		must(t, err)
		defer conn.Close()
		for _, mode := range modes[p.table.dialect.Goose] {
			_, err := conn.ExecContext(ctx, mode)
			must(t, err)
			for _, text := range []string{"", "plain", "it's", `back\slash`, `both\'of them`, `\`, `'\`, `"quoted"`, "ü-\u65e5\u672c", "a\nb"} {
				var got string
				must(t, conn.QueryRowContext(ctx, "SELECT "+p.table.dialect.Literal(text)).Scan(&got))
				if got != text {
					t.Errorf("%s: %q is read as %q", mode, text, got)
				}
			}
		}
	})
}
