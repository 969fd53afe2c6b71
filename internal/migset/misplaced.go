package migset

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// A run that looked in the wrong place would find nothing pending and succeed. The faults here name the file that
// such a run would miss, and the option that mends it.

// baseEnvironment is the folder that every database has.
const baseEnvironment = "base"

// namingRule is what a badly named file is told.
const namingRule = "a migration's name is VERSION_name.sql, or for a pair VERSION_name.up.sql and VERSION_name.down.sql"

// environmentFaults are those of the names of environments.
func (c *Config) environmentFaults() (faults []*Fault) {
	for _, name := range c.Environments {
		fault := func(format string, args ...any) {
			faults = append(faults, settingFault("WithEnvironments: %q %s", name, fmt.Sprintf(format, args...)))
		}
		trimmed := strings.TrimSpace(name)
		switch {
		case strings.Contains(name, ","):
			fault("has a comma: did you mean several names, WithEnvironments(%s)?", Quoted(split(name, ",")))
		case strings.ContainsAny(name, `/\`):
			fault("has a slash: an environment is one folder of the base path, named without the path (WithBasePath)")
		case trimmed != name && trimmed == "":
			fault("is blank, which may be a variable that is not set")
		case trimmed != name:
			fault("has spaces around it: did you mean %q?", trimmed)
		case name == "." || name == ".." || strings.ContainsFunc(name, unicode.IsControl):
			fault("is not the name of a folder")
		}
	}
	return faults
}

// split returns what is between the separators, without what is blank.
func split(list, separators string) (names []string) {
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// misplaced returns what shows that the folders are not where the options say. given are the versions of the
// Go migrations that were given as such, whose files may be anywhere.
func (c *Config) misplaced(s *Set) []error {
	files := s.Files
	var direct []envfs.File
	if _, flat := files.Folders[""]; !flat {
		direct = slices.DeleteFunc(slices.Clone(files.Direct), func(f envfs.File) bool {
			return path.Ext(f.Name) == ".go" && c.given(f.Version)
		})
	}
	var faults []error
	for environment := range files.Folders {
		if names := split(environment, ";:| \t"); len(names) > 1 && slices.Contains(files.Missing, environment) &&
			slices.ContainsFunc(names, func(name string) bool { return slices.Contains(files.Siblings, name) }) {
			faults = append(faults, fmt.Errorf("environment %q has no folder %s: did you mean several names, WithEnvironments(%s)?",
				environment, files.Folders[environment], Quoted(names)))
		}
	}
	if len(direct) > 0 {
		return append(faults, s.besideFolders(direct))
	}
	if err := s.overlooked(); err != nil && len(faults) == 0 {
		return []error{err}
	}
	return faults
}

// besideFolders is the fault of migrations beside the folders of the environments.
func (s *Set) besideFolders(direct []envfs.File) error {
	if hint := s.isEnvironment(); hint != "" {
		return fmt.Errorf("%s is directly in the base path %s, %s", several(direct), s.Files.Path, hint)
	}
	return fmt.Errorf("%s is directly in the base path %s, where migrations are not read while there are environments: "+
		"move it into the folder of one (%s), or use SetEnvironments(nil) if all migrations are directly in the base path",
		several(direct), s.Files.Path, s.folders())
}

func several(files []envfs.File) string {
	if len(files) == 1 {
		return files[0].Path
	}
	return fmt.Sprintf("%s (and %d more)", files[0].Path, len(files)-1)
}

// folders are the paths of the environments' folders.
func (s *Set) folders() string {
	var list []string
	for _, folder := range s.Files.Folders {
		list = append(list, folder)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// isEnvironment says how to name the base path if it is the folder of an environment itself, "" if it doesn't seem so.
func (s *Set) isEnvironment() string {
	name := path.Base(s.Files.Path)
	_, asked := s.Files.Folders[name]
	if !asked && !slices.ContainsFunc(s.Files.Beside(), func(beside string) bool { _, ok := s.Files.Folders[beside]; return ok }) {
		return ""
	}
	use := fmt.Sprintf("WithBasePath(%q)", path.Dir(s.Files.Path))
	if name != baseEnvironment {
		use += fmt.Sprintf(" and WithEnvironments(%q)", name)
	}
	return fmt.Sprintf("which is the folder of an environment: use %s", use)
}

// nowhere is the fault of a run none of whose folders is there, and that has no migrations of another sort.
func (s *Set) nowhere() error {
	files := s.Files
	if len(s.List) > 0 || len(files.Missing) == 0 || len(files.Missing) < len(files.Folders) {
		return nil
	}
	text := fmt.Sprintf("none of the environments has a folder (%s), so there are no migrations", s.folders())
	if hint := s.isEnvironment(); hint != "" {
		return fmt.Errorf("%s: the base path is %s, %s", text, files.Path, hint)
	}
	inside := files.Inside(nil)
	for _, found := range inside {
		rest := strings.TrimPrefix(strings.TrimPrefix(found, files.Path), "/")
		if parts := strings.Split(rest, "/"); len(parts) == 3 {
			if _, asked := files.Folders[parts[1]]; asked {
				return fmt.Errorf("%s; there is %s: did you mean WithBasePath(%q)? (WithNamespaces if the base path has several such folders)",
					text, found, path.Join(files.Path, parts[0]))
			}
		}
	}
	if len(inside) > 0 {
		return fmt.Errorf("%s; there is %s: choose the folders with WithEnvironments or SetEnvironments", text, inside[0])
	}
	return fmt.Errorf("%s: make the folder, even an empty one, or say with WithFS and WithBasePath where it is", text)
}

// overlooked is the fault of a set that is empty although there are files that seem to be meant.
func (s *Set) overlooked() error {
	files := s.Files
	if len(s.List) > 0 || files.Path == "" {
		return nil
	}
	if _, flat := files.Folders[""]; flat {
		if inside := files.Inside(nil); len(inside) > 0 {
			return fmt.Errorf("there is no migration directly in %s; there is %s: SetEnvironments(nil), or a name that is empty, means that the "+
				"folders in it are not read; choose them with WithEnvironments, or WithBasePath", files.Path, inside[0])
		}
	}
	overlooked := slices.Concat(files.Ignored, files.Stray)
	switch {
	case len(overlooked) == 0:
		return nil
	case len(files.Ignored) == 0 && path.Dir(overlooked[0]) != files.Path:
		return fmt.Errorf("there is no migration in %s; there is %s: folders inside are not read", s.folders(), overlooked[0])
	}
	return fmt.Errorf("there is no migration at all, and %s is badly named: %s", overlooked[0], namingRule)
}

// baseFault adds to the fault of a base path that isn't there where the folders of the environments are.
func (c *Config) baseFault(err error) error {
	var base *envfs.BaseError
	if !errors.As(err, &base) || !noFolder(err) {
		return err
	}
	elsewhere, _ := envfs.New(c.FS, ".", []string{""})
	for _, name := range c.Environments {
		if name != "" && slices.Contains(elsewhere.Siblings, name) {
			return fmt.Errorf("%w: did you mean WithBasePath(\".\")? %s is there", err, name)
		}
	}
	return fmt.Errorf("%w (WithBasePath and WithFS say where migrations are)", err)
}
