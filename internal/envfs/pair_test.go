package envfs

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPairsAreOneMigrationEach(t *testing.T) {
	t.Parallel()
	fsys := tree("sql/base/000001_a.up.sql", "sql/base/000001_a.down.sql", "sql/base/2_goose.sql",
		"sql/test/000003_b.up.sql", "sql/test/000003_b.down.sql", "sql/base/000004_c.up.sql", "sql/other/5_d.up.sql")
	o := mustNew(t, fsys, "sql", "base", "test")
	equal(t, "SQL", paths(o.SQL),
		[]string{"sql/base/000001_a.up.sql", "sql/base/2_goose.sql", "sql/test/000003_b.up.sql", "sql/base/000004_c.up.sql"})
	var downs []string
	for _, f := range o.SQL {
		downs = append(downs, f.Down)
	}
	equal(t, "Down", downs, []string{"sql/base/000001_a.down.sql", "", "sql/test/000003_b.down.sql", ""})
	equal(t, "Ignored", o.Ignored, nil)
	if err := fstest.TestFS(o, "000001_a.up.sql", "2_goose.sql", "000003_b.up.sql", "000004_c.up.sql"); err != nil {
		t.Error(err)
	}
}

func TestPairsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		situation string
		files     []string
		twice     []DuplicateError
		pairs     []PairError
	}{
		{"a down without an up", []string{"sql/base/1_a.down.sql"}, nil,
			[]PairError{{Version: 1, Down: "sql/base/1_a.down.sql"}}},
		{"the up in another folder", []string{"sql/base/1_a.up.sql", "sql/test/1_a.down.sql"}, nil,
			[]PairError{{Version: 1, Down: "sql/test/1_a.down.sql"}}},
		{"two downs", []string{"sql/base/1_a.up.sql", "sql/base/1_a.down.sql", "sql/base/1_b.down.sql"},
			[]DuplicateError{{1, [2]string{"sql/base/1_a.down.sql", "sql/base/1_b.down.sql"}}}, nil},
		{"both styles", []string{"sql/base/1_a.up.sql", "sql/base/1_a.down.sql", "sql/base/1_a.sql"},
			[]DuplicateError{{1, [2]string{"sql/base/1_a.sql", "sql/base/1_a.up.sql"}}}, nil},
		{"both styles in two folders", []string{"sql/base/1_x.sql", "sql/test/1_a.up.sql"},
			[]DuplicateError{{1, [2]string{"sql/base/1_x.sql", "sql/test/1_a.up.sql"}}}, nil},
		{"a goose file and a down", []string{"sql/base/1_a.sql", "sql/base/1_a.down.sql"},
			[]DuplicateError{{1, [2]string{"sql/base/1_a.sql", "sql/base/1_a.down.sql"}}}, nil},
		{"a Go file and an up", []string{"sql/base/1_a.go", "sql/base/1_a.up.sql"},
			[]DuplicateError{{1, [2]string{"sql/base/1_a.up.sql", "sql/base/1_a.go"}}}, nil},
		{"two pairs", []string{"sql/base/1_a.up.sql", "sql/base/1_a.down.sql", "sql/test/01_a.up.sql", "sql/test/01_a.down.sql"},
			[]DuplicateError{{1, [2]string{"sql/base/1_a.up.sql", "sql/test/01_a.up.sql"}}}, nil},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			_, err := New(tree(tc.files...), "sql", []string{"base", "test"})
			got := faults(err)
			if len(got) != len(tc.twice)+len(tc.pairs) {
				t.Fatalf("got %d faults: %v", len(got), err)
			}
			for i, want := range tc.twice {
				var d *DuplicateError
				if !errors.As(got[i], &d) || *d != want {
					t.Errorf("got %v, want %v", got[i], &want)
				}
			}
			for i, want := range tc.pairs {
				var p *PairError
				if !errors.As(got[len(tc.twice)+i], &p) || *p != want {
					t.Errorf("got %v, want %v", got[i], &want)
				}
				if text := err.Error(); !strings.Contains(text, want.Down) {
					t.Errorf("a path is missing in %q", text)
				}
			}
		})
	}
}

