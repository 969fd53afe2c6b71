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

// collectGo finds the Go migrations of a run: those given explicitly, and of those in goose's
// global registry the ones whose source file is in one of the run's folders.
func (c *Config) collectGo(files *envfs.Overlay) ([]Migration, error) {
	var list []Migration
	var faults []error
	explicit := make(map[int64]bool)
	for i, m := range c.Go {
		if err := checkGo(m); err != nil {
			faults = append(faults, fmt.Errorf("WithGoMigrations: migration %d: %w", i+1, err))
			continue
		}
		explicit[m.Version] = true
		list = append(list, describe(m, files))
	}
	inRegistry, err := registered(files.Folders)
	if err != nil {
		faults = append(faults, err)
	}
	decided := make(map[string]bool) // environments whose own .go files say what belongs to them
	for _, f := range files.Go {
		decided[f.Environment] = true
		i := slices.IndexFunc(inRegistry, func(m *goose.Migration) bool {
			return m.Version == f.Version && base(m.Source) == f.Name
		})
		switch {
		case i >= 0:
			list = append(list, Migration{Version: f.Version, Source: f.Path, Environment: f.Environment, Go: inRegistry[i]})
		case !explicit[f.Version]:
			faults = append(faults, fmt.Errorf("%s is not registered: its package must be imported by the program", f.Path))
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
			//lint:ignore ST1005 Go is a name
			faults = append(faults, fmt.Errorf("Go migrations of both %s and %s are registered, and either can be the folder %s: "+
				"embed the .go files too, or use a longer base path, or WithGoMigrations", first, origin, dir))
			continue
		}
		origins[dir] = origin
		list = append(list, Migration{Version: m.Version, Source: path.Join(dir, base(m.Source)), Environment: environment, Go: m})
	}
	return list, errors.Join(faults...)
}

// given are the versions of the Go migrations that are given explicitly.
func (c *Config) given() (versions []int64) {
	for _, m := range c.Go {
		if m != nil {
			versions = append(versions, m.Version)
		}
	}
	return versions
}

// checkGo asks goose whether it would take m.
func checkGo(m *goose.Migration) error {
	if m == nil {
		return errors.New("is nil")
	}
	_, err := dryrun.Versions(nil, goose.WithGoMigrations(m))
	return err
}

// describe says where an explicit Go migration comes from, as far as it says so itself.
func describe(m *goose.Migration, files *envfs.Overlay) Migration {
	d := Migration{Version: m.Version, Source: m.Source, Go: m}
	if environment, dir, ok := owner(m.Source, files.Folders); ok && m.Source != "" {
		d.Environment, d.Source = environment, path.Join(dir, base(m.Source))
	}
	return d
}

// owner finds the folder that a registered migration belongs to. Its source is the path at compile
// time, on whatever machine that was, of which the folder's path must be the end. A folder that is
// the root of its file system has no path to compare: like goose, it takes what no other folder
// claims.
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

// registryMu guards goose's registry, the one thing that Migrators share: to hand it out, goose
// writes to the migrations in it.
var registryMu sync.Mutex

// registered lists goose's global registry if there is something in it for one of the folders.
// The registry has no accessor, but goose hands it out whole for a folder that has no files.
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
	// The device is a path that exists wherever goose's base file system is the operating
	// system's; if the application has set another, its root does.
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
