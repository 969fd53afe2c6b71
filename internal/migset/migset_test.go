package migset

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

// complete fills in what a test leaves open.
func complete(c Config) Config {
	c.BasePath = "sql"
	if c.Environments == nil {
		c.Environments = []string{"base"}
	}
	c.Dialect, _ = dialect.Lookup("postgres")
	return c
}

// resolved are the sets of a configuration that has no fault.
func resolved(t *testing.T, c Config) []*Set {
	t.Helper()
	sets, _, faults := Resolve(complete(c))
	for _, f := range faults {
		t.Fatal(f)
	}
	return sets
}

func text(up, down string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")}
}

func command(sql string) []Action { return []Action{{Kind: Command, SQL: sql}} }

func function() []Action {
	return []Action{{Kind: Function, Tx: func(context.Context, *sql.Tx) error { return nil }}}
}

// TestSets: there is always a list of sets, each with what belongs to it.
func TestSets(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"sql/base/2_b.sql": text("SELECT 2;", ""), "sql/test/1_a.sql": text("SELECT 1;", ""),
		"sql/core/1_c.sql": text("SELECT 1;", ""), "sql/identity/base/7_i.sql": text("SELECT 7;", ""),
	}
	core := goose.NewGoMigration(9, nil, nil)
	core.Source = "sql/core/9_g.go"
	for situation, s := range map[string]struct {
		config Config
		want   string
	}{
		"one":                 {Config{Environments: []string{"base", "test"}}, "[: 1 (sql/test/1_a.sql) 2 (sql/base/2_b.sql)]"},
		"without an excluded": {Config{Options: []goose.ProviderOption{goose.WithExcludeVersions([]int64{2})}, Go: []*goose.Migration{goose.NewGoMigration(3, nil, nil)}}, "[: 3]"},
		"namespaces": {Config{Namespaces: []string{"identity", "core"}, Go: []*goose.Migration{core}, Definitions: []Definitions{
			{Namespace: "identity", List: []Defined{{Version: 8, Source: "x.go:1", Up: function(), Down: command("SELECT 8")}}},
		}}, "[identity: 7 (sql/identity/base/7_i.sql) 8 (x.go:1) core: 1 (sql/core/1_c.sql) 9 (sql/core/9_g.go)]"},
	} {
		t.Run(situation, func(t *testing.T) {
			s.config.FS = fsys
			if s.config.Namespaces != nil { // what is in none of them would be a fault
				s.config.FS = fstest.MapFS{"sql/core/1_c.sql": fsys["sql/core/1_c.sql"], "sql/identity/base/7_i.sql": fsys["sql/identity/base/7_i.sql"]}
			}
			var got []string
			for _, set := range resolved(t, s.config) {
				got = append(got, set.Namespace+":")
				for _, m := range set.List {
					got = append(got, m.String())
				}
			}
			if fmt.Sprint(got) != s.want {
				t.Errorf("got %v, want %v", got, s.want)
			}
		})
	}
}

