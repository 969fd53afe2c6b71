package gooseplus_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"github.com/gooseplus/gooseplus"
)

func logText(lines []observer.LoggedEntry) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintln(&b, line.Message, line.ContextMap())
	}
	return b.String()
}

// TestSideBySide runs Migrators that differ in everything in one process: under the race detector,
// nothing may be shared.
func TestSideBySide(t *testing.T) {
	register(t, "/build/app/left/base/0003_x.go", "/build/app/right/base/0004_y.go")
	var migrators []*gooseplus.Migrator
	var check []func()
	for i := range 4 {
		side := []string{"left", "right"}[i%2]
		db := openSQLite(t)
		table := fmt.Sprintf("history_%d", i)
		dialect := []string{"sqlite", "sqlite3"}[i%2]
		migrators = append(migrators, sqlite(db, folder(side+"/base/1_a.sql", side+"/base/2_b.sql"),
			gooseplus.WithDialect(dialect), gooseplus.WithBasePath(side), gooseplus.WithVersionTable(table)))
		check = append(check, func() {
			var versions string
			if err := db.QueryRow(`SELECT group_concat(version_id, ' ') FROM ` + table).Scan(&versions); err != nil {
				t.Error(err)
			}
			if want := map[string]string{"left": "0 1 2 3", "right": "0 1 2 4"}[side]; versions != want {
				t.Errorf("%s: versions %s, want %s", side, versions, want)
			}
		})
	}
	var wg sync.WaitGroup
	for _, m := range migrators {
		wg.Go(func() {
			if err := m.Migrate(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range check {
		c()
	}
}

// TestOneMigratorManyGoroutines: with nothing pending, a Migrator serves any number at once.
func TestOneMigratorManyGoroutines(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql"))
	mustMigrate(t, m)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := m.Migrate(context.Background()); err != nil {
				t.Error(err)
			}
			if v, err := m.Version(context.Background()); v != 1 || err != nil {
				t.Errorf("Version = %d, %v", v, err)
			}
		})
	}
	wg.Wait()
	applied(t, db, 1)
}

// TestDependencies: a program that imports gooseplus gets goose with its dependencies, and zap. Nothing else.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"github.com/gooseplus/gooseplus",
		"github.com/pressly/goose/v3",
		"github.com/mfridman/interpolate", // goose
		"github.com/sethvargo/go-retry",   // goose
		"go.uber.org/multierr",            // goose and zap
		"go.uber.org/zap",
		"golang.org/x/sync", // goose
		"github.com/gofrs/flock",
		"golang.org/x/sys", // flock
	}
	for _, path := range strings.Fields(string(out)) {
		if !slices.ContainsFunc(allowed, func(a string) bool { return path == a || strings.HasPrefix(path, a+"/") }) {
			t.Errorf("the package needs %s", path)
		}
	}
}

// TestImportsPointDown: a package below internal knows those that come later in this list, and neither the root package nor
// zap. The values that it needs of them are arguments.
func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	order := []string{"migset", "drive", "history", "session", "mutex", "dryrun", "envfs", "dump", "catalog", "locks", "dialect", "sumfile",
		"plan", "fleet", "failure", "redact", "sqltext", "wait", "lazy"}
	others := []string{"page", "conformance", "dbtest", "manual"} // of the command line, and for tests
	const module = "github.com/gooseplus/gooseplus"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module+"/internal/")
		place := slices.Index(order, name)
		switch {
		case slices.Contains(others, strings.Split(name, "/")[0]):
			continue
		case place < 0:
			t.Errorf("%s has no place in the order", words[0])
			continue
		}
		found++
		for _, path := range words[1:] {
			below, ours := strings.CutPrefix(path, module)
			if path == "go.uber.org/zap" || ours && slices.Index(order, strings.TrimPrefix(below, "/internal/")) <= place {
				t.Errorf("%s imports %s", words[0], path)
			}
		}
	}
	if found != len(order) {
		t.Errorf("%d packages of %d were found", found, len(order))
	}
}
