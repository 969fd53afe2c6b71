package envfs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

//go:embed testdata/sql
var embedded embed.FS

// tree makes a file system of files that hold their own path.
func tree(paths ...string) fstest.MapFS {
	fsys := make(fstest.MapFS)
	for _, p := range paths {
		fsys[p] = &fstest.MapFile{Data: []byte("-- " + p)}
	}
	return fsys
}

func paths(files []File) []string {
	var list []string
	for _, f := range files {
		list = append(list, f.Path)
	}
	return list
}

func mustNew(t *testing.T, fsys fs.FS, base string, environments ...string) *Overlay {
	t.Helper()
	o, err := New(fsys, base, environments)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return o
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

func TestNewMergesEnvironmentsByVersion(t *testing.T) {
	t.Parallel()
	fsys := tree("sql/base/10_c.sql", "sql/base/1_a.sql", "sql/test/2_b.sql", "sql/production/3_p.sql", "sql/base/4_g.go")
	for _, tc := range []struct {
		name         string
		environments []string
		sql, goFiles []string
	}{
		{"one", []string{"base"}, []string{"sql/base/1_a.sql", "sql/base/10_c.sql"}, []string{"sql/base/4_g.go"}},
		{"two", []string{"base", "test"},
			[]string{"sql/base/1_a.sql", "sql/test/2_b.sql", "sql/base/10_c.sql"}, []string{"sql/base/4_g.go"}},
		{"the order of the environments doesn't matter", []string{"production", "test", "base"},
			[]string{"sql/base/1_a.sql", "sql/test/2_b.sql", "sql/production/3_p.sql", "sql/base/10_c.sql"},
			[]string{"sql/base/4_g.go"}},
		{"one named twice counts once", []string{"test", "base", "test"},
			[]string{"sql/base/1_a.sql", "sql/test/2_b.sql", "sql/base/10_c.sql"}, []string{"sql/base/4_g.go"}},
		{"without base", []string{"production"}, []string{"sql/production/3_p.sql"}, nil},
		{"none", nil, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := mustNew(t, fsys, "sql", tc.environments...)
			equal(t, "SQL", paths(o.SQL), tc.sql)
			equal(t, "Go", paths(o.Go), tc.goFiles)
			equal(t, "Missing", o.Missing, nil)
			equal(t, "Ignored", o.Ignored, nil)
		})
	}
}

func TestNewDescribesEachFile(t *testing.T) {
	t.Parallel()
	o := mustNew(t, tree("db/my base/007_a.sql", "db/test/8_b.go"), "db", "my base", "test")
	equal(t, "SQL", o.SQL, []File{{Version: 7, Environment: "my base", Name: "007_a.sql", Path: "db/my base/007_a.sql"}})
	equal(t, "Go", o.Go, []File{{Version: 8, Environment: "test", Name: "8_b.go", Path: "db/test/8_b.go", kind: goFile}})
	equal(t, "Folders", o.Folders, map[string]string{"my base": "db/my base", "test": "db/test"})
}

func TestEmptyEnvironmentIsTheBasePath(t *testing.T) {
	t.Parallel()
	fsys := tree("sql/1_a.sql", "sql/2_b.sql", "sql/test/3_c.sql")
	o := mustNew(t, fsys, "sql", "")
	equal(t, "SQL", paths(o.SQL), []string{"sql/1_a.sql", "sql/2_b.sql"})
	equal(t, "Folders", o.Folders, map[string]string{"": "sql"})

	o = mustNew(t, fsys, "sql", "", "test")
	equal(t, "SQL with a folder", paths(o.SQL), []string{"sql/1_a.sql", "sql/2_b.sql", "sql/test/3_c.sql"})

	o = mustNew(t, tree("1_a.sql", "test/2_b.sql"), ".", "", "test")
	equal(t, "SQL in the root", paths(o.SQL), []string{"1_a.sql", "test/2_b.sql"})
	equal(t, "Folders in the root", o.Folders, map[string]string{"": ".", "test": "test"})
}

