package envfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"
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
		return &root{entries: entries}, err
	}
	f, ok := o.byName()[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	content, err := o.read(f)
	if err != nil {
		return nil, err
	}
	return &file{name: name, Reader: bytes.NewReader(content)}, nil
}

// read returns what goose is to see of a file.
func (o *Overlay) read(f File) ([]byte, error) {
	if text, ok := o.texts[f.Name]; ok {
		return text, nil
	}
	if replay, ok := o.replays[f.Name]; ok {
		return replay()
	}
	if f.paired {
		return o.readPair(f)
	}
	content, err := readText(o.fsys, f.Path)
	if err != nil {
		return nil, err
	}
	if line := tooLong(string(content)); line > 0 {
		return nil, fmt.Errorf("line %d is longer than the 4 MiB that goose reads: break it, or make the file the .up.sql and .down.sql of a pair", line)
	}
	return marked(content)
}

const bom = "\ufeff"

// readText reads a file that somebody's editor may have begun with a byte order mark.
func readText(fsys fs.FS, path string) ([]byte, error) {
	content, err := fs.ReadFile(fsys, path)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("%s is encoded in UTF-16: save it as UTF-8", path)
	}
	return bytes.TrimPrefix(content, []byte(bom)), nil
}

// Line is the number of the line in a goose file on which, within a statement that is in it, the given offset is; 0 if
// it can't be found. Of a Down the second part of the file is searched first.
func (o *Overlay) Line(path, statement string, offset int, down bool) int {
	content, err := readText(o.fsys, path)
	if err != nil {
		return 0
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	begin := 0
	if loc := downLine.FindStringIndex(text); down && loc != nil {
		begin = loc[0]
	}
	at := strings.Index(text[begin:], statement)
	if at < 0 {
		return 0
	}
	return 1 + strings.Count(text[:begin+at+offset], "\n")
}

var downLine = regexp.MustCompile(`(?im)^--\s*\+goose\s+down\s*$`)

// ReadDir implements fs.ReadDirFS. It opens no file.
func (o *Overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	files := o.byName()
	entries := make([]fs.DirEntry, 0, len(files))
	for _, f := range files {
		entries = append(entries, entry{f, o})
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

type entry struct {
	File
	overlay *Overlay
}

func (e entry) Name() string      { return e.File.Name }
func (e entry) IsDir() bool       { return false }
func (e entry) Type() fs.FileMode { return 0 }
func (e entry) String() string    { return fs.FormatDirEntry(e) }

// Info reads the file: the size of a pair is that of what it is joined to.
func (e entry) Info() (fs.FileInfo, error) { return fs.Stat(e.overlay, e.File.Name) }

// file is an open file of the overlay. It has no time: a pair has two, and a text none.
type file struct {
	*bytes.Reader
	name string
}

func (f *file) Stat() (fs.FileInfo, error) { return fileInfo{f.name, f.Reader.Size()}, nil }
func (f *file) Close() error               { return nil }

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string     { return i.name }
func (i fileInfo) Size() int64      { return i.size }
func (fileInfo) Mode() fs.FileMode  { return 0o444 }
func (fileInfo) ModTime() time.Time { return time.Time{} }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }

// root is the open directory ".".
type root struct {
	entries []fs.DirEntry
	read    int
}

var _ fs.ReadDirFile = (*root)(nil)

func (r *root) Stat() (fs.FileInfo, error) { return rootInfo{}, nil }
func (r *root) Close() error               { return nil }

func (r *root) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: fs.ErrInvalid}
}

func (r *root) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := r.entries[r.read:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	r.read += len(rest)
	return slices.Clone(rest), nil
}

type rootInfo struct{}

func (rootInfo) Name() string       { return "." }
func (rootInfo) Size() int64        { return 0 }
func (rootInfo) Mode() fs.FileMode  { return fs.ModeDir | 0o555 }
func (rootInfo) ModTime() time.Time { return time.Time{} }
func (rootInfo) IsDir() bool        { return true }
func (rootInfo) Sys() any           { return nil }
