package catalog

import (
	"database/sql"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

func catalogOf(objects ...Object) Catalog {
	c := make(Catalog)
	for _, o := range objects {
		c.add(o)
	}
	return c
}

func leftovers(before, after Catalog) (list []string) {
	for _, d := range Diff(before, after) {
		list = append(list, d.Leftover())
	}
	return list
}

func TestDiffTellsOnlyWhatDoesNotFollow(t *testing.T) {
	users := Object{Kind: "table", Name: "users"}
	id := Object{Kind: "column", Name: "users.id", Of: "table users", Definition: "integer"}
	number := Object{Kind: "default", Name: "of users.id", Of: "column users.id", Definition: "7"}
	mood := Object{Kind: "type", Name: "mood"}
	sad := Object{Kind: "enum value", Name: "mood.'sad'", Of: "type mood"}
	order := Object{Kind: "order of the values", Name: "of mood", Of: "type mood", Definition: "'sad'", Weak: true}
	view := Object{Kind: "view", Name: "v", Definition: "SELECT 1"}
	column := Object{Kind: "column", Name: "v.a", Of: "view v", Weak: true}
	with := func(o Object, definition string) Object {
		o.Definition = definition
		return o
	}
	for name, c := range map[string]struct {
		before, after Catalog
		want          []string
	}{
		"nothing":                      {catalogOf(users, id), catalogOf(users, id), nil},
		"a table, and not its columns": {catalogOf(), catalogOf(users, id, number), []string{"table users is left behind"}},
		"a column, and not its default": {catalogOf(users), catalogOf(users, id, number),
			[]string{"column users.id is left behind: integer"}},
		"a default alone":   {catalogOf(users, id, number), catalogOf(users, id), []string{"default of users.id is not put back: 7"}},
		"what is otherwise": {catalogOf(users, id), catalogOf(users, with(id, "text")), []string{`column users.id is not as it was: before "integer", now "text"`}},
		"a value, and not the order": {catalogOf(mood, order), catalogOf(mood, sad, with(order, "'glad', 'sad'")),
			[]string{"enum value mood.'sad' is left behind"}},
		"the order alone": {catalogOf(mood, order), catalogOf(mood, with(order, "'b', 'a'")),
			[]string{`order of the values of mood is not as it was: before "'sad'", now "'b', 'a'"`}},
		"a view, and not its columns": {catalogOf(view), catalogOf(with(view, "SELECT 2"), column),
			[]string{`view v is not as it was: before "SELECT 1", now "SELECT 2"`}},
	} {
		if got := leftovers(c.before, c.after); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
	}
}

// SQLite writes a table down as it was created, and edits the text when it is altered: all of these are the same.
func TestSQLiteTablesAreComparedByWhatTheyAre(t *testing.T) {
	read := func(statements ...string) Catalog {
		db, err := sql.Open("sqlite", ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		for _, s := range append(statements, "CREATE TABLE versions (id INTEGER); CREATE INDEX versions_id ON versions (id)") {
			if _, err := db.Exec(s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		c, err := Read(t.Context(), db, goose.DialectSQLite3, "", []string{"versions"})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain := read(`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('a, b' || -1), CHECK (id > 0))`)
	if len(plain) != 5 {
		t.Errorf("the catalog is %v", plain)
	}
	for name, statements := range map[string][]string{
		"written otherwise": {"create  table \"users\" -- who\n (/* it's */ `id` integer primary key,\n\t[name] Text default('a, b'||-1), check(id>0))"},
		"added and dropped": {`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('a, b' || -1), CHECK (id > 0))`,
			`ALTER TABLE users ADD COLUMN x DEFAULT 7`, `ALTER TABLE users DROP COLUMN x`},
		"renamed":          {`CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('a, b' || -1), CHECK (id > 0))`, `ALTER TABLE other RENAME TO users`},
		"in another order": {`CREATE TABLE users (name TEXT DEFAULT ('a, b' || -1), id INTEGER PRIMARY KEY, CHECK (id > 0))`},
	} {
		if got := leftovers(plain, read(statements...)); got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, c := range map[string]struct{ statement, want string }{
		"a text with another case": {`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('A, b' || -1), CHECK (id > 0))`,
			`default of users.name is not as it was: before "( 'a, b' | | - 1 )", now "( 'A, b' | | - 1 )"`},
		"STRICT": {`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT DEFAULT ('a, b' || -1), CHECK (id > 0)) STRICT`,
			`table users is not as it was: before "", now "strict"`},
	} {
		if got := leftovers(plain, read(c.statement)); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestDialectWithoutACatalog(t *testing.T) {
	if _, err := Read(t.Context(), nil, goose.DialectClickHouse, "", nil); err == nil {
		t.Error("no error")
	}
}
