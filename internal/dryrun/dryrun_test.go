package dryrun

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestScripts(t *testing.T) {
	t.Setenv("GOOSEPLUS_TEST_TABLE", "from_env")
	for _, tc := range []struct {
		name, text string
		want       Script
	}{
		{"up and down", "-- +goose Up\nCREATE TABLE a (i int);\nCREATE TABLE b (i int);\n-- +goose Down\nDROP TABLE b;\nDROP TABLE a;\n",
			Script{Up: []string{"CREATE TABLE a (i int);", "CREATE TABLE b (i int);"},
				Down: []string{"DROP TABLE b;", "DROP TABLE a;"}, Transactional: true, DownTransactional: true}},
		{"without a transaction", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY x ON a (i);\n-- +goose Down\nDROP INDEX x;",
			Script{Up: []string{"CREATE INDEX CONCURRENTLY x ON a (i);"}, Down: []string{"DROP INDEX x;"}}},
		{"without a transaction, said at the end", "-- +goose Up\nVACUUM;\n-- +goose Down\n-- +goose NO TRANSACTION\n",
			Script{Up: []string{"VACUUM;"}}},
		{"a statement with semicolons", "-- +goose Up\n-- +goose StatementBegin\nDO $$ BEGIN\n  PERFORM 1;\nEND $$;\n-- +goose StatementEnd\nSELECT 2;",
			Script{Up: []string{"DO $$ BEGIN\n  PERFORM 1;\nEND $$;", "SELECT 2;"}, Transactional: true, DownTransactional: true}},
		{"a down statement with semicolons", "-- +goose Up\nSELECT 1;\n-- +goose Down\n-- +goose StatementBegin\nBEGIN; END;\n-- +goose StatementEnd\n",
			Script{Up: []string{"SELECT 1;"}, Down: []string{"BEGIN; END;"}, Transactional: true, DownTransactional: true}},
		{"an empty Down", "-- +goose Up\nSELECT 1;\n-- +goose Down\n", Script{Up: []string{"SELECT 1;"}, Transactional: true, DownTransactional: true}},
		{"no Down", "-- +goose Up\nSELECT 1;\n", Script{Up: []string{"SELECT 1;"}, Transactional: true, DownTransactional: true}},
		{"a Down of comments", "-- +goose Up\nSELECT 1;\n-- +goose Down\n-- DROP TABLE a;\n-- no way back\n\n",
			Script{Up: []string{"SELECT 1;"}, Transactional: true, DownTransactional: true}},
		{"an empty Up", "-- +goose Up\n-- +goose Down\nSELECT 1;\n", Script{Down: []string{"SELECT 1;"}, Transactional: true, DownTransactional: true}},
		{"nothing without a transaction", "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose Down\n", Script{}},
		{"variables", "-- +goose ENVSUB ON\n-- +goose Up\nDROP TABLE ${GOOSEPLUS_TEST_TABLE};\n-- +goose ENVSUB OFF\nSELECT '${GOOSEPLUS_TEST_TABLE}';\n",
			Script{Up: []string{"DROP TABLE from_env;", "SELECT '${GOOSEPLUS_TEST_TABLE}';"}, Transactional: true, DownTransactional: true}},
		{"a comment within a statement", "-- +goose Up\nSELECT 1 -- one\n  + 1;\n", Script{Up: []string{"SELECT 1 -- one\n  + 1;"}, Transactional: true, DownTransactional: true}},
		{"line ends of Windows", "-- +goose Up\r\nSELECT 1;\r\n-- +goose Down\r\nSELECT 2;\r\n",
			Script{Up: []string{"SELECT 1;"}, Down: []string{"SELECT 2;"}, Transactional: true, DownTransactional: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scripts, errs := Scripts(t.Context(), fstest.MapFS{"7_x.sql": file(tc.text)}, []int64{7})
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			if want := map[int64]Script{7: tc.want}; !reflect.DeepEqual(scripts, want) {
				t.Errorf("got  %#v\nwant %#v", scripts, want)
			}
		})
	}
}

