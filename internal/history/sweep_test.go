package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// TestNewestOfUnordered: the newest row of a version counts, in whatever order the server gives them.
func TestNewestOfUnordered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rows []row
		want string
	}{
		"as they are":        {[]row{{key: 1, version: 0, applied: true}, {key: 2, version: 5, applied: true}, {key: 3, version: 7, applied: true}}, "[5 7]"},
		"taken back":         {[]row{{key: 2, version: 5, applied: true}, {key: 3, version: 5, applied: false}, {key: 4, version: 7, applied: true}}, "[7]"},
		"and applied again":  {[]row{{key: 4, version: 5, applied: true}, {key: 2, version: 5, applied: true}, {key: 3, version: 5, applied: false}}, "[5]"},
		"taken back, mixed":  {[]row{{key: 3, version: 5, applied: false}, {key: 2, version: 5, applied: true}}, "[]"},
		"nothing but a zero": {[]row{{key: 1, version: 0, applied: true}}, "[]"},
	} {
		got := newest(newestFirst(slices.Clone(tc.rows)))
		slices.Sort(got)
		if fmt.Sprint(got) != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}

// TestSweep reads one schema, and several, whose rows the server doesn't give in the order of their keys.
func TestSweep(t *testing.T) {
	ctx := t.Context()
	onEach(t, "v", func(t *testing.T, p place) {
		if !p.rows {
			return // SQLite has no schemas
		}
		var current string
		must(t, p.db.QueryRow(map[string]string{"postgres": "SELECT current_database()", "mysql": "SELECT DATABASE()"}[p.name]).Scan(&current))
		var schemas []string
		for _, name := range []string{"one", "it's", "dirty", "without", "nowhere"} {
			name = current + "_" + name
			schemas = append(schemas, name)
			if strings.HasSuffix(name, "nowhere") {
				continue
			}
			in := func(table string) string { return p.table.dialect.Quote(dialect.Name{Schema: name, Table: table}) }
			schema := p.table.dialect.Quote(dialect.Name{Table: name})
			exec(t, p.db, "CREATE SCHEMA "+schema)
			t.Cleanup(func() {
				_, err := p.db.Exec("DROP SCHEMA " + schema + map[string]string{"postgres": " CASCADE"}[p.name])
				must(t, err)
			})
			if strings.HasSuffix(name, "without") {
				continue
			}
			versions, err := NewVersions(p.table.dialect, in("v"))
			must(t, err)
			create(t, versions, p.db)
			exec(t, p.db, "INSERT INTO "+in("v")+" (version_id, is_applied) VALUES (1, TRUE), (2, TRUE), (2, FALSE), (3, TRUE), (1, FALSE), (1, TRUE)",
				"UPDATE "+in("v")+" SET version_id = version_id WHERE id < 4") // PostgreSQL puts these rows at the end
			state, err := NewState(p.table.dialect, in("v"))
			must(t, err)
			must(t, state.Ensure(ctx, p.db))
			must(t, state.Marks.Stamp(ctx, p.db, "production"))
			if strings.HasSuffix(name, "dirty") {
				must(t, state.Steps.Mark(ctx, p.db, Step{Mark: Mark{Namespace: "core", Version: 7}, Run: "r"}))
			}
		}
		want := func(q Question, names []string, want string) {
			t.Helper()
			found, err := Sweep(ctx, p.db, p.table, "v", q, names)
			must(t, err)
			var got []string
			for _, s := range found {
				slices.Sort(s.Applied)
				got = append(got, fmt.Sprint(s.Schema, s.Ready, s.Flagged, s.Applied))
			}
			if text := strings.Join(got, ", "); text != want {
				t.Errorf("%+v: got %s, want %s", q, text, want)
			}
		}
		const clean, flagged = "true true false [1 3]", "true true true [1 3]"
		want(Question{}, schemas[:1], clean)
		want(Question{}, schemas, clean+", "+clean+", "+flagged+", true false false [], false false false []")
		want(Question{Namespace: "core", Runs: true}, schemas[:3], clean+", "+clean+", "+flagged)
		want(Question{Namespace: "other", Runs: true}, schemas[:3], clean+", "+clean+", "+clean)
		want(Question{Environments: []string{"it's", "production"}}, schemas[:2], flagged+", "+flagged)

		earlier := dialect.Name{Schema: schemas[1], Table: "v_lock"}
		exec(t, p.db, "ALTER TABLE "+p.table.dialect.Quote(earlier)+" DROP COLUMN checksum_key")
		want(Question{Sums: true}, schemas[:3], clean+", "+clean+", "+flagged)
		found, err := Sweep(ctx, p.db, p.table, "v", Question{Sums: true}, schemas[:2])
		must(t, err)
		if !found[0].State || found[1].State {
			t.Errorf("sums of the first alone: %+v, %+v", found[0], found[1])
		}
	})
}