func TestMissingFolderIsNoted(t *testing.T) {
	t.Parallel()
	o := mustNew(t, tree("sql/base/1_a.sql"), "sql", "base", "production", "test")
	equal(t, "Missing", o.Missing, []string{"production", "test"})
	equal(t, "Folders", o.Folders, map[string]string{
		"base": "sql/base", "production": "sql/production", "test": "sql/test"})
	equal(t, "SQL", paths(o.SQL), []string{"sql/base/1_a.sql"})
}

func TestEmptyFolderIsNotMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "sql/base/1_a.sql")
	if err := os.Mkdir(filepath.Join(dir, "sql", "test"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := mustNew(t, os.DirFS(dir), "sql", "base", "test")
	equal(t, "Missing", o.Missing, nil)
}

func TestOneVersionClaimedTwice(t *testing.T) {
	t.Parallel()
	both := []string{"base", "test"}
	for _, tc := range []struct {
		name         string
		files        []string
		environments []string
		want         []DuplicateError
	}{
		{"the same name in two folders", []string{"sql/base/1_a.sql", "sql/test/1_a.sql"}, both,
			[]DuplicateError{{1, [2]string{"sql/base/1_a.sql", "sql/test/1_a.sql"}}}},
		{"another name", []string{"sql/base/1_a.sql", "sql/test/1_b.sql"}, both,
			[]DuplicateError{{1, [2]string{"sql/base/1_a.sql", "sql/test/1_b.sql"}}}},
		{"another spelling of the number", []string{"sql/base/1_a.sql", "sql/test/0001_a.sql"}, both,
			[]DuplicateError{{1, [2]string{"sql/base/1_a.sql", "sql/test/0001_a.sql"}}}},
		{"a plus sign, which goose takes", []string{"sql/base/1_a.sql", "sql/test/+1_a.sql"}, both,
			[]DuplicateError{{1, [2]string{"sql/base/1_a.sql", "sql/test/+1_a.sql"}}}},
		{"in one folder", []string{"sql/base/1_a.sql", "sql/base/1_b.sql"}, both[:1],
			[]DuplicateError{{1, [2]string{"sql/base/1_a.sql", "sql/base/1_b.sql"}}}},
		{"an SQL file and a Go file", []string{"sql/base/1_a.go", "sql/test/1_a.sql"}, both,
			[]DuplicateError{{1, [2]string{"sql/test/1_a.sql", "sql/base/1_a.go"}}}},
		{"two Go files", []string{"sql/base/1_a.go", "sql/test/1_b.go"}, both,
			[]DuplicateError{{1, [2]string{"sql/base/1_a.go", "sql/test/1_b.go"}}}},
		{"three files, all named", []string{"sql/base/1_a.sql", "sql/test/1_b.sql", "sql/test/1_c.go"}, both,
			[]DuplicateError{
				{1, [2]string{"sql/base/1_a.sql", "sql/test/1_b.sql"}},
				{1, [2]string{"sql/test/1_b.sql", "sql/test/1_c.go"}},
			}},
		{"two versions, both reported",
			[]string{"sql/base/1_a.sql", "sql/test/1_a.sql", "sql/base/2_a.sql", "sql/test/2_a.sql"}, both,
			[]DuplicateError{
				{1, [2]string{"sql/base/1_a.sql", "sql/test/1_a.sql"}},
				{2, [2]string{"sql/base/2_a.sql", "sql/test/2_a.sql"}},
			}},
		{"not in a folder that isn't chosen", []string{"sql/base/1_a.sql", "sql/test/1_a.sql"}, both[:1], nil},
		{"not a test of a Go migration", []string{"sql/base/1_a.go", "sql/base/1_a_test.go"}, both[:1], nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(tree(tc.files...), "sql", tc.environments)
			got := faults(err)
			if len(got) != len(tc.want) {
				t.Fatalf("got %d faults, want %d: %v", len(got), len(tc.want), err)
			}
			for i, want := range tc.want {
				var d *DuplicateError
				if !errors.As(got[i], &d) || *d != want {
					t.Errorf("fault %d: got %v, want %v", i, got[i], &want)
				}
				if text := err.Error(); !strings.Contains(text, want.Paths[0]) || !strings.Contains(text, want.Paths[1]) {
					t.Errorf("a path is missing in %q", text)
				}
			}
		})
	}
}

