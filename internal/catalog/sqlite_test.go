package catalog

import (
	"database/sql"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

// catalogOfSQLite is what a database has after these statements, without the table versions.
func catalogOfSQLite(t *testing.T, statements ...string) (*sql.DB, Catalog) {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	for _, s := range append(statements, "CREATE TABLE Versions (id INTEGER); CREATE INDEX versions_id ON versions (id)") {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	c, err := Read(t.Context(), db, Scope{Dialect: goose.DialectSQLite3, Ignore: []string{"versions"}})
	if err != nil {
		t.Fatal(err)
	}
	return db, c
}

// SQLite writes a table down as it was created, and edits the text when it is altered: all of these are the same.
func TestSQLiteTablesAreComparedByWhatTheyAre(t *testing.T) {
	const users = `CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('a, b' || -1), CHECK (id > 0))`
	_, plain := catalogOfSQLite(t, users)
	if len(plain) != 5 {
		t.Errorf("the catalog is %v", plain)
	}
	for name, statements := range map[string][]string{
		"written otherwise": {"create  table \"users\" -- who\n (/* it's */ `id` integer primary key,\n\t[name] Text default('a, b'||-1), check(id>0))"},
		"added and dropped": {users, `ALTER TABLE users ADD COLUMN x DEFAULT 7`, `ALTER TABLE users DROP COLUMN x`},
		"renamed":           {`CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('a, b' || -1), CHECK (id > 0))`, `ALTER TABLE other RENAME TO users`},
		"in another order":  {`CREATE TABLE users (name TEXT DEFAULT ('a, b' || -1), id INTEGER PRIMARY KEY, CHECK (id > 0))`},
		"in another case":   {`CREATE TABLE Users (ID INTEGER PRIMARY KEY, "Name" TEXT DEFAULT ('a, b' || -1), CHECK (Id > 0))`},
	} {
		_, got := catalogOfSQLite(t, statements...)
		if got := leftovers(plain, got); got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, c := range map[string]struct{ statement, want string }{
		"a text with another case": {`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('A, b' || -1), CHECK (id > 0))`,
			`default of users.name is not as it was: before "( 'a, b' | | - 1 )", now "( 'A, b' | | - 1 )"`},
		"STRICT": {`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('a, b' || -1), CHECK (id > 0)) STRICT`,
			`table users is not as it was: before "", now "strict"`},
	} {
		_, got := catalogOfSQLite(t, c.statement)
		if got := leftovers(plain, got); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSQLiteNamesComeBackAfterARename(t *testing.T) {
	base := []string{
		`CREATE TABLE users (id INTEGER PRIMARY KEY, n REAL DEFAULT -1.5e-3, m REAL DEFAULT .5 CHECK (users.m > 0.25))`,
		`CREATE TABLE teams (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES users (id))`,
		`CREATE VIEW v AS SELECT users.id, teams.id AS team FROM users JOIN teams ON teams.owner = users.id`,
		`CREATE TRIGGER tr AFTER INSERT ON teams BEGIN UPDATE users SET m = .5 WHERE users.id = new.owner; END`,
		`CREATE INDEX i ON users (n) WHERE users.m > 3`,
	}
	_, before := catalogOfSQLite(t, base...)
	_, after := catalogOfSQLite(t, append(base, `ALTER TABLE users RENAME TO people`, `ALTER TABLE people RENAME COLUMN m TO "the m"`,
		`ALTER TABLE people RENAME COLUMN "the m" TO m`, `ALTER TABLE people RENAME TO users`)...)
	if got := leftovers(before, after); got != nil {
		t.Errorf("%q", got)
	}
}

func TestSQLiteClausesOfAColumn(t *testing.T) {
	for name, c := range map[string]struct{ a, b string }{
		"order": {`b TEXT DEFAULT 'x' NOT NULL UNIQUE CHECK (b <> 'not null') COLLATE nocase`, `b TEXT COLLATE nocase CHECK (b <> 'not null') UNIQUE NOT NULL DEFAULT 'x'`},
		"references": {`b INTEGER DEFAULT NULL REFERENCES t (a) ON DELETE SET DEFAULT ON UPDATE SET NULL NOT DEFERRABLE NOT NULL`,
			`b INTEGER NOT NULL REFERENCES t (a) ON DELETE SET DEFAULT ON UPDATE SET NULL NOT DEFERRABLE DEFAULT NULL`},
		"named":     {`b INTEGER CONSTRAINT "check" NOT NULL UNIQUE`, `b INTEGER UNIQUE CONSTRAINT "check" NOT NULL`},
		"generated": {`b INTEGER NOT NULL GENERATED ALWAYS AS (a + 1) STORED`, `b INTEGER GENERATED ALWAYS AS (a + 1) STORED NOT NULL`},
		"no type":   {`b UNIQUE DEFAULT -.5`, `b DEFAULT -.5 UNIQUE`},
	} {
		_, a := catalogOfSQLite(t, `CREATE TABLE t (a INTEGER PRIMARY KEY, `+c.a+`)`)
		_, b := catalogOfSQLite(t, `CREATE TABLE t (a INTEGER PRIMARY KEY, `+c.b+`)`)
		if got := leftovers(a, b); got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	_, before := catalogOfSQLite(t, `CREATE TABLE t (a INTEGER, "check" TEXT, CONSTRAINT k CHECK (a > 0))`)
	_, after := catalogOfSQLite(t, `CREATE TABLE t (a INTEGER, "check" TEXT NOT NULL, "unique" INTEGER DEFAULT 5, CONSTRAINT k CHECK (a > 1))`)
	if got := leftovers(before, after); !slices.Equal(got, []string{
		`column t.check is not as it was: before "text", now "text not null"`, `column t.unique is left behind: integer`,
		`constraint k on t is not as it was: before "check ( a > 0 )", now "check ( a > 1 )"`,
	}) {
		t.Errorf("%q", got)
	}
}

func TestSQLiteVirtualTableIsOne(t *testing.T) {
	_, before := catalogOfSQLite(t)
	_, after := catalogOfSQLite(t, `CREATE VIRTUAL TABLE docs USING fts5 (title, body)`)
	if got := leftovers(before, after); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// Exactly the objects that were read are dropped, also if a name needs quotes or several objects have the same name.
func TestSQLiteDropsWhatItRead(t *testing.T) {
	db, c := catalogOfSQLite(t, `CREATE TABLE "Order" ("The a" INTEGER, b INTEGER)`, `CREATE INDEX "group" ON "Order" (b)`, `CREATE VIEW "a.b" AS SELECT 1`,
		`CREATE TRIGGER "on t" AFTER INSERT ON "Order" BEGIN SELECT 1; END`, `CREATE TEMP TABLE "Order" (a)`)
	for _, key := range []string{"trigger on t on order", "index group on order", "column order.The a", "view a.b", "table order"} {
		if _, err := db.Exec(c[key].Drop); err != nil {
			t.Errorf("%s: %q: %v", key, c[key].Drop, err)
		}
	}
	after, err := Read(t.Context(), db, Scope{Dialect: goose.DialectSQLite3, Ignore: []string{"versions"}})
	if err != nil || len(after) > 0 {
		t.Errorf("left is %v, %v", after, err)
	}
	if _, err := db.Exec(`SELECT a FROM temp."Order"`); err != nil {
		t.Error(err)
	}
}

// TestRowsBreakOff: the rows before an error are not taken for all that there are.
func TestRowsBreakOff(t *testing.T) {
	db, _ := catalogOfSQLite(t)
	err := Each(t.Context(), db, "SELECT abs(column1) FROM (VALUES (1), (-9223372036854775808))", func(*sql.Rows) error { return nil })
	if err == nil {
		t.Error("the second row overflows, and there is no error")
	}
}