func TestScriptsReportsEveryFileThatCannotBeParsed(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"1_ok.sql":       file("-- +goose Up\nSELECT 1;"),
		"2_semi.sql":     file("-- +goose Up\nSELECT 1"),
		"3_down.sql":     file("-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2"),
		"4_none.sql":     file("SELECT 1;"),
		"5_end.sql":      file("-- +goose Up\n-- +goose StatementBegin\nSELECT 1;"),
		"6_empty.sql":    file(""),
		"7_annotate.sql": file("-- +goose Upp\nSELECT 1;"),
		"8_env.sql":      file("-- +goose ENVSUB ON\n-- +goose Up\nSELECT ${;\n"),
		"9_unasked.sql":  file("no SQL"),
	}
	scripts, errs := Scripts(t.Context(), fsys, []int64{1, 2, 3, 4, 5, 6, 7, 8, 100})
	var faulty []int64
	for _, err := range errs {
		var fault *ScriptError
		if !errors.As(err, &fault) {
			t.Fatalf("got %T %v, want a ScriptError", err, err)
		}
		faulty = append(faulty, fault.Version)
		if text := err.Error(); text == "" || strings.Contains(text, "\n") || strings.Contains(text, "SELECT") {
			t.Errorf("want one line without SQL, got %q", text)
		}
	}
	if want := []int64{2, 3, 4, 5, 6, 7, 8, 100}; !slices.Equal(faulty, want) {
		t.Errorf("faults of %v, want %v", faulty, want)
	}
	if want := map[int64]Script{1: {Up: []string{"SELECT 1;"}, Transactional: true, DownTransactional: true}}; !reflect.DeepEqual(scripts, want) {
		t.Errorf("got %v, want %v", scripts, want)
	}
}

// opens writes down what is opened.
type opens struct {
	fs.FS
	mu    sync.Mutex
	names []string // guarded by mu
}

func (o *opens) Open(name string) (fs.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if name != "." {
		o.names = append(o.names, name)
	}
	return o.FS.Open(name)
}

func TestScriptsOpensNoOtherFile(t *testing.T) {
	t.Parallel()
	fsys := &opens{FS: fstest.MapFS{
		"1_a.sql": file("not parsed"),
		"2_b.sql": file("-- +goose Up\nSELECT 1;"),
		"3_c.sql": file("not parsed"),
	}}
	if _, errs := Scripts(t.Context(), fsys, []int64{2}); len(errs) > 0 {
		t.Fatal(errs)
	}
	slices.Sort(fsys.names)
	if got := slices.Compact(fsys.names); !slices.Equal(got, []string{"2_b.sql"}) {
		t.Errorf("opened %v", got)
	}
	if scripts, errs := Scripts(t.Context(), nil, nil); len(scripts)+len(errs) > 0 {
		t.Errorf("without versions: got %v, %v", scripts, errs)
	}
}

func TestScriptsOfAnEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fsys := fstest.MapFS{"1_a.sql": file("-- +goose Up\nSELECT 1;"), "2_b.sql": file("-- +goose Up\nSELECT 1;")}
	_, errs := Scripts(ctx, fsys, []int64{1, 2})
	if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Fatalf("got %v, want context.Canceled once", errs)
	}
	var fault *ScriptError
	if errors.As(errs[0], &fault) {
		t.Errorf("migration %d is blamed for it", fault.Version)
	}
}

func TestScriptsOfUnreadableFile(t *testing.T) {
	t.Parallel()
	_, errs := Scripts(t.Context(), lost{fstest.MapFS{"1_a.sql": file(""), "2_b.sql": file("-- +goose Up\nSELECT 1;")}}, []int64{1, 2})
	var fault *ScriptError
	if len(errs) != 1 || !errors.As(errs[0], &fault) || fault.Version != 1 || !errors.Is(errs[0], errLost) {
		t.Errorf("got %v, want the file system's own error for version 1", errs)
	}
}

