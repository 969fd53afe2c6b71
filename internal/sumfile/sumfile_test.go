package sumfile

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

var postgres = sqltext.Quoting{Dollars: true}

func tree(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestCheck(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"sql/base/1_a.sql": "SELECT 1;", "sql/base/2_b.up.sql": "SELECT 2;", "sql/base/2_b.down.sql": "SELECT 3;",
		"sql/test/9_t.sql": "SELECT 9;", "sql/base/README.md": "no migration",
		"sql/base/x1_a.sql": "no migration", "sql/base/1_a.sql.orig": "no migration", "sql/base/8_d.sql/README.md": "a folder",
	}
	for _, tc := range []struct {
		situation string
		edit      func(fstest.MapFS)
		folders   []string
		want      []string
	}{
		{"nothing has changed", func(fstest.MapFS) {}, []string{"base", "test"}, nil},
		{"there is no such file", func(f fstest.MapFS) { delete(f, "sql/gooseplus.sum"); delete(f, "sql/base/1_a.sql") }, []string{"base"}, nil},
		{"a comment", func(f fstest.MapFS) { f["sql/base/1_a.sql"].Data = []byte("-- why\r\nSELECT 1;\r\n") }, []string{"base"}, nil},
		{"a change", func(f fstest.MapFS) { f["sql/base/1_a.sql"].Data = []byte("SELECT 11;") }, []string{"base"}, []string{"sql/base/1_a.sql was changed since sql/gooseplus.sum"}},
		{"half of a pair is missing", func(f fstest.MapFS) { delete(f, "sql/base/2_b.down.sql") }, []string{"base"}, []string{"sql/base/2_b.down.sql is missing"}},
		{"a new file", func(f fstest.MapFS) { f["sql/base/3_c.sql"] = &fstest.MapFile{} }, []string{"base"}, []string{"sql/base/3_c.sql is not listed"}},
		{"all of them", func(f fstest.MapFS) {
			f["sql/base/1_a.sql"].Data = []byte("SELECT 11;")
			delete(f, "sql/test/9_t.sql")
			f["sql/base/3_c.sql"] = &fstest.MapFile{}
		}, []string{"base", "test"}, []string{"1_a.sql was changed", "3_c.sql is not listed", "9_t.sql is missing"}},
		{"a folder that nobody asks for", func(f fstest.MapFS) { delete(f, "sql/test/9_t.sql") }, []string{"base"}, nil},
		{"a line that is gone", func(f fstest.MapFS) {
			text := string(f["sql/gooseplus.sum"].Data)
			at := strings.Index(text, "base/1_a.sql")
			f["sql/gooseplus.sum"].Data = []byte(text[:strings.LastIndexByte(text[:at], '\n')+1] + text[at+len("base/1_a.sql\n"):])
		}, []string{"base"}, []string{"last line doesn't belong"}},
		{"a conflict", func(f fstest.MapFS) {
			f["sql/gooseplus.sum"].Data = append([]byte("<<<<<<< HEAD\n"), f["sql/gooseplus.sum"].Data...)
		}, []string{"base"}, []string{"conflict of git"}},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			fsys := tree(files)
			sums, err := Scan(fsys, "sql", postgres)
			if err != nil || len(sums) != 4 {
				t.Fatal(sums, err)
			}
			fsys["sql/gooseplus.sum"] = &fstest.MapFile{Data: []byte(sums.String())}
			tc.edit(fsys)
			err = Check(fsys, "sql", tc.folders, postgres)
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(tc.want) {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
}

// TestScanOfNothing: what can't be read is no empty folder.
func TestScanOfNothing(t *testing.T) {
	t.Parallel()
	if sums, err := Scan(tree(nil), "sql", postgres); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, %v", sums, err)
	}
}

// TestMerge: git can't merge two branches that both add a migration without somebody who looks.
func TestMerge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) error {
		cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		t.Logf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		return err
	}
	add := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("SELECT '"+name+"';"), 0o644); err != nil {
			t.Fatal(err)
		}
		sums, err := Scan(os.DirFS(dir), ".", postgres)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, Name), []byte(sums.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"add", "-A"}, {"commit", "-qm", name}} {
			if err := git(args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := git("init", "-q"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1_a.sql", "2_b.sql", "5_e.sql", "9_z.sql"} {
		add(name)
	}
	for _, args := range [][]string{{"branch", "other"}} {
		if err := git(args...); err != nil {
			t.Fatal(err)
		}
	}
	add("3_c.sql") // far from the other branch's line
	if err := git("checkout", "-q", "other"); err != nil {
		t.Fatal(err)
	}
	add("7_g.sql")
	if git("merge", "-q", "main") == nil {
		t.Fatal("git has merged the two branches")
	}
	if err := Check(os.DirFS(dir), ".", []string{"."}, postgres); err == nil || !strings.Contains(err.Error(), "conflict of git") {
		t.Errorf("%v", err)
	}
}
