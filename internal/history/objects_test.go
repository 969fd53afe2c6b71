package history

import (
	"fmt"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// TestPresent looks for what is there and for what isn't, more than one statement looks for.
func TestPresent(t *testing.T) {
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		_, err := p.db.Exec("CREATE TABLE people (id INTEGER, phone INTEGER)")
		must(t, err)
		table := func(name string) dialect.Object { return dialect.Object{Name: dialect.Name{Table: name}} }
		column := func(name, column string) dialect.Object {
			return dialect.Object{Name: dialect.Name{Table: name}, Column: column}
		}
		objects := []dialect.Object{table("people"), table("it's"), column("people", "phone"), column("people", "it's"), column("nobody", "phone")}
		want := `[table "people" column "phone" of "people"`
		switch p.name {
		case "postgres":
			_, err := p.db.Exec(`CREATE SCHEMA hidden; CREATE TABLE hidden.people (id INTEGER, "Phone" INTEGER); CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN hidden.temper AS TEXT`)
			must(t, err)
			hidden := dialect.Name{Schema: "hidden", Table: "people"}
			objects = append(objects, dialect.Object{Name: hidden}, dialect.Object{Name: hidden, Column: "Phone"}, dialect.Object{Name: hidden, Column: "phone"},
				dialect.Object{Kind: "schema", Name: dialect.Name{Table: "hidden"}}, dialect.Object{Kind: "schema", Name: dialect.Name{Table: "nowhere"}},
				dialect.Object{Kind: "extension", Name: dialect.Name{Table: "plpgsql"}}, dialect.Object{Kind: "extension", Name: dialect.Name{Table: "nothing"}},
				dialect.Object{Kind: "type", Name: dialect.Name{Table: "mood"}}, dialect.Object{Kind: "type", Name: dialect.Name{Table: "temper"}},
				dialect.Object{Kind: "type", Name: dialect.Name{Schema: "hidden", Table: "temper"}},
				dialect.Object{Name: dialect.Name{Schema: "nowhere", Table: "people"}})
			want += ` table "hidden.people" column "Phone" of "hidden.people" schema "hidden" extension "plpgsql" type "mood" type "hidden.temper"`
		case "mysql":
			objects = append(objects, dialect.Object{Kind: "schema", Name: dialect.Name{Table: "information_schema"}}, dialect.Object{Kind: "schema", Name: dialect.Name{Table: "nowhere"}},
				dialect.Object{Kind: "type", Name: dialect.Name{Table: "people"}})
			want += ` schema "information_schema"`
		}
		for range objectsAtOnce {
			objects = append(objects, table("nobody"))
		}
		objects = append(objects, table("people"))
		got, err := p.table.Present(t.Context(), p.db, nil, objects)
		must(t, err)
		if want += ` table "people"]`; fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
		if p.name == "postgres" {
			got, err := p.table.Present(t.Context(), p.db, []string{"nowhere", "hidden"}, []dialect.Object{column("people", "Phone"), table("nobody")})
			must(t, err)
			if fmt.Sprint(got) != `[column "Phone" of "people"]` {
				t.Errorf("in a schema: %v", got)
			}
		}
	})
}
