package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

// renumberFlags say which files are renumbered.
type renumberFlags struct {
	dir  string
	keep []string
}

func (f *renumberFlags) add(cmd *cobra.Command, s *settings) {
	if !s.standalone {
		cmd.Flags().StringVar(&f.dir, "dir", "sql", "`folder` of the migrations")
		settable(cmd.Flags(), "dir", "GOOSE_MIGRATION_DIR")
	}
	cmd.Flags().StringArrayVar(&f.keep, "keep", nil, "`file` that keeps its version if several have it; can be repeated")
}

// numbered is a migration with its number: a file, or the two files of a pair.
type numbered struct {
	version int64
	files   []string
}

// renamed is a migration in the data of renumber.
type renamed struct {
	From  int64      `json:"from"`
	To    int64      `json:"to"`
	Files []fileMove `json:"files"`
}

type fileMove struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// renumber gives new numbers to migrations that collide, and to those that come late for a database.
func renumber(c *call, f *renumberFlags) error {
	if c.settings.standalone {
		f.dir = c.settings.files.dir
	}
	namespace := c.settings.shared.namespace
	if names := namespacesIn(f.dir); namespace == "" && len(names) > 0 {
		return usagef("each namespace has versions of its own: choose one with --namespace, of %s", clean(strings.Join(names, ", ")))
	}
	root := filepath.Join(f.dir, namespace)
	if !isFolder(root) {
		return usagef("there is no folder %s: --dir says where the migrations are", root)
	}
	applied, err := appliedTo(c, namespace)
	if err != nil {
		return err
	}
	unlock, err := lockFolders(c.ctx, []string{f.dir})
	if err != nil {
		return err
	}
	defer unlock()
	moves, err := newNumbers(place{root: root}, applied, f.keep, time.Now())
	if err != nil {
		return err
	}
	files := 0
	for _, m := range moves {
		for _, file := range m.Files {
			c.out.line("%s -> %s", clean(file.From), clean(file.To))
			files++
		}
	}
	c.data = map[string]any{"renamed": append([]renamed{}, moves...)}
	if files == 0 {
		late := ""
		if applied == nil {
			late = " (without a database, nobody knows which come late)"
		}
		c.out.line("no migration needs another number%s", late)
		return nil
	}
	if err := c.confirm("rename " + counted(files, "file")); err != nil {
		c.data = nil
		return err
	}
	update := c.keepSums(f.dir)
	if err := rename(moves); err != nil {
		c.data = nil
		return err
	}
	c.out.line("%s renamed", counted(files, "file"))
	data := map[string]any{"renamed": moves}
	if file := update(); file != "" {
		data["sum"] = file
	}
	c.data = data
	return nil
}

// appliedTo reads which versions are applied or half-applied; it returns nil without a database. It uses a Migrator with an
// empty folder, because a Migrator refuses to do anything if two files have the same version.
func appliedTo(c *call, namespace string) (map[int64]bool, error) {
	dir, err := os.MkdirTemp("", "gooseplus-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(filepath.Join(dir, namespace, "base"), 0o700); err != nil {
		return nil, err
	}
	m, err := c.without(dir)
	if err != nil || m == nil {
		return nil, err
	}
	if namespace != "" {
		m = m.With(gooseplus.WithNamespaces(namespace)).Namespace(namespace)
	}
	s, err := m.Status(c.ctx)
	if err != nil {
		return nil, err
	}
	applied := make(map[int64]bool)
	for _, migration := range s.Migrations {
		applied[migration.Version] = migration.AppliedAt != nil || migration.Failed
	}
	return applied, nil
}

// without is a Migrator for the same database with the migrations of another folder, nil if there is no database.
func (c *call) without(dir string) (*gooseplus.Migrator, error) {
	if !c.settings.standalone {
		m, err := c.open(c.ctx)
		if err != nil || m == nil || m.DB() == nil {
			return nil, err
		}
		return m.With(gooseplus.WithFS(os.DirFS(dir)), gooseplus.WithBasePath("."), gooseplus.SetEnvironments([]string{"base"})), nil
	}
	s := *c.settings
	if s.database.dsn == "" && s.shared.masterDSN == "" && s.database.fallbackDSN == "" {
		return nil, nil
	}
	s.files = filesFlags{dir: dir, protected: s.files.protected, envFile: s.files.envFile}
	s.pools.looks = true
	m, err := s.migrator(c.ctx)
	c.settings.pools.opened = s.pools.opened
	return m, err
}

