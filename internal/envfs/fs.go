package envfs

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

var (
	_ fs.FS        = (*Overlay)(nil)
	_ fs.ReadDirFS = (*Overlay)(nil)
)

// Open implements fs.FS: "." is the only directory, and holds the SQL files of all folders.
func (o *Overlay) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		entries, err := o.ReadDir(name)
		return &node{Reader: new(bytes.Reader), name: name, overlay: o, entries: entries}, err
	}
	f, ok := o.byName()[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	content, err := o.read(f)
	if err != nil {
		return nil, err
	}
	return &node{Reader: bytes.NewReader(content), name: name}, nil
}

// read returns what goose is to see of a file.
func (o *Overlay) read(f File) ([]byte, error) {
	if f.Path == "" {
		return o.made[f.Version]()
	}
	if f.kind == upHalf {
		return o.readPair(f)
	}
	content, err := readText(o.fsys, f.Path)
	if err != nil {
		return nil, err
	}
	if line := tooLong(content); line > 0 {
		return nil, fmt.Errorf("line %d is longer than the 4 MiB that goose reads: break it, or make the file the .up.sql and .down.sql of a pair", line)
	}
	content, err = marked(content)
	return []byte(content), err
}

const bom = "\ufeff"

// readText reads a file. An editor may have put a byte order mark at its beginning. goose reads files on goroutines of its own,
// where a panic of the application's file system would end the process.
func readText(fsys fs.FS, path string) (_ string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: panic of the file system: %v", path, p)
		}
	}()
	content, err := fs.ReadFile(fsys, path)
	if err != nil {
		return "", err
	}
	text := string(content)
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", fmt.Errorf("%s is encoded in UTF-16: save it as UTF-8", path)
	}
	return strings.TrimPrefix(text, bom), nil
}

// Line returns the file and the line of a statement of a version, see [sqltext.Line]. A statement that goose could not parse
// may be anywhere in the file. The line is 0 if it can't be found.
func (o *Overlay) Line(version int64, statement string, down, parsed bool, position int, which sqltext.Occurrence) (path string, line int) {
	i, found := slices.BinarySearchFunc(o.SQL, version, func(f File, v int64) int { return cmp.Compare(f.Version, v) })
	if !found || statement == "" {
		return "", 0
	}
	path = o.SQL[i].Path
	if pair := o.SQL[i].Down; pair != "" && down {
		path, down = pair, false
	}
	text, err := readText(o.fsys, path)
	switch {
	case err != nil: // the file has changed since
		return "", 0
	case parsed:
		return path, sqltext.Line(text, statement, down, position, which)
	}
	return path, sqltext.LineAnywhere(text, statement)
}

// ReadDir implements fs.ReadDirFS. It opens no file.
func (o *Overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var entries []fs.DirEntry
	for name := range o.byName() {
		entries = append(entries, &node{Reader: new(bytes.Reader), name: name, overlay: o})
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// node is an open file, its description and its entry in the directory; or all of this of the directory ".". It has no
// time: a pair has two, and a text none.
type node struct {
	*bytes.Reader
	name    string
	overlay *Overlay      // nil for an open file
	entries []fs.DirEntry // of the directory, those that were not read yet
}

var _ fs.ReadDirFile = (*node)(nil)

func (n *node) Name() string               { return n.name }
func (n *node) IsDir() bool                { return n.name == "." }
func (n *node) Type() fs.FileMode          { return n.Mode().Type() }
func (n *node) ModTime() time.Time         { return time.Time{} }
func (n *node) Sys() any                   { return nil }
func (n *node) Stat() (fs.FileInfo, error) { return n, nil }
func (n *node) Close() error               { return nil }
func (n *node) String() string             { return fs.FormatDirEntry(n) }

func (n *node) Mode() fs.FileMode {
	if n.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// Info reads the file: only then its size is known.
func (n *node) Info() (fs.FileInfo, error) { return fs.Stat(n.overlay, n.name) }

func (n *node) Read(b []byte) (int, error) {
	if n.IsDir() {
		return 0, &fs.PathError{Op: "read", Path: n.name, Err: fs.ErrInvalid}
	}
	return n.Reader.Read(b)
}

func (n *node) ReadDir(count int) ([]fs.DirEntry, error) {
	if !n.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: n.name, Err: fs.ErrInvalid}
	}
	read := n.entries
	if count > 0 {
		if len(read) == 0 {
			return nil, io.EOF
		}
		read = read[:min(count, len(read))]
	}
	n.entries = n.entries[len(read):]
	return slices.Clone(read), nil
}
