package envfs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

func TestOverlayIsAFileSystem(t *testing.T) {
	t.Parallel()
	sub, err := fs.Sub(embedded, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	inMemory := make(fstest.MapFS)
	for _, name := range []string{"base/1_users.sql", "base/3_orders.sql", "test/2_users.sql", "base/notes.md"} {
		data, err := fs.ReadFile(sub, "sql/"+name)
		if err != nil {
			t.Fatal(err)
		}
		inMemory["sql/"+name] = &fstest.MapFile{Data: data, Mode: 0o444}
	}
	for name, fsys := range map[string]fs.FS{
		"embedded":  sub,
		"on disk":   os.DirFS("testdata"),
		"in memory": inMemory,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := mustNew(t, fsys, "sql", "base", "test")
			if err := fstest.TestFS(o, "1_users.sql", "2_users.sql", "3_orders.sql"); err != nil {
				t.Error(err)
			}
			entries, err := fs.ReadDir(o, ".")
			if err != nil || len(entries) != 3 {
				t.Fatalf("got %v, %v, want the three SQL files", entries, err)
			}
			for _, f := range o.SQL {
				sameContent(t, o, fsys, f)
			}
		})
	}
}

func TestEmptyOverlayIsAFileSystem(t *testing.T) {
	t.Parallel()
	o := mustNew(t, tree("sql/base/notes.md"), "sql", "base")
	if err := fstest.TestFS(o); err != nil {
		t.Error(err)
	}
}

func sameContent(t *testing.T, o *Overlay, source fs.FS, f File) {
	t.Helper()
	got, err := fs.ReadFile(o, f.Name)
	if err != nil {
		t.Errorf("%s: %v", f.Name, err)
	}
	want, err := fs.ReadFile(source, f.Path)
	if err != nil {
		t.Errorf("%s: %v", f.Path, err)
	}
	if string(got) != string(want) {
		t.Errorf("%s holds %q, %s holds %q", f.Name, got, f.Path, want)
	}
}

func TestWhatIsNotInTheOverlay(t *testing.T) {
	t.Parallel()
	o := mustNew(t, tree("sql/base/1_a.sql", "sql/base/2_b.go", "sql/base/notes.sql", "sql/test/3_c.sql"), "sql", "base")
	for _, name := range []string{"2_b.go", "notes.sql", "3_c.sql", "sql", "sql/base/1_a.sql", "base", "1_a.sql/x"} {
		if _, err := o.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q): got %v, want ErrNotExist", name, err)
		}
		if _, err := o.ReadDir(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadDir(%q): got %v, want ErrNotExist", name, err)
		}
	}
	for _, name := range []string{"", "/", "./1_a.sql", "../1_a.sql"} {
		if _, err := o.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Open(%q): got %v, want ErrInvalid", name, err)
		}
	}
}

func TestRootIsReadInPieces(t *testing.T) {
	t.Parallel()
	o := mustNew(t, tree("sql/1_a.sql", "sql/2_b.sql", "sql/3_c.sql"), "sql", "")
	f, err := o.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := f.(fs.ReadDirFile)
	for _, want := range []struct {
		n   int
		err error
	}{{2, nil}, {1, nil}, {0, io.EOF}} {
		entries, err := dir.ReadDir(2)
		if len(entries) != want.n || err != want.err {
			t.Errorf("ReadDir(2): got %d entries and %v, want %d and %v", len(entries), err, want.n, want.err)
		}
	}
	if entries, err := dir.ReadDir(-1); len(entries) != 0 || err != nil {
		t.Errorf("ReadDir(-1) at the end: got %v, %v", entries, err)
	}
	if _, err := f.Read(make([]byte, 1)); err == nil {
		t.Error("a directory was read as a file")
	}
}

// opens writes down what is opened.
type opens struct {
	fs.FS
	mu    sync.Mutex
	names map[string]int // guarded by mu
}

func (o *opens) Open(name string) (fs.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names[name]++
	return o.FS.Open(name)
}

// files are the names that were opened and are no directories.
func (o *opens) files(t *testing.T) (names []string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for name := range o.names {
		info, err := fs.Stat(o.FS, name)
		if err != nil {
			t.Error(err)
		} else if !info.IsDir() {
			names = append(names, name)
		}
	}
	return names
}

func TestListingOpensNoFile(t *testing.T) {
	t.Parallel()
	for name, fsys := range map[string]fs.FS{
		"on disk":   os.DirFS("testdata"),
		"in memory": tree("sql/base/1_a.sql", "sql/base/2_b.go", "sql/test/3_c.sql", "sql/base/notes.sql", "sql/x"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &opens{FS: fsys, names: make(map[string]int)}
			o := mustNew(t, counted, "sql", "base", "test")
			if files := counted.files(t); len(files) > 0 {
				t.Errorf("New opened %v", files)
			}
			if _, err := sources(t, o); err != nil {
				t.Fatal(err)
			}
			if files := counted.files(t); len(files) > 0 {
				t.Errorf("goose's listing opened %v", files)
			}
			if _, err := fs.ReadFile(o, path.Base(o.SQL[0].Path)); err != nil {
				t.Error(err)
			}
			equal(t, "opened by a read", counted.files(t), []string{o.SQL[0].Path})
		})
	}
}

// sources are the migrations that goose finds in fsys.
func sources(t testing.TB, fsys fs.FS) ([]*goose.Source, error) {
	db := sql.OpenDB(unused{})
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, fsys, goose.WithDisableGlobalRegistry(true))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return p.ListSources(), nil
}

// unused is a database that nobody connects to.
type unused struct{}

func (unused) Connect(context.Context) (driver.Conn, error) { return nil, driver.ErrBadConn }
func (unused) Driver() driver.Driver                        { return nil }

// panicking is a file system that panics when a file is read.
type panicking struct{ fstest.MapFS }

func (p panicking) ReadFile(string) ([]byte, error) { panic("no disk") }

// TestPanicOfFS: a panic of the application's file system is an error, because goose reads files on goroutines of its own.
func TestPanicOfFS(t *testing.T) {
	_, err := readText(panicking{}, "1_a.sql")
	if err == nil || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("error %v", err)
	}
}
