// Package envfs lays the migration folders of several environments over each other.
//
// The result is one read-only, flat fs.FS with the SQL files of every folder, which is the shape
// that goose reads, together with what each file is and where it comes from. A pair of files,
// NUMBER_name.up.sql and NUMBER_name.down.sql, is one goose file there, joined when it is opened.
package envfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
)

// File is a migration file of one of the folders.
type File struct {
	Version     int64
	Environment string
	Name        string // its name in the overlay
	Path        string // its path in the file system that was overlaid; of a pair, that of the up file
	Down        string // the path of a pair's down file, "" if it has none

	paired bool // it is a pair, or its up half alone
}

// Overlay is the result of [New]. It doesn't change.
type Overlay struct {
	// SQL and Go are sorted by version, which is unique within each.
	SQL, Go []File
	// Ignored are the paths of files that goose would skip although they end in .sql, or .SQL.
	Ignored []string
	// Stray are the paths of files that look like migrations and are where none are read from: beside the
	// folders of the environments, and the first one of each folder inside these.
	Stray []string
	// Missing are the environments that have no folder.
	Missing []string

	unpaired []File   // down files that have no up file
	others   []string // the folders of the base path that nobody asked for

	// Folders has the path of each environment that was asked for, present or not.
	Folders map[string]string

	fsys  fs.FS
	texts map[string][]byte // goose files that are in no file system
	// byName has the SQL files. It is made when the first is opened: a boot with nothing pending
	// opens none.
	byName func() map[string]File
}

// DuplicateError says that two files claim one version.
type DuplicateError struct {
	Version int64
	Paths   [2]string
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("version %d is claimed by both %s and %s", e.Version, e.Paths[0], e.Paths[1])
}

// BaseError says that the base path can't be read, so that no environment can.
type BaseError struct {
	Path string
	Err  error
}

func (e *BaseError) Error() string { return fmt.Sprintf("base path %q: %v", e.Path, e.Err) }
func (e *BaseError) Unwrap() error { return e.Err }

// New overlays the folders base/environment of fsys. An empty environment stands for base itself.
// An environment without a folder is noted in Missing, unless its name is nearly that of a folder
// that is there and that nobody asked for. All faults are in the error, joined.
func New(fsys fs.FS, base string, environments []string) (*Overlay, error) {
	o := newOverlay(fsys, make(map[string]string))
	base, err := cleanBase(base)
	if err != nil {
		return o, err
	}
	inBase, err := fs.ReadDir(fsys, base)
	if err != nil {
		return o, &BaseError{Path: base, Err: err}
	}
	siblings := folders(fsys, base, inBase)
	if !slices.Contains(environments, "") {
		o.Stray = strays(base, inBase)
	}
	for _, name := range siblings {
		if !slices.Contains(environments, name) {
			o.others = append(o.others, path.Join(base, name))
		}
	}
	var faults []error
	for _, environment := range unique(environments) {
		if environment != "" && (!fs.ValidPath(environment) || environment == ".") {
			faults = append(faults, fmt.Errorf("environment %q: not the name of a folder", environment))
			continue
		}
		dir := path.Join(base, environment)
		o.Folders[environment] = dir
		entries, err := fs.ReadDir(fsys, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !lists(inBase, environment): // a link to nowhere is no missing folder
			if near := nearMiss(environment, siblings, environments); near != "" {
				faults = append(faults, &NearMissError{Environment: environment, DidYouMean: near, Base: base})
				continue
			}
			o.Missing = append(o.Missing, environment)
		case err != nil:
			faults = append(faults, fmt.Errorf("environment %q: %w", environment, err))
		default:
			o.add(environment, dir, entries)
			if environment != "" {
				o.lookInto(base, dir, entries, environments)
			}
		}
	}
	sortByVersion(o.SQL)
	sortByVersion(o.Go)
	faults = append(faults, o.duplicates()...)
	for _, down := range o.unpaired {
		faults = append(faults, o.whyUnpaired(down))
	}
	return o, errors.Join(faults...)
}

func newOverlay(fsys fs.FS, folders map[string]string) *Overlay {
	o := &Overlay{fsys: fsys, Folders: folders}
	o.byName = sync.OnceValue(o.index)
	return o
}

