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

// TestDependencies: who imports gooseplus gets goose with its dependencies, and zap. Nothing else.
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
