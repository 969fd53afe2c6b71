package envfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// File is a migration file of one of the folders.
type File struct {
	Version     int64
	Environment string
	Name        string // in the overlay
	Path        string // in the file system that was overlaid; the path of the up file if the migration is a pair
	Down        string // the path of a pair's down file, "" if it has none

	kind kind
}

// kind is what the name of a file makes it.
type kind int

const (
	gooseFile kind = iota
	goFile
	upHalf
	downHalf
	checkpoint
	misnumbered // a migration's name with a version that can't be
	badlyNamed  // an SQL file that goose skips
	other
)

// classify reads a name as goose does, and as golang-migrate does for the halves of a pair: golang-migrate ignores
// whatever follows .up or .down.
func classify(name string) (version int64, k kind) {
	ext := path.Ext(name)
	bad := other
	switch {
	case ext == ".sql" || strings.EqualFold(ext, ".sql"):
		bad = badlyNamed
	case ext != ".go" || strings.HasSuffix(name, "_test.go"):
		return 0, other
	}
	number, rest, found := strings.Cut(name, "_")
	if !found {
		return 0, bad
	}
	version, err := strconv.ParseInt(number, 10, 64)
	if errors.Is(err, strconv.ErrSyntax) || err != nil && strings.Trim(number[1:], "0123456789") != "" {
		return 0, bad // ParseInt reports a range error without a look at the rest
	}
	switch {
	case err != nil || version < 1:
		return version, misnumbered
	case ext == ".go":
		return version, goFile
	case ext == ".sql" && strings.IndexByte(name, '.') == len(name)-len(ext): // as most names
		return version, gooseFile
	case ext == ".sql" && len(name) > len(checkpointEnd) && strings.EqualFold(name[len(name)-len(checkpointEnd):], checkpointEnd):
		return version, checkpoint
	case number[0] != '+':
		if up, down := strings.LastIndex(rest, ".up."), strings.LastIndex(rest, ".down."); up > down {
			return version, upHalf
		} else if down >= 0 {
			return version, downHalf
		}
	}
	// A half with other letters, as .UP, is none for golang-migrate. As a goose file it would be half a migration.
	half := path.Ext(strings.TrimRight(name[:len(name)-len(ext)], "."))
	if ext != ".sql" || strings.EqualFold(half, ".up") || strings.EqualFold(half, ".down") {
		return 0, bad
	}
	return version, gooseFile
}

// checkpointEnd is the end of a checkpoint's name.
const checkpointEnd = ".checkpoint.sql"

// IsCheckpoint says whether a file's name ends as that of a checkpoint.
func IsCheckpoint(name string) bool { return strings.HasSuffix(strings.ToLower(name), checkpointEnd) }

// stem is the name of one half of a pair without its end.
func stem(name string) string {
	return name[:max(strings.LastIndex(name, ".up."), strings.LastIndex(name, ".down."))]
}

// Base is a base path with what is directly in it.
type Base struct {
	Path     string
	Siblings []string // the folders, and the links to folders
	Direct   []File   // the migrations, misnumbered ones included
	Bad      []string // the paths of badly named SQL files

	fsys  fs.FS
	links []fs.DirEntry // folders and links
}

// BaseError says that the base path can't be read, so that no environment can.
type BaseError struct {
	Path string
	Err  error
}

func (e *BaseError) Error() string { return fmt.Sprintf("base path %q: %v", e.Path, e.Err) }
func (e *BaseError) Unwrap() error { return e.Err }