var errLost = errors.New("input/output error")

// lost can't read one of its files.
type lost struct{ fstest.MapFS }

func (l lost) Open(name string) (fs.File, error) {
	if name == "1_a.sql" {
		return nil, errLost
	}
	return l.MapFS.Open(name)
}

func TestVersions(t *testing.T) {
	t.Parallel()
	// Sorted by name, 10 and 100 come first.
	fsys := fstest.MapFS{"1_a.sql": file(""), "10_b.sql": file(""), "100_c.sql": file(""), "2_d.sql": file(""), "notes.sql": file("")}
	goMigration := goose.NewGoMigration(5, nil, nil)
	for _, tc := range []struct {
		name string
		fsys fs.FS
		opts []goose.ProviderOption
		want []int64
	}{
		{"files", fsys, nil, []int64{1, 2, 10, 100}},
		{"files and Go migrations", fsys, []goose.ProviderOption{goose.WithGoMigrations(goMigration)}, []int64{1, 2, 5, 10, 100}},
		{"Go migrations alone", nil, []goose.ProviderOption{goose.WithGoMigrations(goMigration)}, []int64{5}},
		{"without a version", fsys, []goose.ProviderOption{goose.WithExcludeVersions([]int64{2, 77})}, []int64{1, 10, 100}},
		{"without a name", fsys, []goose.ProviderOption{goose.WithExcludeNames([]string{"10_b.sql", "77_x.sql"})}, []int64{1, 2, 100}},
		{"both", fsys, []goose.ProviderOption{
			goose.WithExcludeNames([]string{"10_b.sql"}), goose.WithExcludeVersions([]int64{1})}, []int64{2, 100}},
		{"nothing left", fsys, []goose.ProviderOption{goose.WithExcludeVersions([]int64{1, 2, 10, 100})}, nil},
		{"nothing there", fstest.MapFS{}, nil, nil},
		{"no file system", nil, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := Versions(tc.fsys, tc.opts...)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

func TestVersionsThatGooseRefuses(t *testing.T) {
	t.Parallel()
	twice := fstest.MapFS{"1_a.sql": file(""), "01_b.sql": file("")}
	for name, opts := range map[string][]goose.ProviderOption{
		"a duplicate":            nil,
		"one excluded twice":     {goose.WithExcludeVersions([]int64{1}), goose.WithExcludeVersions([]int64{1})},
		"a Go migration as well": {goose.WithGoMigrations(goose.NewGoMigration(1, nil, nil))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := Versions(twice, opts...); err == nil {
				t.Errorf("got %v and no error", got)
			}
		})
	}
}

func TestVersionsLeavesTheCallersOptionsAlone(t *testing.T) {
	t.Parallel()
	backing := []goose.ProviderOption{goose.WithVerbose(false), nil}
	if _, err := Versions(nil, backing[:1]...); err != nil {
		t.Fatal(err)
	}
	if backing[1] != nil {
		t.Error("the slice behind the options was written to")
	}
}

// It registers for the whole process, so nothing here runs at the same time.
func TestRegistered(t *testing.T) {
	goose.ResetGlobalMigrations()
	t.Cleanup(goose.ResetGlobalMigrations)
	if sources, err := Registered(); err != nil || len(sources) > 0 {
		t.Fatalf("empty: got %v, %v", sources, err)
	}
	nothing := func(context.Context, *sql.Tx) error { return nil }
	goose.AddNamedMigrationContext("sql/base/9_z.go", nothing, nil)
	goose.AddNamedMigrationContext("sql/base/10_a.go", nothing, nil)
	sources, err := Registered()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sources {
		got = append(got, fmt.Sprint(s.Version, " ", s.Path))
	}
	if want := []string{"9 sql/base/9_z.go", "10 sql/base/10_a.go"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if versions, err := Versions(nil); err != nil || len(versions) > 0 {
		t.Errorf("Versions takes from the registry: %v, %v", versions, err)
	}
}
