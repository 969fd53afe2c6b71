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
			_, err := p.db.Exec(`CREATE SCHEMA hidden; CREATE TABLE hidden.people (id INTEGER, "Phone" INTEGER)`)
			must(t, err)
			hidden := dialect.Name{Schema: "hidden", Table: "people"}
			objects = append(objects, dialect.Object{Name: hidden}, dialect.Object{Name: hidden, Column: "Phone"}, dialect.Object{Name: hidden, Column: "phone"},
				dialect.Object{Name: dialect.Name{Schema: "hidden"}}, dialect.Object{Name: dialect.Name{Schema: "nowhere"}},
				dialect.Object{Name: dialect.Name{Schema: "nowhere", Table: "people"}})
			want += ` table "hidden.people" column "Phone" of "hidden.people" schema "hidden"`
		case "mysql":
			objects = append(objects, dialect.Object{Name: dialect.Name{Schema: "information_schema"}}, dialect.Object{Name: dialect.Name{Schema: "nowhere"}})
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
