package history

import (
	"context"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
)

// TestLiteral: each server reads a literal as the text that it was made of, whatever it takes a backslash for.
func TestLiteral(t *testing.T) {
	ctx := context.Background()
	modes := map[goose.Dialect][]string{
		goose.DialectPostgres: {"SET standard_conforming_strings = on", "SET standard_conforming_strings = off"},
		goose.DialectMySQL:    {"SET sql_mode = ''", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = 'ANSI_QUOTES'", "SET NAMES latin1"},
		goose.DialectSQLite3:  {"SELECT 1"},
	}
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		conn, err := p.db.Conn(ctx)
		must(t, err)
		defer conn.Close()
		for _, mode := range modes[p.table.dialect.Goose] {
			_, err := conn.ExecContext(ctx, mode)
			must(t, err)
			for _, text := range []string{"", "plain", "it's", `back\slash`, `both\'of them`, `\`, `'\`, `"quoted"`, "ü-\u65e5\u672c", `ä\b'c\`, "a\nb"} {
				var got string
				must(t, conn.QueryRowContext(ctx, "SELECT "+p.table.dialect.Literal(text)).Scan(&got))
				if got != text {
					t.Errorf("%s: %q is read as %q", mode, text, got)
				}
			}
		}
	})
}

// TestErrorText: whatever an error says, the outcome is recorded.
func TestErrorText(t *testing.T) {
	ctx := context.Background()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		if p.name == "mysql" { // whatever the database is made for
			_, err := p.db.Exec("ALTER DATABASE CHARACTER SET latin1")
			must(t, err)
		}
		must(t, p.table.Ensure(ctx, p.db))
		must(t, p.table.Runs.Start(ctx, p.db, Run{ID: "r", Holder: `h'o\'st/1/r`, Started: time.Now()}))
		own, err := p.table.Runs.End(ctx, p.db, "r", 1, Failed, "it's \\ ?, $1, {table}, \u65e5\u672c, \x00 and \xff", time.Now())
		if must(t, err); !own {
			t.Fatal("the run is not ours")
		}
		runs, err := p.table.Runs.List(ctx, p.db)
		must(t, err)
		if got, want := runs[0].Error, "it's \\ ?, $1, {table}, \u65e5\u672c,  and "; got != want {
			t.Errorf("the text is %q, want %q", got, want)
		}
		if got, want := runs[0].Holder, `h'o\'st/1/r`; got != want {
			t.Errorf("the holder is %q, want %q", got, want)
		}
	})
}

// TestSimilarNames: what is remembered of one namespace or environment is not that of another one, though the
// server may take the two names for the same word.
func TestSimilarNames(t *testing.T) {
	ctx := context.Background()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		if p.name == "mysql" { // the columns that are added to the original's table are no different
			_, err := p.db.Exec("CREATE TABLE " + p.table.Name() + " (status INTEGER NOT NULL DEFAULT 0) CHARACTER SET latin1")
			must(t, err)
		}
		must(t, p.table.Ensure(ctx, p.db))
		for _, name := range []string{"cafe", "caf\u00e9", "Cafe"} {
			must(t, p.table.Marks.Protect(ctx, p.db, Mark{Namespace: name, Version: 1}))
			must(t, p.table.Marks.Announce(ctx, p.db, name, "run"))
		}
		must(t, p.table.Marks.Unprotect(ctx, p.db, Mark{Namespace: "caf\u00e9", Version: 1}))
		must(t, p.table.Marks.Withdraw(ctx, p.db, "caf\u00e9", "run"))
		facts, err := p.table.Read(ctx, p.db)
		must(t, err)
		if len(facts.Protected) != 2 || len(facts.Environments) != 2 {
			t.Errorf("protected %v, environments %q, want those of cafe and Cafe", facts.Protected, facts.Environments)
		}
	})
}
