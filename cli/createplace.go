package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// namespaceOf makes sure that a migration of a project with namespaces goes to one of them: a run reads no other folder.
func namespaceOf(c *call, f *createFlags) error {
	names := c.settings.files.namespaces
	if !c.settings.standalone {
		// A program that can't make its Migrator here, for want of a database, has files all the same.
		if m, err := c.open(withPurpose(c.ctx, noDatabase)); err == nil && m != nil {
			names = m.Namespaces()
		}
	}
	listed := len(names) > 0
	if !listed {
		names = namespacesIn(f.dir)
	}
	switch {
	case len(names) == 0:
		return nil
	case f.namespace == "":
		return usagef("each namespace has a folder of its own: choose one with --namespace, of %s", clean(strings.Join(names, ", ")))
	case listed && !slices.Contains(names, f.namespace):
		return usagef("--namespace %s: no run reads that folder; the namespaces are %s", f.namespace, clean(strings.Join(names, ", ")))
	}
	return nil
}

// namespacesIn are the folders that have a base of their own, in a folder that has none and no migrations.
func namespacesIn(dir string) (names []string) {
	fsys := os.DirFS(dir)
	if isFolder(filepath.Join(dir, "base")) || flat(fsys, ".") {
		return nil
	}
	return slices.DeleteFunc(foldersIn(dir), func(name string) bool { return !isFolder(filepath.Join(dir, name, "base")) })
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// place is where a new migration goes to.
type place struct {
	root string // of the migrations that are numbered together
	dir  string
}

// place finds the folder: that of the environment in the one of the namespace. Without an environment it is base,
// unless the files are directly in the folder; those of a namespace are to begin with.
func (f *createFlags) place() (place, error) {
	root := filepath.Join(f.dir, f.namespace)
	direct := flat(os.DirFS(root), ".")
	if f.namespace != "" && len(foldersIn(root)) == 0 {
		direct = true
	}
	if f.namespace != "" {
		if err := misspelt("namespace", f.dir, f.namespace); err != nil {
			return place{}, err
		}
	}
	environment := f.env
	switch {
	case f.env != "":
		if err := misspelt("env", root, f.env); err != nil {
			return place{}, err
		}
	case !direct:
		environment = "base"
		if err := f.onlyElsewhere(root); err != nil {
			return place{}, err
		}
	}
	return place{root: root, dir: filepath.Join(root, environment)}, nil
}

// onlyElsewhere says that there is no folder of the base, while others have migrations: they may be namespaces, and then no run
// would read a base.
func (f *createFlags) onlyElsewhere(root string) error {
	if isFolder(filepath.Join(root, "base")) {
		return nil
	}
	fsys := os.DirFS(root)
	others := slices.DeleteFunc(foldersIn(root), func(name string) bool { return !flat(fsys, name) })
	if len(others) == 0 {
		return nil
	}
	choice := "--env"
	if f.namespace == "" {
		choice = "--namespace or --env"
	}
	return usagef("there is no folder %s, and there are migrations in %s: choose a folder with %s, or make that one first",
		clean(filepath.ToSlash(filepath.Join(root, "base"))), clean(strings.Join(others, ", ")), choice)
}

// misspelt says that a folder isn't there while one of nearly its name is.
func misspelt(flag, root, name string) error {
	_, err := envfs.New(os.DirFS(root), ".", []string{name})
	var near *envfs.NearMissError
	if errors.As(err, &near) {
		return usagef("--%s %s: there is no such folder in %s; did you mean %s? (if not, make the folder first)", flag, name, root, near.DidYouMean)
	}
	return nil
}
