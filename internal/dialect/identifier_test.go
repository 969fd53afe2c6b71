package dialect

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	accented := func(n int) string { return strings.Repeat("é", n) } // two bytes each
	for _, tc := range []struct {
		name, dialect, given string
		want                 Name
		quoted               string
	}{
		{"plain", "postgres", "goose_db_version", Name{Table: "goose_db_version"}, `"goose_db_version"`},
		{"plain", "mysql", "goose_db_version", Name{Table: "goose_db_version"}, "`goose_db_version`"},
		{"plain", "sqlite3", "goose_db_version", Name{Table: "goose_db_version"}, `"goose_db_version"`},
		{"plain is folded", "postgres", "MyApp.Versions", Name{"myapp", "versions"}, `"myapp"."versions"`},
		{"plain is not folded", "mysql", "MyApp.Versions", Name{"MyApp", "Versions"}, "`MyApp`.`Versions`"},
		{"plain is not folded", "sqlite3", "MyApp.Versions", Name{"MyApp", "Versions"}, `"MyApp"."Versions"`},
		{"only ASCII is folded", "postgres", "ÄÖ_AB", Name{Table: "ÄÖ_ab"}, `"ÄÖ_ab"`},
		{"digits and dollars after the first", "postgres", "v1$x", Name{Table: "v1$x"}, `"v1$x"`},
		{"an underscore first", "postgres", "_v", Name{Table: "_v"}, `"_v"`},
		{"letters of any script", "sqlite3", "版本", Name{Table: "版本"}, `"版本"`},
		{"quoted keeps its case", "postgres", `"Acme Corp"."Versions"`, Name{"Acme Corp", "Versions"}, `"Acme Corp"."Versions"`},
		{"one part quoted", "postgres", `Acme."Versions"`, Name{"acme", "Versions"}, `"acme"."Versions"`},
		{"the other part quoted", "postgres", `"Acme".Versions`, Name{"Acme", "versions"}, `"Acme"."versions"`},
		{"a dot in quotes", "postgres", `"a.b"."c.d"`, Name{"a.b", "c.d"}, `"a.b"."c.d"`},
		{"a quote in quotes", "postgres", `"a""b"`, Name{Table: `a"b`}, `"a""b"`},
		{"nothing but a quote", "postgres", `""""`, Name{Table: `"`}, `""""`},
		{"a backtick in backticks", "mysql", "`a``b`.`c`", Name{"a`b", "c"}, "`a``b`.`c`"},
		{"the other kind of quote", "mysql", "`a\"b`", Name{Table: `a"b`}, "`a\"b`"},
		{"the other kind of quote", "postgres", "\"a`b\"", Name{Table: "a`b"}, "\"a`b\""},
		{"a backslash", "mysql", "`a\\`", Name{Table: `a\`}, "`a\\`"},
		{"an apostrophe", "postgres", `"o'neill"`, Name{Table: "o'neill"}, `"o'neill"`},
		{"an attack, taken literally", "sqlite3", `"x""; DROP TABLE y; --"`, Name{Table: `x"; DROP TABLE y; --`}, `"x""; DROP TABLE y; --"`},
		{"reserved words", "postgres", "order.user", Name{"order", "user"}, `"order"."user"`},
		{"reserved words", "mysql", "select", Name{Table: "select"}, "`select`"},
		{"reserved words", "sqlite3", "table", Name{Table: "table"}, `"table"`},
		{"as long as can be", "postgres", long(63) + "." + long(63), Name{long(63), long(63)}, `"` + long(63) + `"."` + long(63) + `"`},
		{"as long as can be in bytes", "postgres", accented(31) + "x", Name{Table: accented(31) + "x"}, `"` + accented(31) + `x"`},
		{"as long as can be, quoted", "postgres", `"` + strings.Repeat(`""`, 63) + `"`, Name{Table: strings.Repeat(`"`, 63)}, `"` + strings.Repeat(`""`, 63) + `"`},
		{"as long as can be", "mysql", long(64), Name{Table: long(64)}, "`" + long(64) + "`"},
		{"as long as can be in characters", "mysql", accented(64), Name{Table: accented(64)}, "`" + accented(64) + "`"},
		{"long", "sqlite3", long(64), Name{Table: long(64)}, `"` + long(64) + `"`},
	} {
		t.Run(tc.dialect+": "+tc.name, func(t *testing.T) {
			t.Parallel()
			d := lookup(t, tc.dialect)
			got, err := d.ParseName(tc.given)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("ParseName: got %q, want %q", got, tc.want)
			}
			if quoted := d.Quote(got); quoted != tc.quoted {
				t.Errorf("Quote: got %s, want %s", quoted, tc.quoted)
			}
		})
	}
}

func TestParseNameRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ dialect, given, says string }{
		{"postgres", "", "empty"},
		{"postgres", ".", "empty"},
		{"postgres", "a.", "empty"},
		{"postgres", ".a", "empty"},
		{"postgres", "a..b", "empty"},
		{"postgres", `""`, "empty"},
		{"postgres", `"".a`, "empty"},
		{"postgres", `"a".`, "empty"},
		{"postgres", "a.b.c", "more than a schema and a table"},
		{"postgres", `"a"."b"."c"`, "more than a schema and a table"},
		{"postgres", `"a`, "not closed"},
		{"postgres", `"a""`, "not closed"},
		{"postgres", `"`, "not closed"},
		{"postgres", `"a"b`, "text after"},
		{"postgres", `"a" .b`, "text after"},
		{"postgres", `"a""b" c`, "text after"},
		{"postgres", `a"b"`, "needs quotes"},
		{"postgres", "a b", "needs quotes"},
		{"postgres", " a", "needs quotes"},
		{"postgres", "a ", "needs quotes"},
		{"postgres", "a-b", "needs quotes"},
		{"postgres", "1a", "needs quotes"},
		{"postgres", "$a", "needs quotes"},
		{"postgres", "a;DROP TABLE b", "needs quotes"},
		{"postgres", "a--", "needs quotes"},
		{"postgres", "a/**/", "needs quotes"},
		{"postgres", "a\x00", "needs quotes"},
		{"postgres", "a\xff", "needs quotes"},
		{"postgres", "a\u00a0b", "needs quotes"},
		{"postgres", "\"a\x00b\"", "NUL"},
		{"postgres", "`a`", "needs quotes"},
		{"mysql", `"a"`, "needs quotes"},
		{"mysql", "`a", "not closed"},
		{"mysql", "`a\x00`", "NUL"},
		{"sqlite3", "[a]", "needs quotes"},
		{"sqlite3", "a'b", "needs quotes"},
		{"sqlite3", "\"a\x00\"", "NUL"},
		{"postgres", strings.Repeat("x", 64), "longer than 63 bytes"},
		{"postgres", strings.Repeat("é", 32), "longer than 63 bytes"},
		{"postgres", `"` + strings.Repeat("x", 64) + `".a`, "longer than 63 bytes"},
		{"postgres", "a." + strings.Repeat("x", 64), "longer than 63 bytes"},
		{"mysql", strings.Repeat("x", 65), "longer than 64 characters"},
		{"mysql", strings.Repeat("é", 65), "longer than 64 characters"},
		{"sqlite3", strings.Repeat("x", 1025), "longer than 1024 bytes"},
	} {
		t.Run(tc.dialect+": "+tc.given, func(t *testing.T) {
			t.Parallel()
			got, err := lookup(t, tc.dialect).ParseName(tc.given)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %q, %v, want an error with %q", got, err, tc.says)
			}
			if got != (Name{}) {
				t.Errorf("got %q beside the error", got)
			}
		})
	}
}

func openSQLite(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // an attached database belongs to one connection
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestSQLiteTakesNamesLiterally(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	for _, schema := range []string{`"other one"`, `"x""y"`, `"select"`} {
		if _, err := db.Exec("ATTACH DATABASE ':memory:' AS " + schema); err != nil {
			t.Fatal(err)
		}
	}
	for _, given := range []string{
		"versions", "Versions2", "main.v", "select", `"Acme Corp"`, `"a.b"`, `"a""b"`, `""""`, `"o'neill"`,
		`"[a]"`, "\"`a`\"", `"x""; DROP TABLE versions; --"`, `"a%sb"`, `"a?b"`, `"a$1"`, `"-- a"`, `" "`, "版本", "\"a\nb\"",
		`"other one".v`, `"x""y"."v""w"`, `"select"."from"`, "temp.v",
	} {
		t.Run(given, func(t *testing.T) { createAndFind(t, db, given) })
	}
}

// createAndFind creates the table and looks for it in the catalogue, where it must stand literally
// and alone.
func createAndFind(t *testing.T, db *sql.DB, given string) {
	d := lookup(t, "sqlite")
	name, err := d.ParseName(given)
	if err != nil {
		t.Fatal(err)
	}
	catalogue := `"main".sqlite_master`
	if name.Schema != "" {
		catalogue = d.Quote(Name{Table: name.Schema}) + ".sqlite_master"
	}
	before := tables(t, db, catalogue)
	if _, err := db.ExecContext(context.Background(), "CREATE TABLE "+d.Quote(name)+" (i INTEGER)"); err != nil {
		t.Fatalf("%q: %v", given, err)
	}
	after := tables(t, db, catalogue)
	if len(after) != len(before)+1 || !after[name.Table] {
		t.Errorf("%q: the catalogue has %v, want %q in it", given, after, name.Table)
	}
	if _, err := db.ExecContext(context.Background(), "DROP TABLE "+d.Quote(name)); err != nil {
		t.Errorf("%q: %v", given, err)
	}
}

func tables(t *testing.T, db *sql.DB, catalogue string) map[string]bool {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), "SELECT name FROM "+catalogue)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names[name] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}