// TestFaults: a fault says by its fields what it is about. All are found together.
func TestFaults(t *testing.T) {
	t.Parallel()
	definitions := []Definitions{{Namespace: "core", List: []Defined{{Version: 1, Source: "x.go:1", Up: command("SELECT 1")}}}}
	sets, _, faults := Resolve(complete(Config{
		FS:           fstest.MapFS{"sql/core/base/1_a.sql": text("SELECT 1;", ""), "sql/core/base/2_b.sql": {}, "sql/core/base/02_c.sql": {}},
		Environments: []string{"base", "a,b"}, Namespaces: []string{"core", "lock", "identity"}, Definitions: definitions,
	}))
	var got []Fault
	for _, f := range faults {
		var twice *envfs.DuplicateError
		if f.Err == nil || f.Kind == Definition && !errors.As(f, &twice) {
			t.Errorf("the fault %+v has the error %v", f, f.Err)
		}
		plain := *f
		plain.Err = nil
		got = append(got, plain)
	}
	want := []Fault{
		{Kind: Setting},                  // a,b is no environment
		{Kind: Merge, Namespace: "core"}, // 2 is claimed twice
		{Kind: Definition, Namespace: "core", Version: 1, Source: "x.go:1"},
		{Kind: Setting},                      // lock is the state table's
		{Kind: Merge, Namespace: "identity"}, // it has no folder
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(sets) != 2 || sets[0].Namespace != "core" || sets[1].Namespace != "identity" {
		t.Errorf("%d sets, want those of core and identity", len(sets))
	}
	if _, _, faults := Resolve(complete(Config{})); len(faults) != 1 || faults[0].Kind != Setting {
		t.Errorf("without a file system: %v", faults)
	}
}

// TestRead: what a migration does in each direction, wherever that is written, and what is wrong with it.
func TestRead(t *testing.T) {
	t.Parallel()
	set := resolved(t, Config{
		FS: fstest.MapFS{
			"sql/base/1_a.sql":      text("SELECT 1;", "SELECT -1;"),
			"sql/base/2_b.up.sql":   {Data: []byte("SELECT 2; SELECT 22")},
			"sql/base/2_b.down.sql": {Data: []byte("-- +gooseplus Replay 1\n")},
			"sql/base/5_e.sql":      text("DO $$\nBEGIN\n  PERFORM 1;\nEND $$;", ""),
			"sql/base/6_f.sql":      text("SELECT 'secret'", ""),
			"sql/base/7_g.sql":      text("SELECT 7;", "-- +gooseplus Replay 8"),
			"sql/base/8_h.sql":      {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nBEGIN;\nCOMMIT;\n")},
		},
		Definitions: []Definitions{{List: []Defined{
			{Version: 3, Source: "x.go:3", Up: function(), Down: command("VACUUM")},
			{Version: 4, Source: "x.go:4", Up: []Action{{Kind: Replay, Replay: 1}}, Down: []Action{{Kind: Replay, Replay: 3}}},
		}}},
	})[0]
	bodies, errs := set.ReadAll(t.Context())
	faults := make(map[int64]*Fault)
	for _, err := range errs {
		f, ok := errors.AsType[*Fault](err)
		if !ok {
			t.Fatal(err)
		}
		faults[f.Version] = f
	}
	for _, want := range []Fault{
		{Version: 5, Source: "sql/base/5_e.sql", Direction: Up},
		{Version: 6, Source: "sql/base/6_f.sql", Direction: Up},
		{Version: 7, Source: "sql/base/7_g.sql", Direction: Down},
	} {
		f := faults[want.Version]
		if f == nil || f.Kind != Content || f.Source != want.Source || f.Environment != "base" || f.Direction != want.Direction {
			t.Errorf("the fault of %d is %+v", want.Version, f)
		}
	}
	var script *dryrun.ScriptError
	if len(faults) != 3 || !errors.As(faults[6], &script) || faults[6].SQL != script.SQL || script.SQL == "" {
		t.Errorf("%d faults, that of 6 is %+v", len(faults), faults[6])
	}

	type side struct {
		text              string
		inTx, gooseTx, is bool
	}
	of := func(s Section) side { return side{s.Text(), s.InTransaction(), s.GooseTransaction(), !s.Empty()} }
	for version, want := range map[int64][2]side{
		1: {{"SELECT 1;", true, true, true}, {"SELECT -1;", true, true, true}},
		2: {{"SELECT 2; SELECT 22", true, true, true}, {"SELECT 1;", true, true, true}},
		3: {{"<go>", true, true, true}, {"VACUUM", false, false, true}},
		4: {{"SELECT 1;", true, true, true}, {"<go>", true, true, true}},
		8: {{"BEGIN;\nCOMMIT;", false, false, true}, {"", false, false, false}},
	} {
		m, _ := set.Find(version)
		up, down := set.Sections(m, bodies[version])
		if got := [2]side{of(up), of(down)}; got != want {
			t.Errorf("version %d: got %+v, want %+v", version, got, want)
		}
		if apart := version == 2 || version == 3 || version == 4; m.Apart(bodies[version]) != apart {
			t.Errorf("version %d: apart is %t", version, !apart)
		}
	}
	if got, want := set.WithSQL([]int64{1, 3, 4, 99}), []int64{1, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("with SQL: %v, want %v", got, want)
	}
}
