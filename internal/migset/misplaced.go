package migset

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// A run that looked in the wrong place would find nothing pending and succeed. Each fault here names a file that the run
// would miss, and the option that mends it.

// baseEnvironment is the folder that every database has.
const baseEnvironment = "base"

// namingRule is for messages about badly named files.
const namingRule = "a migration's name is VERSION_name.sql, or for a pair VERSION_name.up.sql and VERSION_name.down.sql"

// environmentFaults returns the faults in the names of environments.
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
			fault("is blank: is a variable not set?")
		case trimmed != name:
			fault("has spaces around it: did you mean %q?", trimmed)
		case name == "." || name == ".." || strings.ContainsFunc(name, unicode.IsControl):
			fault("is not the name of a folder")
		}
	}
	return faults
}

// split returns the names between the separators, without blank ones.
func split(list, separators string) (names []string) {
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// misplaced returns the faults which show that the folders are not where the options say.
func (c *Config) misplaced(s *Set) (faults []*Fault) {
	files := s.Files
	for _, environment := range files.Missing {
		names := split(environment, ";:| \t")
		if len(names) > 1 && slices.ContainsFunc(names, func(name string) bool { return slices.Contains(files.Siblings, name) }) {
			faults = append(faults, mergeFault("environment %q has no folder %s: did you mean several names, WithEnvironments(%s)?",
				environment, files.Folders[environment], Quoted(names)))
		}
	}
	if beside := c.besideFolders(files); beside != nil {
		return append(faults, beside)
	}
	if err := overlooked(files); err != nil && len(faults) == 0 && len(s.List) == 0 {
		return mergeFaults(err)
	}
	return faults
}

// besideFolders is the fault of migrations beside the folders of the environments. The source of a Go migration that was
// given explicitly may be anywhere.
func (c *Config) besideFolders(files *envfs.Overlay) *Fault {
	if files.Reads("") {
		return nil
	}
	direct := slices.DeleteFunc(slices.Clone(files.Direct), func(f envfs.File) bool { return path.Ext(f.Name) == ".go" && c.given(f.Version) })
	if len(direct) == 0 {
		return nil
	}
	several := direct[0].Path
	if len(direct) > 1 {
		several += fmt.Sprintf(" (and %d more)", len(direct)-1)
	}
	if hint := isEnvironment(files); hint != "" {
		return mergeFault("%s is directly in the base path %s, %s", several, files.Path, hint)
	}
	return mergeFault("%s is directly in the base path %s, where migrations are read only without environments: "+
		"move it into the folder of one (%s), or use SetEnvironments(nil) if all migrations are directly in the base path",
		several, files.Path, folders(files))
}

// folders lists the paths of the environments' folders for people.
func folders(files *envfs.Overlay) string {
	return strings.Join(slices.Sorted(maps.Values(files.Folders)), ", ")
}

// isEnvironment says how to name the base path if it seems to be the folder of an environment itself, otherwise "".
func isEnvironment(files *envfs.Overlay) string {
	name := path.Base(files.Path)
	if !files.Reads(name) && !slices.ContainsFunc(files.Beside(), files.Reads) {
		return ""
	}
	use := fmt.Sprintf("WithBasePath(%q)", path.Dir(files.Path))
	if name != baseEnvironment {
		use += fmt.Sprintf(" and WithEnvironments(%q)", name)
	}
	return fmt.Sprintf("which is the folder of an environment: use %s", use)
}

// nowhere is the fault of a set without migrations none of whose folders exists.
func nowhere(files *envfs.Overlay) error {
	if len(files.Missing) == 0 || len(files.Missing) < len(files.Folders) {
		return nil
	}
	text := fmt.Sprintf("none of the environments has a folder (%s), so there are no migrations", folders(files))
	if hint := isEnvironment(files); hint != "" {
		return fmt.Errorf("%s: the base path is %s, %s", text, files.Path, hint)
	}
	inside := files.Inside(nil)
	for _, found := range inside {
		in, environment := path.Split(path.Dir(found))
		if path.Dir(path.Clean(in)) == files.Path && files.Reads(environment) {
			return fmt.Errorf("%s; there is %s: did you mean WithBasePath(%q)? (WithNamespaces if the base path has several such folders)",
				text, found, path.Clean(in))
		}
	}
	if len(inside) > 0 {
		return fmt.Errorf("%s; there is %s: choose the folders with WithEnvironments or SetEnvironments", text, inside[0])
	}
	return fmt.Errorf("%s: make the folder, even an empty one, or say with WithFS and WithBasePath where it is", text)
}

// overlooked is the fault of an empty set beside files that seem to be meant.
func overlooked(files *envfs.Overlay) error {
	if files.Path == "" {
		return nil
	}
	if files.Reads("") {
		if inside := files.Inside(nil); len(inside) > 0 {
			return fmt.Errorf("there is no migration directly in %s; there is %s: with SetEnvironments(nil) or an empty name, the "+
				"folders in it are not read; choose them with WithEnvironments, or WithBasePath", files.Path, inside[0])
		}
	}
	overlooked := slices.Concat(files.Ignored, files.Stray)
	switch {
	case len(overlooked) == 0:
		return nil
	case len(files.Ignored) == 0 && path.Dir(overlooked[0]) != files.Path:
		return fmt.Errorf("there is no migration in %s; there is %s: folders inside are not read", folders(files), overlooked[0])
	}
	return fmt.Errorf("there is no migration at all, and %s is badly named: %s", overlooked[0], namingRule)
}

// baseFault adds to the fault of a missing base path where the folders of the environments are.
func (c *Config) baseFault(err error) error {
	if _, base := errors.AsType[*envfs.BaseError](err); !base || !noFolder(err) {
		return err
	}
	root, _ := envfs.Open(c.FS, ".")
	for _, name := range c.Environments {
		if name != "" && slices.Contains(root.Siblings, name) {
			return fmt.Errorf("%w: did you mean WithBasePath(\".\")? %s is there", err, name)
		}
	}
	var folders []string
	entries, _ := fs.ReadDir(c.FS, ".")
	for _, e := range entries {
		if e.IsDir() && len(folders) < 10 {
			folders = append(folders, e.Name())
		}
	}
	has := "there are none"
	if len(folders) > 0 {
		has = "there are: " + strings.Join(folders, ", ")
	}
	return fmt.Errorf("%w: there is no folder %q (%s); WithBasePath says where the migrations are", err, c.BasePath, has)
}
