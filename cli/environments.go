package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/gooseplus/gooseplus"
)

// environmentDone is an environment in the data of env.
type environmentDone struct {
	Name       string `json:"name"`
	Folder     string `json:"folder,omitempty"`
	Migrations int    `json:"migrations"`
	Chosen     bool   `json:"chosen"`
	Seen       *bool  `json:"seen"`
}

// environmentList are the environments by their names.
type environmentList map[string]*environmentDone

func (l environmentList) of(name string) *environmentDone {
	if l[name] == nil {
		l[name] = &environmentDone{Name: name}
	}
	return l[name]
}

// environments is the command env. It shows the folders even if the settings are at fault: a person who misspelt an
// environment needs the list.
func environments(c *call) error {
	list := make(environmentList)
	s := c.settings
	purpose := mainDatabase
	if s.standalone {
		list.addFolders(s)
		if !s.hasDSN() {
			purpose = noDatabase
		}
	}
	m, err := c.migrator(withPurpose(c.ctx, purpose))
	if err == nil && m.DB() != nil {
		err = list.addStatus(c.ctx, m, s.standalone)
	}
	data := []*environmentDone{}
	rows := [][]cell{cells("ENVIRONMENT", "MIGRATIONS", "CHOSEN", "SEEN BY THE DATABASE", "FOLDER")}
	yes := map[bool]cell{true: {"yes", green}, false: {text: "no"}}
	for _, e := range list {
		data = append(data, e)
	}
	slices.SortFunc(data, func(a, b *environmentDone) int {
		switch {
		case a.Name == "base":
			return -1
		case b.Name == "base":
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	for _, e := range data {
		seen := cell{text: "?"}
		if e.Seen != nil {
			seen = yes[*e.Seen]
		}
		rows = append(rows, []cell{{text: e.Name}, {text: strconv.Itoa(e.Migrations)}, yes[e.Chosen], seen, {text: e.Folder}})
	}
	c.data = map[string]any{"environments": data}
	if len(data) == 0 {
		c.out.line("there are no environments: the migrations are directly in their folder")
		return err
	}
	c.out.table(rows)
	return err
}

// addFolders adds the folders, in each namespace.
func (l environmentList) addFolders(s *settings) {
	namespaces := s.namespaces()
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	direct := true
	for _, namespace := range namespaces {
		root := filepath.Join(s.files.dir, namespace)
		if flat(os.DirFS(root), ".") || namespace != "" && len(foldersIn(root)) == 0 {
			continue
		}
		direct = false
		for _, folder := range foldersIn(root) {
			e := l.of(folder)
			if e.Folder == "" {
				e.Folder = filepath.ToSlash(filepath.Join(root, folder))
			}
			e.Migrations += countMigrations(filepath.Join(root, folder))
		}
	}
	if direct {
		return
	}
	for _, name := range append([]string{"base"}, s.files.environments...) {
		l.of(name).Chosen = true
	}
}

// countMigrations counts the versions in a folder.
func countMigrations(dir string) int {
	entries, _ := os.ReadDir(dir) // one that can't be read is reported by the commands that need it
	versions := make(map[int64]bool)
	for _, e := range entries {
		if match := migrationName.FindStringSubmatch(e.Name()); match != nil && !e.IsDir() {
			if version, err := strconv.ParseInt(match[1], 10, 64); err == nil {
				versions[version] = true
			}
		}
	}
	return len(versions)
}

// addStatus adds what the database has seen. Without folders to look into, it adds what the Migrator knows too.
func (l environmentList) addStatus(ctx context.Context, m *gooseplus.Migrator, folders bool) error {
	statuses := make(map[string]gooseplus.Status)
	var err error
	if len(m.Namespaces()) > 0 {
		statuses, err = m.NamespaceStatus(ctx)
	} else {
		statuses[""], err = statusAnyway(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("what the database has seen can't be read: %w", err)
	}
	seen := make(map[string]bool)
	for _, s := range statuses {
		for _, name := range s.Environments {
			l.of(name).Chosen = true
		}
		for _, name := range s.Seen {
			l.of(name)
			seen[name] = true
		}
		for _, migration := range s.Migrations {
			if migration.AppliedAt != nil {
				seen["base"] = true // the database doesn't remember base by name
			}
			if migration.Environment != "" && !folders {
				l.of(migration.Environment).Migrations++
			}
		}
	}
	for name, e := range l {
		was := seen[name]
		e.Seen = &was
	}
	return nil
}