// TestPairsOfGolangMigrate: golang-migrate puts together what has the same version, and doesn't care for the end of a name.
func TestPairsOfGolangMigrate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		situation string
		up, down  string
		odd       int
	}{
		{"names that differ", "1_add_as.up.sql", "1_add_a.down.sql", 1},
		{"numbers that are spelt differently", "1_a.up.sql", "0001_a.down.sql", 1},
		{"a doubled dot in the up", "1_a.up..sql", "1_a.down.sql", 1},
		{"a doubled dot in the down", "1_a.up.sql", "1_a.down..sql", 1},
		{"doubled dots before", "1_a..up.sql", "1_a..down.sql", 0},
		{"something between", "1_a.up.postgres.sql", "1_a.down.postgres.sql", 2},
		{"capitals at the end", "1_a.up.SQL", "1_a.down.SQL", 2},
		{"no name", "1_.up.sql", "1_.down.sql", 0},
		{"the other half's word in the name", "1_a.down.up.sql", "1_a.down.down.sql", 0},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{
				"sql/base/" + tc.up:   {Data: []byte("SELECT 'up';")},
				"sql/base/" + tc.down: {Data: []byte("SELECT 'down';")},
			}
			o := mustNew(t, fsys, "sql", "base")
			if len(o.SQL) != 1 || o.SQL[0].Path != "sql/base/"+tc.up || o.SQL[0].Down != "sql/base/"+tc.down || len(o.Ignored) != 0 {
				t.Fatalf("files %+v, ignored %v", o.SQL, o.Ignored)
			}
			if len(o.Odd) != tc.odd {
				t.Errorf("warnings %q", o.Odd)
			}
			read, err := scripts(t, o, 1)
			if err != nil || len(read[1].Up) != 1 || read[1].Up[0] != "SELECT 'up';" || len(read[1].Down) != 1 || read[1].Down[0] != "SELECT 'down';" {
				t.Errorf("goose reads %+v, %v", read[1], err)
			}
		})
	}
	t.Run("the down of the same name is taken", func(t *testing.T) {
		t.Parallel()
		o, err := New(tree("sql/base/1_a.down.sql", "sql/base/1_b.down.sql", "sql/base/1_b.up.sql"), "sql", []string{"base"})
		var twice *DuplicateError
		if !errors.As(err, &twice) || len(o.SQL) != 1 || o.SQL[0].Down != "sql/base/1_b.down.sql" {
			t.Errorf("%+v, %v", o.SQL, err)
		}
	})
}

func TestNearlyAPairIsIgnored(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"1_x.UP.sql", "1_x.Down.sql", "1_x.UP..sql", "x.up.sql", "x.down.sql", "_x.up.sql", "+1_x.up.sql"} {
		o := mustNew(t, tree("sql/base/"+name), "sql", "base")
		equal(t, "Ignored", o.Ignored, []string{"sql/base/" + name})
		equal(t, "SQL", o.SQL, nil)
	}
	o := mustNew(t, tree("sql/base/1_x.upper.sql", "sql/base/2_x.Up.x.sql", "sql/base/3_xup.sql"), "sql", "base")
	equal(t, "goose files", paths(o.SQL), []string{"sql/base/1_x.upper.sql", "sql/base/2_x.Up.x.sql", "sql/base/3_xup.sql"})
	if slices.ContainsFunc(o.SQL, func(f File) bool { return f.kind != gooseFile }) {
		t.Error("a goose file was taken for a pair")
	}
}

func TestListingOpensNoPair(t *testing.T) {
	t.Parallel()
	counted := &opens{FS: tree("sql/base/1_a.up.sql", "sql/base/1_a.down.sql"), names: make(map[string]int)}
	o := mustNew(t, counted, "sql", "base")
	if _, err := sources(t, o); err != nil {
		t.Fatal(err)
	}
	if files := counted.files(t); len(files) > 0 {
		t.Errorf("a listing opened %v", files)
	}
}

func TestPairThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, missing := range []string{"sql/base/1_a.up.sql", "sql/base/1_a.down.sql"} {
		fsys := tree("sql/base/1_a.up.sql", "sql/base/1_a.down.sql")
		o := mustNew(t, fsys, "sql", "base")
		delete(fsys, missing)
		if _, err := o.Open("1_a.up.sql"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}
