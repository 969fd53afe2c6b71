package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// numbering is how the migrations of all environments are numbered.
type numbering struct {
	highest int64
	width   int // of the number of the highest
	paired  bool
	taken   map[int64]bool
}

func (p place) numbering() (numbering, error) {
	n := numbering{taken: make(map[int64]bool)}
	highestSQL := int64(-1)
	err := p.walk(func(path string, match []string) {
		version, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			return // too long for a version; validate says so
		}
		n.taken[version] = true
		if version > n.highest {
			n.highest, n.width = version, len(match[1])
		}
		if match[2] == "sql" && version > highestSQL && !envfs.IsCheckpoint(path) {
			highestSQL, n.paired = version, strings.HasSuffix(path, ".up.sql") || strings.HasSuffix(path, ".down.sql")
		}
	})
	return n, err
}

// walk calls found for each file of a migration, with the parts of its name: of all environments.
func (p place) walk(found func(path string, match []string)) error {
	return filepath.WalkDir(p.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == p.root {
			return nil // the first migration of all
		}
		if err != nil {
			return err
		}
		if e.IsDir() {
			if rel, err := filepath.Rel(p.root, path); err == nil && strings.Contains(rel, string(filepath.Separator)) {
				return fs.SkipDir
			}
			return nil
		}
		if match := migrationName.FindStringSubmatch(e.Name()); match != nil {
			found(path, match)
		}
		return nil
	})
}

// paired says whether the newest SQL migration is a file for each direction.
func (p place) paired() bool {
	n, err := p.numbering()
	return err == nil && n.paired // create reports the error
}

// takeGo adds the versions of all Go migrations of a module: goose registers them by their versions in one place, and
// panics when two namespaces have the same one.
func (n *numbering) takeGo(module string) error {
	return filepath.WalkDir(module, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && path != module && e.IsDir():
			return fs.SkipDir // not ours to read
		case err != nil:
			return err
		case e.IsDir() && path != module && (strings.HasPrefix(e.Name(), ".") || e.Name() == "vendor" || e.Name() == "node_modules"):
			return fs.SkipDir
		}
		if match := migrationName.FindStringSubmatch(e.Name()); !e.IsDir() && match != nil && match[2] == "go" {
			if version, err := strconv.ParseInt(match[1], 10, 64); err == nil {
				n.taken[version] = true
			}
		}
		return nil
	})
}

// moduleOf is the folder of the Go module that a folder is in, or the folder itself.
func moduleOf(dir string) string {
	absolute, err := filepath.Abs(dir)
	for at := absolute; err == nil; at = filepath.Dir(at) {
		if _, statErr := os.Stat(filepath.Join(at, "go.mod")); statErr == nil {
			return at
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	return dir
}

// next is the version of a new migration, as its file has it.
func (n numbering) next(now time.Time) string {
	if n.highest > 0 && n.highest < firstTime {
		version := n.highest + 1
		for n.taken[version] {
			version++
		}
		return fmt.Sprintf("%0*d", n.width, version)
	}
	for ; ; now = now.Add(time.Second) { // two in one second
		text := now.UTC().Format(secondLayout)
		version, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !n.taken[version] {
			return text
		}
	}
}

// after is like next, but the number is higher than all existing ones.
func (n numbering) after(now time.Time) string {
	if highest, err := time.Parse(secondLayout, strconv.FormatInt(n.highest, 10)); err == nil && !highest.Before(now) {
		now = highest.Add(time.Second)
	}
	return n.next(now)
}

// secondLayout is the layout of versions that are times.
const secondLayout = "20060102150405"

// lockFolders keeps other processes from numbering a migration in the folders at the same time. The lock is on the
// folders themselves, so it leaves no file behind, and ends with the process. Where a file system can't lock a folder,
// two processes in the same second can choose one version, which validate finds.
func lockFolders(ctx context.Context, folders []string) (unlock func(), err error) {
	var locks []*flock.Flock
	unlock = func() {
		for _, l := range locks {
			_ = l.Close() // which can't undo what was written
		}
	}
	held := make(map[string]bool)
	for _, folder := range folders {
		folder, err := filepath.Abs(folder)
		if err != nil || held[folder] {
			continue
		}
		held[folder] = true
		l := flock.New(folder, flock.SetFlag(os.O_RDONLY))
		switch _, err := l.TryLockContext(ctx, 5*time.Millisecond); {
		case err == nil:
			locks = append(locks, l)
		case ctx.Err() != nil:
			unlock()
			return nil, context.Cause(ctx)
		}
	}
	return unlock, nil
}
