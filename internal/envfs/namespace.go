package envfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// Namespaces are the folders of a base path that each have a sequence of their own.
type Namespaces struct {
	// Stray are the paths of files directly in the base path that look like migrations: they are in no namespace.
	Stray []string

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
	n.Stray = strays(clean, entries)
	return n, nil
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
	direct := slices.IndexFunc(entries, isMigration)
	if direct < 0 {
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
				dir, path.Join(dir, entries[direct].Name()), path.Join(dir, folder, below[i].Name()))
		}
		stray = append(stray, strays(path.Join(dir, folder), below)...)
	}
	o, err := New(n.fsys, dir, []string{""})
	o.Stray = stray
	return o, err
}

// missing is the overlay of a folder that can't be used.
func missing(fsys fs.FS, dir string) *Overlay { return newOverlay(fsys, map[string]string{"": dir}) }

// strays are the paths of those entries of dir that look like migrations, however they are named.
func strays(dir string, entries []fs.DirEntry) (paths []string) {
	for _, e := range entries {
		if isMigration(e) || !e.IsDir() && strings.EqualFold(path.Ext(e.Name()), ".sql") {
			paths = append(paths, path.Join(dir, e.Name()))
		}
	}
	return paths
}

// isMigration says whether goose would take the file.
func isMigration(e fs.DirEntry) bool {
	name := e.Name()
	ext := path.Ext(name)
	if e.IsDir() || ext != ".sql" && ext != ".go" || strings.HasSuffix(name, "_test.go") {
		return false
	}
	_, err := goose.NumericComponent(name)
	return err == nil
}
