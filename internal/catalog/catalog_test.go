package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
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
	people := Object{Kind: "table", Name: "people"}
	index := Object{Kind: "index", Name: "i"}
	part := Object{Kind: "table", Name: "users_1"}
	partID := Object{Kind: "column", Name: "users_1.id", Of: "table users_1", CopyOf: "column users.id", Definition: "integer"}
	view := Object{Kind: "view", Name: "v", Definition: "SELECT 1"}
	column := Object{Kind: "column", Name: "v.a", Of: "view v", Weak: true}
	with := func(o Object, definition string) Object {
		o.Definition = definition
		return o
	}
	of := func(o, parent Object) Object {
		o.Of = parent.Key()
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
		"a table, and not the parts that it took over": {catalogOf(users, with(of(index, users), "on users")), catalogOf(people, with(of(index, people), "on people")),
			[]string{"table people is left behind", "table users is not put back"}},
		"a column, and not its copies": {catalogOf(users, id, part, partID), catalogOf(users, with(id, "bigint"), part, with(partID, "bigint")),
			[]string{`column users.id is not as it was: before "integer", now "bigint"`}},
		"a new column, and not its copies": {catalogOf(users, part), catalogOf(users, id, part, partID), []string{"column users.id is left behind: integer"}},
		"a copy alone": {catalogOf(users, id, part, partID), catalogOf(users, id, part, with(partID, "bigint")),
			[]string{`column users_1.id is not as it was: before "integer", now "bigint"`}},
		"a view, and not its columns": {catalogOf(view), catalogOf(with(view, "SELECT 2"), column),
			[]string{`view v is not as it was: before "SELECT 1", now "SELECT 2"`}},
	} {
		if got := leftovers(c.before, c.after); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
	}
}

func TestMessageShowsWhereTwoDefinitionsPart(t *testing.T) {
	long := strings.Repeat("ä", 400)
	for name, c := range map[string]struct{ was, is, want string }{
		"short":              {"a  b", "a c", `before "a b", now "a c"`},
		"white space":        {"select 1", "select  1", `before "select 1", now "select  1"`},
		"late":               {long + "1", long + "2 and more", fmt.Sprintf(`before "… %[1]s1", now "… %[1]s2 and more"`, long[:100])},
		"early, and long":    {"1" + long, "2" + long, fmt.Sprintf(`before "1%[1]s …", now "2%[1]s …"`, long[:598])},
		"the end is missing": {long, long + "x", fmt.Sprintf(`before "… %[1]s", now "… %[1]sx"`, long[:100])},
	} {
		was, is := Object{Kind: "view", Name: "v", Definition: c.was}, Object{Kind: "view", Name: "v", Definition: c.is}
		if got, want := leftovers(catalogOf(was), catalogOf(is)), []string{"view v is not as it was: " + c.want}; !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, want)
		}
	}
}

func TestPostgresWritesAListOfVarcharsInTwoWays(t *testing.T) {
	first := `CHECK (((a)::text = ANY ((ARRAY['it''s, (x)'::character varying, 'y'::character varying])::text[])))`
	then := `CHECK (((a)::text = ANY (ARRAY[('it''s, (x)'::character varying)::text, ('y'::character varying)::text])))`
	if got := reread(first); got != then {
		t.Errorf("got %s", got)
	}
	if got := reread(then); got != then {
		t.Errorf("got %s", got)
	}
}

func TestDialectWithoutACatalog(t *testing.T) {
	if _, err := Read(t.Context(), nil, Scope{Dialect: goose.DialectClickHouse}); err == nil {
		t.Error("no error")
	}
}
