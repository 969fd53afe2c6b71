// The namespaces example has four bounded contexts in one database, each with migrations and a version table
// of its own. When a release fails in the third, what it did to the first is undone too.
package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

//go:embed sql
var files embed.FS

// nextRelease has the migrations that the second deployment adds.
//
//go:embed next-release
var nextRelease embed.FS

// contexts are in the order in which they are migrated: each may refer to those before it.
var contexts = []string{"core", "shared", "identity", "customer-mgmt"}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "namespaces:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "gooseplus-namespaces-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "crm.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := os.CopyFS(dir, files); err != nil {
		return err
	}

	ctx := context.Background()
	migrator := func() *gooseplus.Migrator { // as a service makes it each time it boots
		return gooseplus.New(db,
			gooseplus.WithDialect("sqlite3"),
			gooseplus.WithFS(os.DirFS(dir)),
			gooseplus.WithNamespaces(contexts...),
			gooseplus.WithEnvironments("test"),
			gooseplus.WithGlobalLock(true), // one for all of them
			gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
				if e, ok := event.(gooseplus.MigrationFinished); ok {
					fmt.Fprintf(w, "  %-4s %s %d%s\n", e.Step.Direction, e.Namespace, e.Step.Version, map[bool]string{true: "  failed"}[e.Err != nil])
				}
			}))
	}

	fmt.Fprintln(w, "First deployment")
	if err := migrator().Migrate(ctx); err != nil {
		return err
	}
	if err := printStatus(ctx, w, migrator()); err != nil {
		return err
	}

	fmt.Fprintln(w, "Next release: two accounts have the same address, so that identity fails")
	release, err := fs.Sub(nextRelease, "next-release")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "sql"), release); err != nil {
		return err
	}
	err = migrator().Migrate(ctx)
	var failed *gooseplus.MigrationError
	if !errors.Is(err, gooseplus.ErrRollForward) || !errors.As(err, &failed) {
		return fmt.Errorf("the release did not fail as it should: %w", err)
	}
	fmt.Fprintf(w, "  %s\n", failed)
	if err := printStatus(ctx, w, migrator()); err != nil {
		return err
	}

	fmt.Fprintln(w, "core alone, and back")
	if err := migrator().MigrateNamespace(ctx, "core"); err != nil {
		return err
	}
	return migrator().Namespace("core").Rollback(ctx, 1)
}

func printStatus(ctx context.Context, w io.Writer, m *gooseplus.Migrator) error {
	all, err := m.NamespaceStatus(ctx)
	if err != nil {
		return err
	}
	for _, name := range contexts {
		fmt.Fprintf(w, "  %s is at version %d, %d pending\n", name, all[name].CurrentVersion, all[name].PendingCount)
	}
	return nil
}
