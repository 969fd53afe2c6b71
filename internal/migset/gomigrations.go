package migset

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

// checkGo puts nil in the place of each Go migration that goose would refuse.
func (c *Config) checkGo() (faults []*Fault) {
	c.Go = slices.Clone(c.Go)
	for i, m := range c.Go {
		err := errors.New("is nil")
		if m != nil {
			_, err = dryrun.Versions(nil, goose.WithGoMigrations(m))
		}
		if err != nil {
			faults = append(faults, mergeFault("WithGoMigrations: migration %d: %w", i+1, err))
			c.Go[i] = nil
		}
	}
	return faults
}

// given says whether a Go migration of this version was given explicitly.
func (c *Config) given(version int64) bool {
	return slices.ContainsFunc(c.Go, func(m *goose.Migration) bool { return m != nil && m.Version == version })
}

// collectGo finds the Go migrations of a run: those given explicitly, and the migrations in goose's global registry whose
// source file is in one of the run's folders.
func (c *Config) collectGo(files *envfs.Overlay) (list []Migration, faults []*Fault) {
	for _, m := range c.Go {
		if m == nil {
			continue
		}
		one := Migration{Version: m.Version, Source: m.Source, Go: m}
		if environment, dir, ok := owner(m.Source, files.Folders); ok && m.Source != "" {
			one.Environment, one.Source = environment, path.Join(dir, base(m.Source))
		}
		list = append(list, one)
	}
	inRegistry, err := registered(files.Folders)
	faults = mergeFaults(err)
	decided := make(map[string]bool) // environments whose own .go files say what belongs to them
	for _, f := range files.Go {
		decided[f.Environment] = true
		i := slices.IndexFunc(inRegistry, func(m *goose.Migration) bool {
			return m.Version == f.Version && base(m.Source) == f.Name
		})
		switch {
		case i >= 0:
			list = append(list, Migration{Version: f.Version, Source: f.Path, Environment: f.Environment, Go: inRegistry[i]})
		case !c.given(f.Version):
			faults = append(faults, mergeFault("%s is not registered: its package must be imported by the program", f.Path))
		}
	}
	origins := make(map[string]string) // where the source files of a folder were
	for _, m := range inRegistry {
		environment, dir, ok := owner(m.Source, files.Folders)
		if !ok || decided[environment] {
			continue
		}
		origin := path.Dir(filepath.ToSlash(m.Source))
		if first, seen := origins[dir]; seen && first != origin && dir != "." {
			faults = append(faults, mergeFault("Go migrations of both %s and %s are registered, and either can be the folder %s: "+
				"embed the .go files too, or use a longer base path, or WithGoMigrations", first, origin, dir))
			continue
		}
		origins[dir] = origin
		list = append(list, Migration{Version: m.Version, Source: path.Join(dir, base(m.Source)), Environment: environment, Go: m})
	}
	return list, faults
}

// owner finds the folder that a Go migration belongs to. The source is a path on the machine that compiled it, and ends with
// the folder's path. A folder that is the root of its file system has no path to compare: as in goose, it takes what no
// other folder claims.
func owner(source string, folders map[string]string) (environment, dir string, ok bool) {
	at := path.Dir(filepath.ToSlash(source))
	for e, d := range folders {
		if d != "." && (at == d || strings.HasSuffix(at, "/"+d)) && len(d) > len(dir) {
			environment, dir, ok = e, d, true
		}
	}
	if ok {
		return environment, dir, true
	}
	for e, d := range folders {
		if d == "." {
			return e, d, true
		}
	}
	return "", "", false
}

func base(source string) string { return path.Base(filepath.ToSlash(source)) }

// registryMu guards goose's registry, the one thing that Migrators share: goose writes to its migrations when it returns
// them.
var registryMu sync.Mutex

// registered lists goose's global registry if it has a migration for one of the folders. The registry has no accessor, but
// goose returns all of it for a folder that has no files.
func registered(folders map[string]string) ([]*goose.Migration, error) {
	sources, err := dryrun.Registered()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(sources, func(s *goose.Source) bool {
		_, _, ok := owner(s.Path, folders)
		return ok
	}) {
		return nil, nil
	}
	// os.DevNull exists if goose's base file system is the operating system's. If the application has set another one, its
	// root exists.
	registryMu.Lock()
	defer registryMu.Unlock()
	var faults []error
	for _, nowhere := range []string{os.DevNull, "."} {
		found, err := goose.CollectMigrations(nowhere, 0, math.MaxInt64)
		if err == nil {
			return slices.DeleteFunc(found, func(m *goose.Migration) bool { return !m.Registered }), nil
		}
		faults = append(faults, err)
	}
	return nil, fmt.Errorf("goose's registry of Go migrations can't be read; pass them with WithGoMigrations: %w",
		errors.Join(faults...))
}
