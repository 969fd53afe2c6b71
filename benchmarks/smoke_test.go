package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// The peers must have done the same work, or else their times say nothing.
func TestEveryPeerMakesTheSameSchema(t *testing.T) {
	server := dbtest.Postgres(t)
	const n = 8 // two tables with everything that there is
	schemas := make(map[string]string)
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			db := server.NewDatabase(t)
			conn, err := p.connect(t.Context(), db.DSN)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.close()
			for _, when := range []string{"fresh", "nothing pending"} {
				if err := conn.migrate(t.Context(), p.format(makeMigrations(n))); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
			}
			schemas[p.name] = schema(t, db)
		})
	}
	want := schemas["goose"]
	if lines := strings.Count(want, "\n"); lines != 2*(4+2+1) {
		t.Errorf("goose made %d columns, indexes and rows:\n%s", lines, want)
	}
	for name, got := range schemas {
		if got != want {
			t.Errorf("%s made\n%s\nand goose\n%s", name, got, want)
		}
	}
}

// schema lists the columns, the indexes and the numbers of rows of the tables that the migrations make.
func schema(t *testing.T, database dbtest.Database) string {
	t.Helper()
	db := database.Open(t, "postgres")
	var b strings.Builder
	rows, err := db.QueryContext(t.Context(), `
		SELECT concat_ws(' ', 'column', table_name, column_name, data_type, is_nullable, column_default)
			FROM information_schema.columns WHERE table_schema = 'public' AND table_name LIKE 'account\_%'
		UNION ALL SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE tablename LIKE 'account\_%'
		UNION ALL SELECT concat_ws(' ', 'rows', relname, n) FROM pg_class, LATERAL (
			SELECT (xpath('/table/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I', relname), true, false, '')))[1]::text AS n) AS counted
			WHERE relkind = 'r' AND relname LIKE 'account\_%'
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		b.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Only that there is a result is checked; a time is nothing that a test could insist on.
func TestEveryScenarioMeasuresEveryPeer(t *testing.T) {
	t.Setenv(dsnEnv, dbtest.Postgres(t).NewDatabase(t).DSN)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-n", "4", "-rounds", "1"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		if !strings.Contains(out.String(), "\n"+s.name+": ") {
			t.Errorf("no table for %s in\n%s", s.name, out.String())
		}
	}
	for _, p := range peers {
		lines := 0
		for line := range strings.Lines(out.String()) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == p.name {
				lines++
			}
		}
		want := 0
		for _, s := range scenarios {
			if s.migrations == nil || p.together != nil {
				want++
			}
		}
		if lines != want {
			t.Errorf("%d lines for %s instead of %d in\n%s", lines, p.name, want, out.String())
		}
	}
}

func TestTheKitIsMeasured(t *testing.T) {
	server := dbtest.Postgres(t)
	t.Setenv(dsnEnv, server.NewDatabase(t).DSN)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-kit", "-rounds", "1"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, way := range ways {
		if !strings.Contains(out.String(), "\n"+way.name+": "+way.what) {
			t.Errorf("no line for %s in\n%s", way.name, out.String())
		}
	}
}

func TestUnknownNamesAreErrors(t *testing.T) {
	for _, args := range [][]string{{"-only", "fresh,nosuch"}, {"-peers", "nosuch"}, {"-n", "0"}, {"-rounds", "0"}, {"stray"}} {
		if err := run(context.Background(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestFilesAreAFileSystem(t *testing.T) {
	for name, f := range map[string]*files{"nested": gooseFiles("sql/base")(makeMigrations(5)), "flat": migrateFiles(makeMigrations(5))} {
		var expected []string
		for path := range f.bodies {
			expected = append(expected, path)
		}
		if err := fstest.TestFS(f, expected...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPercentiles(t *testing.T) {
	times := []time.Duration{5, 1, 4, 2, 3}
	for p, want := range map[int]time.Duration{0: 1, 10: 1, 50: 3, 90: 5} {
		if got := percentile(times, p); got != want {
			t.Errorf("percentile %d of %v is %v, and should be %v", p, times, got, want)
		}
	}
	if got := paired([]time.Duration{2, 30, 8, 4}, []time.Duration{1, 10, 2, 4}); got != 2.5 {
		t.Errorf("the median of the ratios 2, 3, 4, 1 is %v", got)
	}
}