func cleanBase(base string) (string, error) {
	clean := path.Clean(strings.ReplaceAll(base, `\`, "/"))
	if !fs.ValidPath(clean) {
		return clean, &BaseError{Path: base, Err: errors.New(
			"must be relative to the file system and inside it (see io/fs.ValidPath)")}
	}
	return clean, nil
}

// folders names the directories among the entries of base, and the links to directories.
func folders(fsys fs.FS, base string, entries []fs.DirEntry) []string {
	var names []string
	for _, e := range entries {
		folder := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := fs.Stat(fsys, path.Join(base, e.Name()))
			folder = err == nil && info.IsDir()
		}
		if folder {
			names = append(names, e.Name())
		}
	}
	return names
}

func lists(entries []fs.DirEntry, name string) bool {
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
}

func (o *Overlay) add(environment, dir string, entries []fs.DirEntry) {
	prefix := dir + "/"
	if dir == "." {
		prefix = ""
	}
	first := len(o.SQL)
	downs := make(map[string]File)
	for i, e := range entries {
		name := e.Name()
		ext := path.Ext(name)
		if e.IsDir() || !strings.EqualFold(ext, ".sql") && ext != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		version, err := goose.NumericComponent(name)
		if err != nil && ext == ".go" {
			continue // a helper beside Go migrations, as in goose
		}
		if err != nil || ext != ".sql" && ext != ".go" {
			o.Ignored = append(o.Ignored, prefix+name)
			continue
		}
		f := File{Version: version, Environment: environment, Name: name, Path: prefix + name}
		if ext == ".go" {
			o.Go = append(o.Go, f)
			continue
		}
		stem, suffix, near := half(name)
		if near {
			o.Ignored = append(o.Ignored, f.Path)
			continue
		}
		if suffix == ".down" {
			downs[stem] = f
			continue
		}
		f.paired = suffix == ".up"
		if cap(o.SQL) == len(o.SQL) {
			o.SQL = slices.Grow(o.SQL, len(entries)-i)
		}
		o.SQL = append(o.SQL, f)
	}
	if len(downs) > 0 {
		o.unpaired = append(o.unpaired, pair(o.SQL[first:], downs)...)
	}
}

// lookInto notes which folders inside that of an environment have migrations, which goose doesn't read either. What has
// no version is what a migration in Go reads, perhaps.
func (o *Overlay) lookInto(base, dir string, entries []fs.DirEntry, environments []string) {
	for _, folder := range entries {
		inside := path.Join(dir, folder.Name())
		asked := func(environment string) bool { return path.Join(base, environment) == inside }
		if !folder.IsDir() || slices.ContainsFunc(environments, asked) {
			continue
		}
		below, err := fs.ReadDir(o.fsys, inside)
		if err != nil {
			continue // nothing in it is read
		}
		if i := slices.IndexFunc(below, isMigration); i >= 0 {
			o.Stray = append(o.Stray, path.Join(inside, below[i].Name()))
		}
	}
}

// Elsewhere returns the versions of the files in folders of the base path that nobody asked for, in no
// order, as far as they can be listed.
func (o *Overlay) Elsewhere() (versions []int64) {
	for _, dir := range o.others {
		entries, err := fs.ReadDir(o.fsys, dir)
		if err != nil {
			continue // it is none of the run's
		}
		for _, e := range entries {
			if version, err := goose.NumericComponent(e.Name()); err == nil && !e.IsDir() {
				versions = append(versions, version)
			}
		}
	}
	return versions
}

// index finds the SQL files by name. Of two with one name, which are reported as duplicates, it
// keeps the first.
func (o *Overlay) index() map[string]File {
	files := make(map[string]File, len(o.SQL)+len(o.texts))
	for name := range o.texts {
		files[name] = File{Name: name}
	}
	for _, f := range slices.Backward(o.SQL) {
		files[f.Name] = f
	}
	return files
}

func sortByVersion(files []File) {
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Version, b.Version) })
}

// duplicates reports each version that more than one file claims.
func (o *Overlay) duplicates() []error {
	all := o.SQL
	if len(o.Go) > 0 {
		all = slices.Concat(o.SQL, o.Go)
		sortByVersion(all)
	}
	var faults []error
	for i := 1; i < len(all); i++ {
		if all[i].Version == all[i-1].Version {
			faults = append(faults, &DuplicateError{
				Version: all[i].Version,
				Paths:   [2]string{all[i-1].Path, all[i].Path},
			})
		}
	}
	return faults
}

func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