// Open lists a base path. The Base is usable even with an error: it has no folders then.
func Open(fsys fs.FS, base string) (*Base, error) {
	clean := path.Clean(strings.ReplaceAll(base, `\`, "/"))
	if !fs.ValidPath(clean) {
		return &Base{fsys: fsys, Path: clean}, &BaseError{Path: base, Err: errors.New(
			"must be relative to the file system and inside it (see io/fs.ValidPath)")}
	}
	b, err := list(fsys, clean)
	if err != nil {
		return b, &BaseError{Path: clean, Err: err}
	}
	b.Siblings = b.folders()
	return b, nil
}

// list is [Open] without the Siblings.
func list(fsys fs.FS, dir string) (b *Base, err error) {
	b = &Base{fsys: fsys, Path: dir}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return b, err
	}
	prefix := dir + "/"
	if dir == "." {
		prefix = ""
	}
	var paths strings.Builder // one allocation for the paths of all files
	paths.Grow(len(entries) * (len(prefix) + 40))
	for i, e := range entries {
		if e.Type()&(fs.ModeDir|fs.ModeSymlink) != 0 {
			b.links = append(b.links, e)
		}
		name := e.Name()
		version, k := classify(name)
		if k == other || e.IsDir() {
			continue
		}
		at := paths.Len()
		paths.WriteString(prefix)
		paths.WriteString(name)
		file := paths.String()[at:]
		if k == badlyNamed {
			b.Bad = append(b.Bad, file)
			continue
		}
		if b.Direct == nil {
			b.Direct = make([]File, 0, len(entries)-i)
		}
		b.Direct = append(b.Direct, File{Version: version, Name: name, Path: file, kind: k})
	}
	return b, nil
}

func (b *Base) folders() (names []string) {
	for _, e := range b.links {
		folder := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := fs.Stat(b.fsys, path.Join(b.Path, e.Name()))
			folder = err == nil && info.IsDir()
		}
		if folder {
			names = append(names, e.Name())
		}
	}
	return names
}

// Folder is the path of a folder in the base path.
func (b *Base) Folder(name string) string { return path.Join(b.Path, name) }

// Inside returns the path of the first migration in each folder of the base path except some. In a folder without a
// migration it looks into the folders of that folder. It skips folders that it can't read.
func (b *Base) Inside(except []string) (paths []string) {
	var look func(in *Base, names []string, deeper bool)
	look = func(in *Base, names []string, deeper bool) {
		for _, name := range names {
			found, _ := list(b.fsys, in.Folder(name))
			if len(found.Direct) > 0 {
				paths = append(paths, found.Direct[0].Path)
			} else if deeper {
				look(found, found.folders(), false)
			}
		}
	}
	look(b, slices.DeleteFunc(slices.Clone(b.Siblings), func(name string) bool { return slices.Contains(except, name) }), true)
	return paths
}

// Beside returns the names of the folders beside the base path.
func (b *Base) Beside() []string {
	if b.Path == "." {
		return nil
	}
	parent, _ := list(b.fsys, path.Dir(b.Path))
	return slices.DeleteFunc(parent.folders(), func(name string) bool { return name == path.Base(b.Path) })
}

// MissingError says that a namespace has no folder.
type MissingError struct {
	Path       string
	DidYouMean string // a folder with a similar name that belongs to no namespace, "" if there is none
}

func (e *MissingError) Error() string {
	text := fmt.Sprintf("there is no folder %s", e.Path)
	if e.DidYouMean != "" {
		text += fmt.Sprintf(": did you mean %q?", e.DidYouMean)
	}
	return text
}

// Unwrap makes it an fs.ErrNotExist unless there is a folder with a similar name.
func (e *MissingError) Unwrap() error {
	if e.DidYouMean != "" {
		return nil
	}
	return fs.ErrNotExist
}

// Namespace is [Base.Overlay] for the folder of one of several namespaces, which has either migrations or folders of
// environments. Migrations directly in the folder are the whole namespace, whatever the environments. Migrations in both
// places are a fault, because nobody knows which of them are meant.
func (b *Base) Namespace(name string, names, environments []string) (*Overlay, error) {
	dir := b.Folder(name)
	missing := newOverlay(&Base{fsys: b.fsys})
	missing.Folders[""] = dir
	if !slices.Contains(b.Siblings, name) {
		return missing, &MissingError{Path: dir, DidYouMean: nearMiss(name, b.Siblings, names)}
	}
	own, err := Open(b.fsys, dir)
	if err != nil {
		return missing, err
	}
	if slices.Contains(environments, "") || len(own.Direct) == 0 && len(own.Siblings) > 0 {
		return own.Overlay(environments)
	}
	var stray []string
	for _, folder := range own.Siblings {
		inside, _ := list(b.fsys, own.Folder(folder))
		if len(inside.Direct) > 0 {
			return missing, fmt.Errorf("there are migrations both directly in %s and in a folder of it, %s and %s: "+
				"move them all into folders of environments, or none", dir, own.Direct[0].Path, inside.Direct[0].Path)
		}
		stray = append(stray, inside.Bad...)
	}
	o, err := own.Overlay([]string{""})
	o.Stray = stray
	return o, err
}