// faults takes apart what New joined.
func faults(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func TestAllFaultsAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := New(tree("sql/base/1_a.sql", "sql/base/1_b.sql", "sql/production/2_a.sql"), "sql",
		[]string{"../x", "prodution", "base"})
	if len(faults(err)) != 3 {
		t.Fatalf("want three faults, got %v", err)
	}
	var near *NearMissError
	var twice *DuplicateError
	if !errors.As(err, &near) || !errors.As(err, &twice) || !strings.Contains(err.Error(), `"../x"`) {
		t.Errorf("not every fault is in %v", err)
	}
}

func TestBasePathForms(t *testing.T) {
	t.Parallel()
	fsys := tree("sql/x/base/1_a.sql", "sql/base/2_b.sql", "base/3_c.sql")
	for _, tc := range []struct{ base, want string }{
		{"sql", "sql/base/2_b.sql"},
		{"./sql/", "sql/base/2_b.sql"},
		{"sql//", "sql/base/2_b.sql"},
		{`sql\x`, "sql/x/base/1_a.sql"},
		{`.\sql\x\`, "sql/x/base/1_a.sql"},
		{"sql/x/..", "sql/base/2_b.sql"},
		{".", "base/3_c.sql"},
		{"./", "base/3_c.sql"},
		{"", "base/3_c.sql"},
	} {
		t.Run(fmt.Sprintf("%q", tc.base), func(t *testing.T) {
			t.Parallel()
			equal(t, "SQL", paths(mustNew(t, fsys, tc.base, "base").SQL), []string{tc.want})
		})
	}
	for _, base := range []string{"..", "../sql", "sql/../..", "/abs", "/", `\abs`, "sql/\xff"} {
		t.Run(fmt.Sprintf("%q is outside", base), func(t *testing.T) {
			t.Parallel()
			_, err := New(fsys, base, []string{"base"})
			var fault *BaseError
			if !errors.As(err, &fault) || fault.Path != base || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v, want a BaseError that is not ErrNotExist", err)
			}
		})
	}
}

func TestBasePathThatCannotBeRead(t *testing.T) {
	t.Parallel()
	fsys := tree("file")
	for _, tc := range []struct {
		name, base string
		missing    bool
	}{
		{"not there", "sql", true},
		{"a file", "file", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o, err := New(fsys, tc.base, []string{"base", "test"})
			var fault *BaseError
			if !errors.As(err, &fault) || fault.Path != tc.base || len(faults(err)) != 1 {
				t.Fatalf("got %v, want one BaseError for %q", err, tc.base)
			}
			if errors.Is(err, fs.ErrNotExist) != tc.missing {
				t.Errorf("errors.Is(%v, ErrNotExist) = %t", err, !tc.missing)
			}
			if entries, err := fs.ReadDir(o, "."); err != nil || len(entries) != 0 {
				t.Errorf("the overlay of nothing lists %v, %v", entries, err)
			}
		})
	}
}

func TestEnvironmentNamesThatAreNoFolder(t *testing.T) {
	t.Parallel()
	for _, environment := range []string{".", "..", "../base", "/base", "base/", "./base", "base//x", "\xff"} {
		t.Run(fmt.Sprintf("%q", environment), func(t *testing.T) {
			t.Parallel()
			o, err := New(tree("sql/base/1_a.sql", "1_out.sql"), "sql", []string{environment})
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", environment)) {
				t.Errorf("got %v", err)
			}
			if len(o.SQL) != 0 || len(o.Missing) != 0 {
				t.Errorf("got files %v and missing %v", o.SQL, o.Missing)
			}
		})
	}
}

func TestNestedEnvironment(t *testing.T) {
	t.Parallel()
	o := mustNew(t, tree("sql/eu/test/1_a.sql"), "sql", "eu/test")
	equal(t, "SQL", paths(o.SQL), []string{"sql/eu/test/1_a.sql"})
}

// broken fails to list one folder.
type broken struct {
	fs.FS
	dir string
}

var errBroken = errors.New("permission denied")

func (b broken) Open(name string) (fs.File, error) {
	if name == b.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errBroken}
	}
	return b.FS.Open(name)
}

func TestFolderThatCannotBeRead(t *testing.T) {
	t.Parallel()
	fsys := tree("sql/base/1_a.sql", "sql/test/2_b.sql")
	_, err := New(broken{fsys, "sql/test"}, "sql", []string{"base", "test"})
	if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), `"test"`) {
		t.Errorf("got %v, want the reason and the environment", err)
	}
	_, err = New(broken{fsys, "sql"}, "sql", []string{"base", "test"})
	var fault *BaseError
	if !errors.As(err, &fault) || !errors.Is(err, errBroken) {
		t.Errorf("got %v, want a BaseError with the reason", err)
	}
}

func TestFileWhereAFolderIsExpected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "sql/base/1_a.sql", "sql/test")
	for name, fsys := range map[string]fs.FS{
		"in memory": tree("sql/base/1_a.sql", "sql/test"),
		"on disk":   os.DirFS(dir),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := New(fsys, "sql", []string{"base", "test"})
			if err == nil || !strings.Contains(err.Error(), `"test"`) || len(o.Missing) != 0 {
				t.Errorf("got %v, missing %v", err, o.Missing)
			}
		})
	}
}

func TestIgnoredFiles(t *testing.T) {
	t.Parallel()
	fsys := tree(
		"sql/base/1_a.sql", "sql/base/README.md", "sql/base/schema.sql", "sql/base/_2.sql", "sql/base/3.sql",
		"sql/base/4-b.sql", "sql/base/5_c.sql.bak", "sql/base/6_d.sql~", "sql/base/helper.go", "sql/base/doc_test.go",
		"sql/base/7_e_test.go", "sql/base/._1_a.sql", "sql/base/8_dir.sql/inner.txt", "sql/base/.sql", "sql/base/x_1.sql")
	o := mustNew(t, fsys, "sql", "base")
	equal(t, "SQL", paths(o.SQL), []string{"sql/base/1_a.sql"})
	equal(t, "Go", o.Go, nil)
	slices.Sort(o.Ignored)
	equal(t, "Ignored", o.Ignored, []string{"sql/base/._1_a.sql", "sql/base/.sql", "sql/base/3.sql",
		"sql/base/4-b.sql", "sql/base/_2.sql", "sql/base/schema.sql", "sql/base/x_1.sql"})
}

func TestVersionNumberLimits(t *testing.T) {
	t.Parallel()
	const tooLow, tooHigh, none = -1, -2, 0
	for name, want := range map[string]int64{
		"1_x.sql":                    1,
		"+1_x.sql":                   1,
		"9223372036854775806_x.sql":  math.MaxInt64 - 1,
		"9223372036854775807_x.sql":  math.MaxInt64,
		"20261231235959_x.sql":       20261231235959,
		"1_.sql":                     1,
		"1__x.sql":                   1,
		"1_x_2_y.sql":                1,
		"9223372036854775808_x.sql":  tooHigh,
		"99999999999999999999_x.go":  tooHigh,
		"0_x.sql":                    tooLow,
		"0_x.SQL":                    tooLow,
		"0_x.go":                     tooLow,
		"000_x.up.sql":               tooLow,
		"00000_x.down.sql":           tooLow,
		"-0_x.sql":                   tooLow,
		"+0_x.sql":                   tooLow,
		"-1_x.sql":                   tooLow,
		"-9223372036854775808_x.sql": tooLow,
		"1e3_x.sql":                  none,
		"0x10_x.sql":                 none,
		" 1_x.sql":                   none,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := "sql/base/" + name
			o, err := New(tree(file), "sql", []string{"base"})
			var fault *VersionError
			switch {
			case want == tooLow || want == tooHigh:
				if !errors.As(err, &fault) || fault.Path != file || fault.TooLow != (want == tooLow) || !strings.Contains(err.Error(), file) {
					t.Errorf("%v", err)
				}
				equal(t, "files", slices.Concat(o.SQL, o.Go), nil)
			case err != nil:
				t.Error(err)
			case want == none:
				equal(t, "Ignored", o.Ignored, []string{file})
				equal(t, "SQL", o.SQL, nil)
			default:
				equal(t, "Ignored", o.Ignored, nil)
				equal(t, "SQL", o.SQL, []File{{Version: want, Environment: "base", Name: name, Path: file}})
			}
		})
	}
}

func TestSymlinks(t *testing.T) {
	t.Parallel()
	// As a Kubernetes ConfigMap is mounted: each file is a link into a folder that is itself a
	// link, which an update replaces.
	configMap := func(t *testing.T) string {
		dir := t.TempDir()
		write(t, dir, "sql/base/..2026_01_01/1_a.sql", "sql/base/..2026_01_01/2_b.sql")
		link(t, "..2026_01_01", dir, "sql/base/..data")
		link(t, "..data/1_a.sql", dir, "sql/base/1_a.sql")
		link(t, "..data/2_b.sql", dir, "sql/base/2_b.sql")
		return dir
	}
	t.Run("files of a ConfigMap", func(t *testing.T) {
		t.Parallel()
		o := mustNew(t, os.DirFS(configMap(t)), "sql", "base")
		equal(t, "SQL", paths(o.SQL), []string{"sql/base/1_a.sql", "sql/base/2_b.sql"})
		if err := fstest.TestFS(o, "1_a.sql", "2_b.sql"); err != nil {
			t.Error(err)
		}
	})
	t.Run("an environment folder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, dir, "sql/base/1_a.sql", "elsewhere/2_b.sql")
		link(t, "../elsewhere", dir, "sql/test")
		o := mustNew(t, os.DirFS(dir), "sql", "base", "test")
		equal(t, "SQL", paths(o.SQL), []string{"sql/base/1_a.sql", "sql/test/2_b.sql"})
		if err := fstest.TestFS(o, "1_a.sql", "2_b.sql"); err != nil {
			t.Error(err)
		}
	})
	t.Run("the base path", func(t *testing.T) {
		t.Parallel()
		dir := configMap(t)
		link(t, "sql", dir, "migrations")
		o := mustNew(t, os.DirFS(dir), "migrations", "base")
		equal(t, "SQL", paths(o.SQL), []string{"migrations/base/1_a.sql", "migrations/base/2_b.sql"})
	})
	t.Run("a folder that a misspelling hides", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, dir, "sql/base/1_a.sql", "elsewhere/2_b.sql")
		link(t, "../elsewhere", dir, "sql/production")
		_, err := New(os.DirFS(dir), "sql", []string{"base", "prodution"})
		var near *NearMissError
		if !errors.As(err, &near) || near.DidYouMean != "production" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a link to nowhere is no missing folder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, dir, "sql/base/1_a.sql")
		link(t, "../elsewhere", dir, "sql/production")
		o, err := New(os.DirFS(dir), "sql", []string{"base", "production"})
		if err == nil || !strings.Contains(err.Error(), `"production"`) || len(o.Missing) != 0 {
			t.Errorf("got %v, missing %v", err, o.Missing)
		}
	})
}

// write makes files that hold their own path.
func write(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("-- "+path.Base(f)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, target, dir, name string) {
	t.Helper()
	if err := os.Symlink(filepath.FromSlash(target), filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}
