package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// A migration is the same SQL for every peer.
type migration struct {
	version  int
	name     string
	up, down []string // statements
	tables   int      // how many tables it creates
	// alone says that the statement can't be in a transaction.
	alone bool
}

// makeMigrations returns the first n of an endless sequence of small migrations: a table, a column, an index, some rows.
func makeMigrations(n int) []migration {
	list := make([]migration, 0, n)
	for i := range n {
		table := fmt.Sprintf("account_%04d", i/4)
		m := migration{version: i + 1}
		switch i % 4 {
		case 0:
			m.name, m.tables = "create_"+table, 1
			m.up = []string{
				"CREATE TABLE " + table + " (\n\tid bigint PRIMARY KEY,\n\temail text NOT NULL,\n\tcreated_at timestamptz NOT NULL DEFAULT now()\n)",
				"COMMENT ON TABLE " + table + " IS 'one row for each account'",
			}
			m.down = []string{"DROP TABLE " + table}
		case 1:
			m.name = "add_name_to_" + table
			m.up = []string{"ALTER TABLE " + table + " ADD COLUMN name text NOT NULL DEFAULT ''"}
			m.down = []string{"ALTER TABLE " + table + " DROP COLUMN name"}
		case 2:
			m.name = "index_email_of_" + table
			m.up = []string{"CREATE UNIQUE INDEX " + table + "_email ON " + table + " (email)"}
			m.down = []string{"DROP INDEX " + table + "_email"}
		case 3:
			m.name = "fill_" + table
			m.up = []string{"INSERT INTO " + table + " (id, email, name) VALUES\n\t(1, 'ada@example.com', 'Ada'),\n\t(2, 'bob@example.com', 'Bob')"}
			m.down = []string{"DELETE FROM " + table + " WHERE id IN (1, 2)"}
		}
		list = append(list, m)
	}
	return list
}

// files are migrations in one library's format, in memory, with the interfaces that an embed.FS has. fstest.MapFS is no
// substitute: it sorts all its names whenever a directory is opened.
type files struct {
	bodies map[string][]byte // by path
	dirs   map[string][]fs.DirEntry
	tables int // that the migrations create
}

// concurrently makes one of the migrations, the index of the third table, one that doesn't block writers.
func concurrently(list []migration) []migration {
	const third = 10
	m := &list[third]
	m.up[0] = strings.Replace(m.up[0], "CREATE UNIQUE INDEX ", "CREATE UNIQUE INDEX CONCURRENTLY ", 1)
	m.alone = true
	return list
}

// newFiles writes the migrations into dir.
func newFiles(list []migration, dir string, write func(migration) map[string]string) *files {
	f := &files{bodies: make(map[string][]byte), dirs: map[string][]fs.DirEntry{".": nil}}
	for _, m := range list {
		f.tables += m.tables
		for name, text := range write(m) {
			f.add(path.Join(dir, name), []byte(text))
		}
	}
	for d := dir; d != "."; d = path.Dir(d) {
		parent := path.Dir(d)
		f.dirs[parent] = append(f.dirs[parent], entry{name: path.Base(d), dir: true})
	}
	slices.SortFunc(f.dirs[dir], func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return f
}

func (f *files) add(name string, body []byte) {
	f.bodies[name] = body
	dir := path.Dir(name)
	f.dirs[dir] = append(f.dirs[dir], entry{name: path.Base(name), size: int64(len(body))})
}

// Open implements fs.FS.
func (f *files) Open(name string) (fs.File, error) {
	if body, ok := f.bodies[name]; ok {
		return &file{Reader: bytes.NewReader(body), entry: entry{name: path.Base(name), size: int64(len(body))}}, nil
	}
	if list, ok := f.dirs[name]; ok {
		return &dir{entry: entry{name: path.Base(name), dir: true}, list: list}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements fs.ReadDirFS.
func (f *files) ReadDir(name string) ([]fs.DirEntry, error) {
	list, ok := f.dirs[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return slices.Clone(list), nil
}

// ReadFile implements fs.ReadFileFS.
func (f *files) ReadFile(name string) ([]byte, error) {
	body, ok := f.bodies[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return bytes.Clone(body), nil
}

type entry struct {
	name string
	size int64
	dir  bool
}

func (e entry) Name() string               { return e.name }
func (e entry) Size() int64                { return e.size }
func (e entry) IsDir() bool                { return e.dir }
func (e entry) ModTime() time.Time         { return time.Time{} }
func (e entry) Sys() any                   { return nil }
func (e entry) Type() fs.FileMode          { return e.Mode().Type() }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }

func (e entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type file struct {
	*bytes.Reader
	entry
}

func (f *file) Size() int64                { return f.entry.size }
func (f *file) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *file) Close() error               { return nil }

type dir struct {
	entry
	list []fs.DirEntry
	read int
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.entry, nil }
func (d *dir) Close() error               { return nil }

func (d *dir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.list[d.read:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	d.read += len(rest)
	return slices.Clone(rest), nil
}
