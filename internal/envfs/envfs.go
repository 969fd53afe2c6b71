// Package envfs lays the migration folders of several environments over each other.
//
// The result is a read-only, flat fs.FS with the SQL files of every folder, as goose reads them. It also tells what each
// file is and where it comes from. A pair of files, NUMBER_name.up.sql and NUMBER_name.down.sql, is one goose file,
// joined when it is opened.
//
// The package reports what it finds where. Its caller decides whether that is a fault.
package envfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Overlay is the result of [New]. It doesn't change.
type Overlay struct {
	*Base
	// SQL and Go are sorted by version, which is unique within each.
	SQL, Go []File
	// Checkpoints are files that stand for several versions. They are not in the file system that goose gets.
	Checkpoints []File
	// Folders has the path of each environment that was asked for, present or not.
	Folders map[string]string
	// Missing are the environments that have no folder.
	Missing []string
	// Ignored are the paths of files that goose would skip although they end in .sql, or .SQL.
	Ignored []string
	// Stray are the paths of files in places that migrations are not read from: badly named files beside the folders of
	// the environments, and the first migration in each folder inside these folders.
	Stray []string
	// Odd are warnings of pairs whose names don't follow the rule.
	Odd []string

	// Alone, if not nil, says that one half of a pair can't run in a transaction. It is set before anything is read.
	Alone func(text string) bool
	// Quoting is that of the database. It is set before anything is read.
	Quoting sqltext.Quoting

	made map[int64]func() ([]byte, error) // goose files that are in no file system, by version
	kept sync.Map                         // texts that goose can't read, by placeholder
	// byName has the SQL files. It is made when the first file is opened: a boot with nothing pending opens none.
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

// VersionError says that a file is named like a migration, with a version outside the range.
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

// New is [Open] and [Base.Overlay].
func New(fsys fs.FS, base string, environments []string) (*Overlay, error) {
	b, err := Open(fsys, base)
	if err != nil {
		return newOverlay(&Base{fsys: fsys}), err
	}
	return b.Overlay(environments)
}

// Overlay overlays the folders of environments. An empty environment stands for the base path itself. An environment
// without a folder is noted in Missing; if a folder that nobody asked for has a similar name, that is a fault. All faults
// are in the error, joined.
func (b *Base) Overlay(environments []string) (*Overlay, error) {
	o := newOverlay(b)
	if !slices.Contains(environments, "") {
		o.Stray = slices.Clone(b.Bad)
	}
	var faults []error
	var unpaired []File
	for i, environment := range environments {
		if slices.Contains(environments[:i], environment) {
			continue
		}
		if environment != "" && (!fs.ValidPath(environment) || environment == ".") {
			faults = append(faults, fmt.Errorf("environment %q: not the name of a folder", environment))
			continue
		}
		dir := b.Folder(environment)
		o.Folders[environment] = dir
		from, err := b, error(nil)
		if environment != "" {
			from, err = list(b.fsys, dir)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && !b.lists(environment): // a link to nowhere is no missing folder
			if near := nearMiss(environment, b.Siblings, environments); near != "" {
				faults = append(faults, &NearMissError{Environment: environment, DidYouMean: near, Base: b.Path})
			} else {
				o.Missing = append(o.Missing, environment)
			}
		case err != nil:
			faults = append(faults, fmt.Errorf("environment %q: %w", environment, err))
		default:
			downs, wrong := o.add(environment, from)
			unpaired, faults = append(unpaired, downs...), append(faults, wrong...)
			if environment != "" {
				o.lookInto(from, environments)
			}
		}
	}
	sortByVersion(o.SQL)
	sortByVersion(o.Go)
	faults = append(faults, o.duplicates()...)
	for _, down := range unpaired {
		faults = append(faults, o.whyUnpaired(down))
	}
	return o, errors.Join(faults...)
}

func newOverlay(b *Base) *Overlay {
	o := &Overlay{Base: b, Folders: make(map[string]string)}
	o.byName = sync.OnceValue(o.index)
	return o
}

// Single is an overlay of one file, which goose reads as a migration.
func (b *Base) Single(f File) *Overlay {
	o := newOverlay(&Base{fsys: b.fsys, Path: b.Path})
	f.kind = gooseFile
	o.SQL = []File{f}
	return o
}

func (b *Base) lists(name string) bool {
	return slices.ContainsFunc(b.links, func(e fs.DirEntry) bool { return e.Name() == name })
}

// add takes over the files of an environment's folder. It returns the down files without an up file.
func (o *Overlay) add(environment string, from *Base) (downs []File, faults []error) {
	o.Ignored = append(o.Ignored, from.Bad...)
	first := len(o.SQL)
	if o.SQL == nil && from != o.Base {
		o.SQL = from.Direct[:0] // in place: nothing else has this list
	}
	for _, f := range from.Direct {
		f.Environment = environment
		switch f.kind {
		case misnumbered:
			number, _, _ := strings.Cut(f.Name, "_")
			faults = append(faults, &VersionError{Path: f.Path, Number: number, TooLow: f.Version < 1})
		case goFile:
			o.Go = append(o.Go, f)
		case checkpoint:
			o.Checkpoints = append(o.Checkpoints, f)
		case downHalf:
			o.odd(f, "down")
			downs = append(downs, f)
		case upHalf:
			o.odd(f, "up")
			fallthrough
		default:
			if path.Ext(f.Name) != ".sql" {
				f.Name += ".sql" // goose looks at no others
			}
			o.SQL = append(o.SQL, f)
		}
	}
	return o.pair(o.SQL[first:], downs), faults
}

// odd warns of a half whose name doesn't end as it should.
func (o *Overlay) odd(f File, half string) {
	if !strings.HasSuffix(f.Name, "."+half+".sql") {
		o.Odd = append(o.Odd, fmt.Sprintf("%s is taken for the %s half of a pair, as golang-migrate does: end its name in .%[2]s.sql", f.Path, half))
	}
}

// lookInto notes which folders inside the folder of an environment have migrations: goose doesn't read them either.
// Files without a version may be read by a migration in Go.
func (o *Overlay) lookInto(in *Base, environments []string) {
	for _, e := range in.links {
		if !e.IsDir() || slices.ContainsFunc(environments, func(environment string) bool { return o.Folder(environment) == in.Folder(e.Name()) }) {
			continue
		}
		if inside, _ := list(o.fsys, in.Folder(e.Name())); len(inside.Direct) > 0 {
			o.Stray = append(o.Stray, inside.Direct[0].Path)
		}
	}
}

// Reads says whether an environment was asked for.
func (o *Overlay) Reads(environment string) bool { _, asked := o.Folders[environment]; return asked }

// Elsewhere returns the versions of the files in folders of the base path that nobody asked for, in no order. It skips
// folders that it can't read.
func (o *Overlay) Elsewhere() (versions []int64) {
	for _, name := range o.Siblings {
		if o.Reads(name) {
			continue
		}
		found, _ := list(o.fsys, o.Folder(name))
		for _, f := range found.Direct {
			versions = append(versions, f.Version)
		}
	}
	return versions
}

// index finds the SQL files by name. Of two files with one name, which are reported as duplicates, it keeps the first.
func (o *Overlay) index() map[string]File {
	files := make(map[string]File, len(o.SQL)+len(o.made))
	for version := range o.made {
		name := fmt.Sprintf("%d_defined.sql", version)
		files[name] = File{Version: version, Name: name}
	}
	for _, f := range slices.Backward(o.SQL) {
		files[f.Name] = f
	}
	return files
}

// sortByVersion is quick for files that are in order, as most folders list them.
func sortByVersion(files []File) {
	for i := 1; i < len(files); i++ {
		if files[i].Version < files[i-1].Version {
			slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Version, b.Version) })
			return
		}
	}
}

// duplicates reports each version that more than one file claims.
func (o *Overlay) duplicates() (faults []error) {
	all := o.SQL
	if len(o.Go) > 0 {
		all = slices.Concat(o.SQL, o.Go)
		sortByVersion(all)
	}
	for i := 1; i < len(all); i++ {
		if a, b := &all[i-1], &all[i]; a.Version == b.Version {
			faults = append(faults, &DuplicateError{Version: a.Version, Paths: [2]string{a.Path, b.Path}})
		}
	}
	return faults
}
