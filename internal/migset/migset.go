// Package migset finds the migrations. It lays the folders of the environments over each other, adds the Go migrations and
// the definitions, and gives each namespace its own set. It reads files and goose's registry, never a database.
package migset

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

// Config says where the migrations are.
type Config struct {
	FS           fs.FS
	BasePath     string
	Environments []string // "" stands for the base path itself
	// Namespaces have one set each. nil means a single set that has no namespace.
	Namespaces  []string
	Go          []*goose.Migration
	Definitions []Definitions
	// Options are goose's own. Some of them exclude migrations.
	Options []goose.ProviderOption
	Dialect dialect.Dialect
	// Checkpoints says whether a checkpoint may stand for versions whose files are gone.
	Checkpoints bool
}

// Migration is one migration. [Set.Read] reads its file.
type Migration struct {
	Version     int64
	Source      string
	Environment string
	Go          *goose.Migration // nil if the Up is SQL

	down     *Action  // the Down of a definition whose Up is of another kind
	upReplay int64    // the version whose Up is the Up of this definition, 0 if it has its own
	defined  bool     // it is a definition
	written  string   // the SQL of a definition, with its comments: goose doesn't get all of them
	gone     *Covered // what a checkpoint says of a version whose file is gone; nil if the migration is there
}

// Gone says whether only a checkpoint knows the migration: its file is gone.
func (m Migration) Gone() bool { return m.gone != nil }

// String returns the version, with the source if it is known.
func (m Migration) String() string {
	if m.Source == "" {
		return fmt.Sprint(m.Version)
	}
	return fmt.Sprintf("%d (%s)", m.Version, m.Source)
}

// Set is one sequence of migrations. It doesn't change after [Resolve], so any number of runs can share it.
type Set struct {
	Namespace   string
	List        []Migration // ascending by version
	Files       *envfs.Overlay
	Warnings    []string
	Checkpoints Checkpoints

	dialect dialect.Dialect
	sums    sums
}

// Versions lists the versions, lowest first.
func (s *Set) Versions() []int64 {
	list := make([]int64, len(s.List))
	for i, m := range s.List {
		list[i] = m.Version
	}
	return list
}

// Find returns the migration of a version.
func (s *Set) Find(version int64) (Migration, bool) {
	i, ok := slices.BinarySearchFunc(s.List, version, func(m Migration, v int64) int { return cmp.Compare(m.Version, v) })
	if !ok {
		return Migration{}, false
	}
	return s.List[i], true
}

func (s *Set) has(version int64) bool { _, ok := s.Find(version); return ok }

// Resolve returns one set for each namespace, or the only set, and warnings that belong to no set. It reports all faults
// together. A namespace with a faulty name has no set.
func Resolve(c Config) (sets []*Set, warnings []string, faults []*Fault) {
	faults = append(c.environmentFaults(), c.checkGo()...)
	switch {
	case c.FS == nil:
		return nil, nil, append(faults, settingFault("WithFS: the file system is nil"))
	case c.Namespaces != nil:
		sets, warnings, wrong := c.divide()
		return sets, warnings, append(faults, wrong...)
	}
	files, err := envfs.New(c.FS, c.BasePath, c.Environments)
	set, wrong := c.sequence(files, err)
	return []*Set{set}, nil, append(faults, wrong...)
}

// sequence makes a set of the Go migrations, the definitions and the files. err is the error of the search for files.
func (c *Config) sequence(files *envfs.Overlay, err error) (*Set, []*Fault) {
	s, faults := c.merge(files, err)
	if len(faults) == 0 {
		if err := s.exclude(c.Options); err != nil {
			faults = append(faults, &Fault{Kind: Setting, Err: err})
		}
		faults = append(faults, s.unknownReplays()...)
	}
	return s, faults
}

