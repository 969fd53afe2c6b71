package migset

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

// divide finds the migrations of each namespace.
func (c *Config) divide() (sets []*Set, warnings []string, faults []*Fault) {
	folders, err := envfs.Open(c.FS, c.BasePath)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // the folder of each namespace is missing
	}
	faults = mergeFaults(err)
	for _, stray := range folders.Bad {
		warnings = append(warnings, fmt.Sprintf("%s is in no namespace: it is ignored", stray))
	}
	for _, f := range folders.Direct {
		if path.Ext(f.Name) != ".go" || !c.given(f.Version) {
			faults = append(faults, mergeFault("%s is directly in the base path, and in no namespace: move it into the folder of one (%s)",
				f.Path, Quoted(c.Namespaces)))
		}
	}
	for _, file := range folders.Inside(c.Namespaces) {
		warnings = append(warnings, fmt.Sprintf("%s is ignored: its folder belongs to no namespace (WithNamespaces)", file))
	}
	shares, wrong := c.shares(folders)
	faults = append(faults, wrong...)
	seen := make(map[string]string)
	for i, name := range c.Namespaces {
		wrong := nameFault(c.Dialect, name)
		key := c.Dialect.Fold(name)
		if other, twice := seen[key]; twice && wrong == nil {
			wrong = fmt.Errorf("%q and %q would have the same version table", other, name)
		}
		if wrong != nil {
			faults = append(faults, settingFault("WithNamespaces: %w", wrong))
			continue
		}
		seen[key] = name
		if err != nil { // the base path can't be read
			sets = append(sets, &Set{Namespace: name})
			continue
		}
		files, err := folders.Namespace(name, c.Namespaces, c.Environments)
		set, wrongInIt := shares[i].sequence(files, err)
		set.Namespace = name
		sets, faults = append(sets, set), append(faults, in(name, wrongInIt)...)
	}
	if len(faults) == 0 && !slices.ContainsFunc(sets, func(s *Set) bool { return len(s.List) > 0 }) {
		for _, s := range sets {
			faults = append(faults, in(s.Namespace, mergeFaults(nowhere(s.Files)))...)
		}
	}
	return sets, warnings, faults
}

// in assigns faults to a namespace.
func in(namespace string, faults []*Fault) []*Fault {
	for _, f := range faults {
		f.Namespace = namespace
	}
	return faults
}

// nameFault says why a namespace can't have this name, nil if it can.
func nameFault(d dialect.Dialect, name string) error {
	switch folded := strings.ToLower(name); {
	case name == "":
		return errors.New("a name is empty: is a variable not set?")
	case !utf8.ValidString(name) || name == "." || name == ".." || strings.ContainsAny(name, `/\`) ||
		strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) != name:
		return fmt.Errorf("%q can't be the name of a folder and a part of a table's name", name)
	case folded == "lock" || strings.HasPrefix(folded, "lock_"):
		return fmt.Errorf("%q is kept for the state table, {version table}_lock", name)
	case d.Derived("_" + name):
		return fmt.Errorf("%q is what PostgreSQL calls the index or the sequence of another table", name)
	}
	return nil
}

// shares returns the configuration of each namespace, with its Go migrations and definitions. A Go migration belongs to the
// namespace in whose folder its source is, and definitions name their namespace. A single namespace has everything.
func (c *Config) shares(folders *envfs.Base) (shares []Config, faults []*Fault) {
	dirs := make(map[string]string) // of each namespace, and of each environment in it
	for i, name := range c.Namespaces {
		shares = append(shares, *c)
		shares[i].Go, shares[i].Definitions = nil, nil
		for _, environment := range append([]string{""}, c.Environments...) {
			dirs[name+"/"+environment] = path.Join(folders.Folder(name), environment)
		}
	}
	of := func(name string) int {
		if name == "" && len(shares) == 1 {
			return 0
		}
		return slices.Index(c.Namespaces, cmp.Or(name, "/")) // which is the name of none
	}
	for i, m := range c.Go {
		if m == nil {
			continue
		}
		key, _, _ := owner(cmp.Or(m.Source, "?"), dirs)
		name, _, _ := strings.Cut(key, "/")
		if to := of(name); to >= 0 {
			shares[to].Go = append(shares[to].Go, m)
		} else {
			faults = append(faults, mergeFault("WithGoMigrations: migration %d: version %d: its Source is in the folder of no namespace (%s)",
				i+1, m.Version, Quoted(c.Namespaces)))
		}
	}
	for _, d := range c.Definitions {
		if to := of(d.Namespace); to >= 0 {
			shares[to].Definitions = append(shares[to].Definitions, d)
		} else {
			faults = append(faults, mergeFault("WithDefinitions: their Namespace is %q, and there are %s", d.Namespace, Quoted(c.Namespaces)))
		}
	}
	return shares, faults
}
