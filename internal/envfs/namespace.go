package envfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Namespaces are the folders of a base path that each have a sequence of their own.
type Namespaces struct {
	// Direct are the migrations directly in the base path, and Stray the paths of badly named ones: they are in no
	// namespace.
	Direct []File
	Stray  []string

	fsys    fs.FS
	base    string
	names   []string
	folders []string
}

// OpenNamespaces lists the base path in which the namespaces of these names are. That it isn't there is
// no error: what is missing then is each of the folders.
func OpenNamespaces(fsys fs.FS, base string, names []string) (*Namespaces, error) {
	n := &Namespaces{fsys: fsys, base: base, names: names}
	clean, err := cleanBase(base)
	if err != nil {
		return n, err
	}
	n.base = clean
	entries, err := fs.ReadDir(fsys, clean)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return n, &BaseError{Path: clean, Err: err}
	}
	n.folders = folders(fsys, clean, entries)
	n.Direct, n.Stray = direct(clean, entries)
	return n, nil
}

// Elsewhere returns the paths of migrations that are in a folder of the base path that is none of a namespace: the
// first of each folder, or of each folder of it.
func (n *Namespaces) Elsewhere() []string {
	o := Overlay{fsys: n.fsys, Base: n.base}
	for _, name := range n.folders {
		if !slices.Contains(n.names, name) {
			o.Siblings = append(o.Siblings, name)
		}
	}
	return o.Inside()
}

// MissingError says that a namespace has no folder.
type MissingError struct {
	Path       string
	DidYouMean string // a folder of nearly the name, which is no namespace; "" if there is none
}

func (e *MissingError) Error() string {
	text := fmt.Sprintf("there is no folder %s", e.Path)
	if e.DidYouMean != "" {
		text += fmt.Sprintf(": did you mean %q?", e.DidYouMean)
	}
	return text
}

// Unwrap makes it an fs.ErrNotExist unless there is a folder of nearly the name.
func (e *MissingError) Unwrap() error {
	if e.DidYouMean != "" {
		return nil
	}
	return fs.ErrNotExist
}

// Folder is the path of a namespace's folder.
func (n *Namespaces) Folder(name string) string { return path.Join(n.base, name) }

// Overlay is [New] for the folder of one namespace, which has either migrations or folders of environments.
// One that has migrations directly in it is all of it, whatever the environments; with such folders
// beside them it would not be clear which of the two are meant, and that is a fault.
func (n *Namespaces) Overlay(name string, environments []string) (*Overlay, error) {
	dir := n.Folder(name)
	if !slices.Contains(n.folders, name) {
		near := nearMiss(name, n.folders, n.names)
		return missing(n.fsys, dir), &MissingError{Path: dir, DidYouMean: near}
	}
	if slices.Contains(environments, "") {
		return New(n.fsys, dir, environments) // as they say themselves
	}
	entries, err := fs.ReadDir(n.fsys, dir)
	if err != nil {
		return missing(n.fsys, dir), err
	}
	inside := folders(n.fsys, dir, entries)
	first := slices.IndexFunc(entries, isMigration)
	if first < 0 {
		if len(inside) == 0 {
			environments = []string{""}
		}
		return New(n.fsys, dir, environments)
	}
	var stray []string
	for _, folder := range inside {
		below, err := fs.ReadDir(n.fsys, path.Join(dir, folder))
		if i := slices.IndexFunc(below, isMigration); err == nil && i >= 0 {
			return missing(n.fsys, dir), fmt.Errorf("there are migrations both directly in %s and in a folder of it, %s and %s: "+
				"move them all into folders of environments, or none",
				dir, path.Join(dir, entries[first].Name()), path.Join(dir, folder, below[i].Name()))
		}
		_, bad := direct(path.Join(dir, folder), below)
		stray = append(stray, bad...)
	}
	o, err := New(n.fsys, dir, []string{""})
	o.Stray = stray
	return o, err
}

// missing is the overlay of a folder that can't be used.
func missing(fsys fs.FS, dir string) *Overlay { return newOverlay(fsys, map[string]string{"": dir}) }

// direct returns the entries of dir that are migrations, and the paths of those that look like one and are badly named.
func direct(dir string, entries []fs.DirEntry) (files []File, bad []string) {
	for _, e := range entries {
		switch name := e.Name(); {
		case isMigration(e):
			suffix, _ := half(name)
			v, _ := version(name, suffix)
			files = append(files, File{Version: v, Name: name, Path: path.Join(dir, name)})
		case !e.IsDir() && strings.EqualFold(path.Ext(name), ".sql"):
			bad = append(bad, path.Join(dir, name))
		}
	}
	return files, bad
}

// isMigration says whether a file would be read as a migration, or refused as one, if it were in the right folder.
func isMigration(e fs.DirEntry) bool {
	name := e.Name()
	if ext := path.Ext(name); e.IsDir() || !strings.EqualFold(ext, ".sql") && ext != ".go" || strings.HasSuffix(name, "_test.go") {
		return false
	}
	if number, _ := misnumbered(name); number != "" {
		return true
	}
	suffix, _ := half(name)
	_, ok := version(name, suffix)
	return ok
}
