// Package envfs lays the migration folders of several environments over each other.
//
// The result is one read-only, flat fs.FS with the SQL files of every folder, which is the shape
// that goose reads, together with what each file is and where it comes from. A pair of files,
// NUMBER_name.up.sql and NUMBER_name.down.sql, is one goose file there, joined when it is opened.
//
// The package tells what is where. Whether a run may do with it is for its caller to decide.
package envfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
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
	// Direct are the migrations directly in the base path, if none are read from there.
	Direct []File
	// Stray are the paths of other files that look like migrations and are where none are read from: badly named ones
	// beside the folders of the environments, and the first migration of each folder inside these.
	Stray []string
	// Missing are the environments that have no folder.
	Missing []string
	// Odd says which pairs have names that only just make them pairs.
	Odd []string

	// Base is the base path, and Siblings are the folders in it.
	Base     string
	Siblings []string

	unpaired []File   // down files that have no up file
	faults   []error  // of single files
	others   []string // the folders of the base path that nobody asked for

	// Folders has the path of each environment that was asked for, present or not.
	Folders map[string]string

	// Alone, if not nil, says of one half of a pair that it can't run in a transaction. It is set before anything is
	// read.
	Alone func(text string) bool

	fsys  fs.FS
	texts map[string][]byte // goose files that are in no file system
	// replays make goose files when they are read.
	replays map[string]func() ([]byte, error)
	long    sync.Map // what goose gets a placeholder for, by that
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
	o.Base, o.Siblings = base, folders(fsys, base, inBase)
	if !slices.Contains(environments, "") {
		o.Direct, o.Stray = direct(base, inBase)
	}
	for _, name := range o.Siblings {
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
			if near := nearMiss(environment, o.Siblings, environments); near != "" {
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
	faults = append(faults, o.faults...)
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
	var downs []File
	for i, e := range entries {
		name := e.Name()
		ext := path.Ext(name)
		if e.IsDir() || !strings.EqualFold(ext, ".sql") && ext != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f := File{Environment: environment, Name: name, Path: prefix + name}
		if number, below := misnumbered(name); number != "" {
			o.faults = append(o.faults, &VersionError{Path: f.Path, Number: number, TooLow: below})
			continue
		}
		suffix, plain := half(name)
		var ok bool
		if f.Version, ok = version(name, suffix); !ok {
			if ext != ".go" { // else a helper beside Go migrations, as in goose
				o.Ignored = append(o.Ignored, f.Path)
			}
			continue
		}
		switch {
		case ext == ".go":
			o.Go = append(o.Go, f)
			continue
		case suffix != "" && !plain:
			o.Odd = append(o.Odd, fmt.Sprintf("%s is taken for the %s half of a pair, as golang-migrate does: better end its name in .%[2]s.sql",
				f.Path, suffix))
		}
		if suffix == "down" {
			downs = append(downs, f)
			continue
		}
		f.paired = suffix == "up"
		if ext != ".sql" {
			f.Name += ".sql" // goose looks at no others
		}
		if cap(o.SQL) == len(o.SQL) {
			o.SQL = slices.Grow(o.SQL, len(entries)-i)
		}
		o.SQL = append(o.SQL, f)
	}
	if len(downs) > 0 {
		o.pair(o.SQL[first:], downs)
	}
}

// version is what the name of a migration begins with, false if it is no migration's name.
func version(name, half string) (int64, bool) {
	switch ext := path.Ext(name); {
	case half != "":
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		return v, err == nil && v > 0
	case ext != ".sql" && ext != ".go" || badCase(name):
		return 0, false
	}
	v, err := goose.NumericComponent(name)
	return v, err == nil
}

// VersionError says that a file is named like a migration and has a version that there can't be.
type VersionError struct {
	Path   string
	Number string
	TooLow bool
}

func (e *VersionError) Error() string {
	if e.TooLow {
		return fmt.Sprintf("%s has version %s, and versions begin at 1: rename the file", e.Path, e.Number)
	}
	return fmt.Sprintf("%s has version %s, and the highest is %d: rename the file", e.Path, e.Number, int64(math.MaxInt64))
}

// misnumbered returns what a name has for a version if it is below 1 or too high, and which of the two.
func misnumbered(name string) (number string, tooLow bool) {
	number, _, found := strings.Cut(name, "_")
	digits := strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(number, "-"), "+"), "0123456789")
	if !found || digits != "" {
		return "", false
	}
	v, err := strconv.ParseInt(number, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax): // there is no digit
		return "", false
	case err == nil && v > 0:
		return "", false
	}
	return number, v <= 0
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

// Inside returns the path of the first migration in each folder of the base path, and in each folder of these.
func (o *Overlay) Inside() (paths []string) {
	var look func(dir string, depth int)
	look = func(dir string, depth int) {
		entries, err := fs.ReadDir(o.fsys, dir)
		if err != nil {
			return // nothing in it is read
		}
		if i := slices.IndexFunc(entries, isMigration); i >= 0 {
			paths = append(paths, path.Join(dir, entries[i].Name()))
		} else if depth > 1 {
			for _, name := range folders(o.fsys, dir, entries) {
				look(path.Join(dir, name), depth-1)
			}
		}
	}
	for _, name := range o.Siblings {
		look(path.Join(o.Base, name), 2)
	}
	return paths
}

// Beside returns the folders beside the base path.
func (o *Overlay) Beside() []string {
	if o.Base == "." {
		return nil
	}
	parent := path.Dir(o.Base)
	entries, err := fs.ReadDir(o.fsys, parent)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(folders(o.fsys, parent, entries), func(name string) bool { return name == path.Base(o.Base) })
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
	files := make(map[string]File, len(o.SQL)+len(o.texts)+len(o.replays))
	for name := range o.texts {
		files[name] = File{Name: name}
	}
	for name := range o.replays {
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