// newNumbers plans the new numbers: for all but one of the migrations that share a version, and for late migrations. An
// applied migration keeps its number.
func newNumbers(p place, applied map[int64]bool, keep []string, now time.Time) (moves []renamed, err error) {
	byVersion, err := p.migrations()
	if err != nil {
		return nil, err
	}
	n, err := p.numbering()
	if err != nil {
		return nil, err
	}
	newest := int64(0)
	for version, is := range applied {
		n.taken[version] = true
		if is {
			newest = max(newest, version)
		}
	}
	if newest > n.highest {
		n.highest, n.width = newest, max(n.width, len(strconv.FormatInt(newest, 10)))
	}
	var moving []numbered
	for _, version := range slices.Sorted(maps.Keys(byVersion)) {
		list := byVersion[version]
		switch late := version < newest && !applied[version]; {
		case late:
			moving = append(moving, list...)
		case len(list) > 1:
			kept, err := keeper(list, keep, applied[version])
			if err != nil {
				return nil, err
			}
			moving = append(moving, slices.Delete(list, kept, kept+1)...)
		}
	}
	slices.SortStableFunc(moving, func(a, b numbered) int {
		return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(a.files[0], b.files[0]))
	})
	for _, m := range moving {
		if err := m.movable(byVersion); err != nil {
			return nil, err
		}
		number := n.after(now)
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, err
		}
		n.taken[version], n.highest = true, version
		move := renamed{From: m.version, To: version}
		for _, file := range m.files {
			_, rest, _ := strings.Cut(filepath.Base(file), "_")
			to := filepath.Join(filepath.Dir(file), number+"_"+rest)
			move.Files = append(move.Files, fileMove{filepath.ToSlash(file), filepath.ToSlash(to)})
		}
		moves = append(moves, move)
	}
	return moves, nil
}

// keeper chooses the migration that keeps a shared version: the one that --keep names, or the first one. If the version is
// applied, --keep must name it.
func keeper(list []numbered, keep []string, applied bool) (int, error) {
	slices.SortFunc(list, func(a, b numbered) int { return cmp.Compare(a.files[0], b.files[0]) })
	for i, m := range list {
		if slices.ContainsFunc(keep, func(k string) bool { return slices.Contains(m.files, filepath.Clean(k)) }) {
			return i, nil
		}
	}
	if !applied {
		return 0, nil
	}
	var files []string
	for _, m := range list {
		files = append(files, filepath.ToSlash(m.files[0]))
	}
	return 0, usagef("version %d is applied, and the database doesn't say which of these files it was: %s. Name it with --keep", list[0].version, strings.Join(files, ", "))
}

// replayed finds the version that a Replay annotation names.
var replayed = regexp.MustCompile(`(?m)^--\s*\+gooseplus\s+Replay\s+(\d+)`)

// movable refuses a migration whose number is written in a file too: renaming alone would break that file.
func (m numbered) movable(all map[int64][]numbered) error {
	for _, list := range all {
		for _, other := range list {
			for _, file := range other.files {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				for _, match := range replayed.FindAllStringSubmatch(string(text), -1) {
					if version, err := strconv.ParseInt(match[1], 10, 64); err == nil && version == m.version {
						return &refusedError{fmt.Errorf("%s replays version %d, which needs another number: renumber these files by hand", filepath.ToSlash(file), version)}
					}
				}
				if slices.Contains(m.files, file) && strings.HasSuffix(file, ".go") && strings.Contains(string(text), "AddNamedMigration") {
					return &refusedError{fmt.Errorf("%s has its own name in its text (AddNamedMigration…): renumber it by hand", filepath.ToSlash(file))}
				}
			}
		}
	}
	return nil
}

// migrations lists the migrations of all environments by version. The two files of a pair are one migration.
func (p place) migrations() (map[int64][]numbered, error) {
	found := make(map[string]*numbered)
	err := p.walk(func(path string, match []string) {
		version, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			return // too long for a version; validate says so
		}
		name := filepath.Base(path)
		if envfs.IsCheckpoint(name) {
			return // it has the version of a migration
		}
		key := path
		for _, half := range []string{".up.sql", ".down.sql"} {
			if strings.HasSuffix(name, half) { // halves belong together by version
				key = filepath.Join(filepath.Dir(path), match[1]+half[len(half)-4:])
			}
		}
		if found[key] == nil {
			found[key] = &numbered{version: version}
		}
		found[key].files = append(found[key].files, path)
	})
	byVersion := make(map[int64][]numbered)
	for _, m := range found {
		slices.Sort(m.files)
		byVersion[m.version] = append(byVersion[m.version], *m)
	}
	return byVersion, err
}

// rename renames files, all of them or none.
func rename(moves []renamed) error {
	var done []fileMove
	for _, m := range moves {
		for _, file := range m.Files {
			err := os.Link(file.From, file.To) // unlike Rename, it never overwrites a file
			if err != nil && !errors.Is(err, os.ErrExist) {
				err = os.Rename(file.From, file.To)
			} else if err == nil {
				err = os.Remove(file.From)
			}
			if err != nil {
				for _, d := range slices.Backward(done) {
					err = errors.Join(err, os.Rename(d.To, d.From))
				}
				return err
			}
			done = append(done, file)
		}
	}
	return nil
}