func (c *Config) merge(files *envfs.Overlay, err error) (s *Set, faults []*Fault) {
	s = &Set{Files: files, dialect: c.Dialect}
	s.sums.fsys = c.FS
	files.Alone = alone(c.Dialect)
	files.Quoting, _ = c.Dialect.Quoting()
	if noFolder(err) && (len(c.Go) > 0 || c.defined()) {
		err = nil // they need no folder
	}
	faults = mergeFaults(c.baseFault(err))

	definitions, wrong := c.collectDefinitions(files)
	faults = append(faults, wrong...)

	list, wrong := c.collectGo(files)
	faults = append(faults, wrong...)

	list = append(list, definitions...)
	s.List = make([]Migration, 0, len(files.SQL)+len(list))
	for _, f := range files.SQL {
		s.List = append(s.List, Migration{Version: f.Version, Source: f.Path, Environment: f.Environment})
	}
	if len(list) > 0 {
		s.List = append(s.List, list...)
		slices.SortStableFunc(s.List, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	}
	faults = append(faults, duplicates(s.List, faults)...)
	if len(faults) == 0 {
		faults = c.addCheckpoints(s)
	}
	if len(faults) == 0 {
		faults = s.replayUps()
	}
	if len(faults) == 0 {
		faults = c.misplaced(s)
	}
	if len(faults) == 0 && c.Namespaces == nil && len(s.List) == 0 {
		faults = mergeFaults(nowhere(files))
	}
	s.Warnings = findWarnings(s)
	return s, faults
}

// noFolder says whether the folder of all migrations doesn't exist.
func noFolder(err error) bool {
	_, base := errors.AsType[*envfs.BaseError](err)
	_, namespace := errors.AsType[*envfs.MissingError](err)
	return (base || namespace) && errors.Is(err, fs.ErrNotExist)
}

// duplicates reports the versions that are claimed twice, unless the overlay of the files has reported them.
func duplicates(list []Migration, known []*Fault) (faults []*Fault) {
	reported := make(map[int64]bool)
	for _, fault := range known {
		if d, ok := errors.AsType[*envfs.DuplicateError](fault); ok {
			reported[d.Version] = true
		}
	}
	for i := 1; i < len(list); i++ {
		a, b := &list[i-1], &list[i]
		if a.Version != b.Version || reported[b.Version] {
			continue
		}
		fault := &Fault{Kind: Merge, Err: &envfs.DuplicateError{Version: b.Version, Paths: [2]string{a.place(), b.place()}}}
		for _, m := range []*Migration{b, a} {
			if m.defined {
				fault = definitionFault(*m, fault.Err)
			}
		}
		faults = append(faults, fault)
	}
	return faults
}

func (m Migration) place() string {
	return cmp.Or(m.Source, fmt.Sprintf("Go migration %d without a source", m.Version))
}

// exclude removes the migrations from the set that goose's own options exclude.
func (s *Set) exclude(options []goose.ProviderOption) error {
	if len(options) == 0 {
		return nil
	}
	var functions []*goose.Migration // copies, because goose writes to them
	for _, m := range s.List {
		if m.Go != nil {
			named := goose.NewGoMigration(m.Version, nil, nil)
			named.Source = m.Go.Source
			functions = append(functions, named)
		}
	}
	kept, err := dryrun.Versions(s.Files, append(slices.Clone(options), goose.WithGoMigrations(functions...))...)
	if err != nil {
		return fmt.Errorf("WithGooseOptions: %w", err)
	}
	s.List = slices.DeleteFunc(s.List, func(m Migration) bool {
		_, found := slices.BinarySearch(kept, m.Version)
		return !found && !m.Gone()
	})
	return nil
}

// Quoted lists names for people.
func Quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(list, ", ")
}

// Compare counts the versions that are not applied (pending), and the applied versions that are not in the set (unknown).
func (s *Set) Compare(applied []int64) (pending, unknown int) {
	if slices.EqualFunc(s.List, applied, func(m Migration, v int64) bool { return m.Version == v }) {
		return 0, 0 // the usual case in a look at thousands of tenants
	}
	have := make(map[int64]bool, len(applied))
	for _, v := range applied {
		have[v] = true
	}
	for _, m := range s.List {
		if !have[m.Version] {
			pending++
		}
	}
	return pending, len(have) - (len(s.List) - pending)
}
