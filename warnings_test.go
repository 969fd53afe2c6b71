package gooseplus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// warned migrates and returns the warnings. None of what they say is a fault.
func warned(t *testing.T, fsys fstest.MapFS, opts ...gooseplus.Option) (list []string) {
	t.Helper()
	db := openSQLite(t)
	observe := func(_ context.Context, e gooseplus.Event) {
		if w, ok := e.(gooseplus.Warning); ok {
			list = append(list, w.Message)
		}
	}
	m := sqlite(db, fsys, append(opts, gooseplus.WithObserver(observe))...)
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	mustMigrate(t, m)
	return list
}

func TestGapsInTheNumbering(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		situation string
		versions  []int64
		want      string
	}{
		{"one", []int64{1, 2, 4}, "there is no version 3"},
		{"filled by another environment", []int64{1, 2, 4, 6}, "there is no version 5"},
	} {
		t.Run(s.situation, func(t *testing.T) {
			var paths []string
			for i, v := range s.versions {
				paths = append(paths, fmt.Sprintf("sql/base/%d_t%d.sql", v, i))
			}
			fsys := folder(paths...)
			if strings.HasPrefix(s.situation, "filled") {
				fsys["sql/test/3_x.up.sql"] = &fstest.MapFile{}
			}
			got := warned(t, fsys)
			if s.want == "" && len(got) > 0 || s.want != "" && (len(got) != 1 || got[0] != "the numbering has a gap: "+s.want) {
				t.Errorf("warnings %q, want %q", got, s.want)
			}
		})
	}
}

func TestMissingDownIsAWarning(t *testing.T) {
	t.Parallel()
	var d gooseplus.Definitions
	d.Define(4).Up(`CREATE TABLE d4 (id INTEGER)`)
	d.Define(5).Up(`CREATE TABLE d5 (id INTEGER)`).Down(`DROP TABLE d5`)
	fsys := fstest.MapFS{
		"sql/base/1_a.sql":    migrationFile("CREATE TABLE a (id INTEGER);", "-- nothing"),
		"sql/base/2_b.up.sql": {Data: []byte("CREATE TABLE b (id INTEGER);")},
	}
	got := warned(t, fsys, gooseplus.WithDefinitions(&d), gooseplus.WithGoMigrations(goose.NewGoMigration(3, &goose.GoFunc{RunTx: create(3)}, nil)))
	if len(got) != 4 {
		t.Fatalf("warnings %q", got)
	}
	for i, source := range []string{"1 (sql/base/1_a.sql)", "2 (sql/base/2_b.up.sql)", "3", "4 ("} {
		if !strings.HasPrefix(got[i], "migration "+source) || !strings.HasSuffix(got[i], "has no Down: nothing can undo it") {
			t.Errorf("warning %d is %q", i, got[i])
		}
	}
}

func TestNamesThatLookLikeAMigration(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.UP.sql", "sql/base/c.up.sql", "sql/base/d.down.sql", "sql/base/e.sql")
	got := warned(t, fsys)
	for _, name := range []string{"2_b.UP.sql", "c.up.sql", "d.down.sql", "e.sql"} {
		if !slices.ContainsFunc(got, func(w string) bool { return strings.HasPrefix(w, "sql/base/"+name+" is ignored") }) {
			t.Errorf("no warning about %s: %q", name, got)
		}
	}
}

// TestFilesBesideTheFolders: a file that is not where migrations are read from is not skipped silently.
func TestFilesBesideTheFolders(t *testing.T) {
	t.Parallel()
	inCore := gooseplus.WithNamespaces("core")
	for situation, s := range map[string]struct {
		fsys fstest.MapFS
		opts []gooseplus.Option
		want string // the path
	}{
		"beside the environments":             {folder("sql/base/1_a.sql", "sql/b.sql"), nil, "sql/b.sql"},
		"no environments":                     {folder("sql/1_a.sql", "sql/2_b.sql"), []gooseplus.Option{gooseplus.SetEnvironments(nil)}, ""},
		"a text":                              {folder("sql/base/1_a.sql", "sql/README.md"), nil, ""},
		"beside the namespaces":               {folder("sql/core/1_a.sql", "sql/2_b.SQL"), []gooseplus.Option{inCore}, "sql/2_b.SQL"},
		"beside a namespace's environments":   {folder("sql/core/base/1_a.sql", "sql/core/b.sql"), []gooseplus.Option{inCore}, "sql/core/b.sql"},
		"below a namespace that has no such":  {folder("sql/core/1_a.sql", "sql/core/base/b.sql"), []gooseplus.Option{inCore}, "sql/core/base/b.sql"},
		"in the folder of no namespace":       {folder("sql/core/1_a.sql", "sql/billing/1_b.sql", "sql/billing/2_c.sql"), []gooseplus.Option{inCore}, "sql/billing/1_b.sql"},
		"in an environment of no namespace":   {folder("sql/core/1_a.sql", "sql/billing/base/1_b.sql"), []gooseplus.Option{inCore}, "sql/billing/base/1_b.sql"},
		"below a namespace, and no migration": {folder("sql/core/1_a.sql", "sql/core/docs/x.txt"), []gooseplus.Option{inCore}, ""},
	} {
		t.Run(situation, func(t *testing.T) {
			got := warned(t, s.fsys, s.opts...)
			if s.want == "" && len(got) > 0 || s.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], s.want+" is ")) {
				t.Errorf("warnings %q, want one about %q", got, s.want)
			}
		})
	}
}

// TestWarningsNeedNoDatabase: a unit test or a check in CI sees what a run would say.
func TestWarningsNeedNoDatabase(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/base/3_c.sql", "sql/base/2024/4_d.sql")
	got := sqlite(nil, fsys, gooseplus.WithEnvironments("staging")).Warnings()
	want := []string{`environment "staging" has no folder sql/staging`, "sql/base/2024/4_d.sql is ignored", "there is no version 2"}
	if len(got) != len(want) {
		t.Fatalf("warnings %q", got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("warning %q, want %q", got[i], want[i])
		}
	}

	two := folder("sql/core/1_a.sql", "sql/core/3_c.sql", "sql/shared/1_b.sql")
	m := sqlite(nil, two, gooseplus.WithNamespaces("core", "shared"))
	if got := m.Warnings(); len(got) != 1 || !strings.HasPrefix(got[0], `namespace "core": the numbering has a gap`) {
		t.Errorf("warnings %q", got)
	}
	if got := m.Namespace("shared").Warnings(); len(got) != 0 {
		t.Errorf("warnings %q", got)
	}
	if got := sqlite(nil, two, gooseplus.WithTimeout(-1)).Warnings(); got != nil {
		t.Errorf("with a fault: %q", got)
	}
}
