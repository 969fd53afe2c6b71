package gooseplus_test

import (
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

//go:embed testdata/embedded
var embedded embed.FS

func TestEnvironments(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/test/2_seed.sql", "sql/base/3_b.sql", "sql/production/4_p.sql")

	t.Run("base alone is the default", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fsys))
		applied(t, db, 1, 3)
	})

	t.Run("an environment is added to base, late versions included", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fsys))
		mustMigrate(t, sqlite(db, fsys, gooseplus.WithEnvironments("test")))
		applied(t, db, 1, 3, 2)
	})

	t.Run("seeds never reach production", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fsys, gooseplus.WithEnvironments("production")))
		applied(t, db, 1, 3, 4)
	})

	t.Run("the same environment twice", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fsys, gooseplus.WithEnvironments("test", "base"), gooseplus.WithEnvironments("test")))
		applied(t, db, 1, 2, 3)
	})

	t.Run("custom base name", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("db/common/1_a.sql", "db/eu/2_b.sql", "db/base/3_c.sql"),
			gooseplus.WithBasePath("db"), gooseplus.SetEnvironments([]string{"common"}), gooseplus.WithEnvironments("eu")))
		applied(t, db, 1, 2)
	})

	t.Run("no environments", func(t *testing.T) {
		for _, none := range [][]string{nil, {}} {
			db := openSQLite(t)
			mustMigrate(t, sqlite(db, folder("sql/1_a.sql", "sql/test/2_b.sql"), gooseplus.SetEnvironments(none)))
			applied(t, db, 1)
		}
	})

	t.Run("the root of the file system as base path", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("1_a.sql"), gooseplus.WithBasePath("."), gooseplus.SetEnvironments(nil)))
		applied(t, db, 1)
	})

	t.Run("an environment without a folder is empty, and logged", func(t *testing.T) {
		db := openSQLite(t)
		logger, logs := observedLogger()
		mustMigrate(t, sqlite(db, fsys, gooseplus.WithEnvironments("staging"), gooseplus.WithLogger(logger)))
		applied(t, db, 1, 3)
		if logs.FilterMessageSnippet(`environment "staging" has no folder sql/staging`).Len() != 1 {
			t.Errorf("logs: %v", logs.All())
		}
	})

	t.Run("a misspelt environment", func(t *testing.T) {
		for _, name := range []string{"prodution", "Production", "tets", "tes"} {
			err := fault(t, func(db *sql.DB) *gooseplus.Migrator {
				return sqlite(db, fsys, gooseplus.WithEnvironments(name))
			}, "did you mean")
			wantIs(t, err, gooseplus.ErrMergeMigrations)
			var near *envfs.NearMissError
			if !errors.As(err, &near) || near.Environment != name {
				t.Errorf("%v", err)
			}
		}
	})

	t.Run("an abbreviated environment", func(t *testing.T) {
		fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, fsys, gooseplus.WithEnvironments("prod"))
		}, `environment "prod"`, `did you mean "production"?`)
	})

	t.Run("an empty name, as of a variable that is not set", func(t *testing.T) {
		for _, names := range [][]string{{""}, {"test", ""}} {
			fault(t, func(db *sql.DB) *gooseplus.Migrator {
				return sqlite(db, fsys, gooseplus.WithEnvironments(names...), gooseplus.WithEnvironments("production"))
			}, "WithEnvironments: an environment's name is empty", "SetEnvironments(nil) means no folders")
		}
	})

	t.Run("an empty name that is replaced", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, fsys, gooseplus.WithEnvironments(""), gooseplus.SetEnvironments([]string{"test"})))
		applied(t, db, 2)
	})

	t.Run("an empty name that is set is the base path", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/1_a.sql", "sql/test/2_b.sql"),
			gooseplus.SetEnvironments([]string{""}), gooseplus.WithEnvironments("test")))
		applied(t, db, 1, 2)
	})

	t.Run("a version in two environments", func(t *testing.T) {
		err := fault(t, func(db *sql.DB) *gooseplus.Migrator {
			return sqlite(db, folder("sql/base/1_a.sql", "sql/test/0001_b.sql", "sql/base/7_x.sql", "sql/test/7_x.sql"),
				gooseplus.WithEnvironments("test"))
		}, "sql/base/1_a.sql", "sql/test/0001_b.sql", "sql/base/7_x.sql", "sql/test/7_x.sql")
		wantIs(t, err, gooseplus.ErrMergeMigrations)
	})

	t.Run("a file that is no migration is logged", func(t *testing.T) {
		db := openSQLite(t)
		logger, logs := observedLogger()
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/create_users.sql", "sql/base/2_b.SQL",
			"sql/base/2024/3_c.sql", "sql/base/2024/4_d.sql", "sql/base/views/v.sql"), gooseplus.WithLogger(logger)))
		applied(t, db, 1)
		if n := logs.FilterMessageSnippet(" is ignored").Len(); n != 3 {
			t.Errorf("%d warnings: %v", n, logs.All())
		}
		for _, path := range []string{"sql/base/create_users.sql", "sql/base/2_b.SQL", "sql/base/2024/3_c.sql"} {
			if logs.FilterMessageSnippet(path+" is ignored").Len() != 1 {
				t.Errorf("no warning about %s: %v", path, logs.All())
			}
		}
	})
}

func TestFileSystems(t *testing.T) {
	onDisk := t.TempDir()
	for path, file := range folder("sql/base/1_a.sql", "sql/test/2_b.sql") {
		path = filepath.Join(onDisk, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := fs.Sub(embedded, "testdata/embedded")
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]gooseplus.Option{
		"os.DirFS":     {gooseplus.WithFS(os.DirFS(onDisk))},
		"embed.FS":     {gooseplus.WithFS(embedded), gooseplus.WithBasePath("testdata/embedded/sql")},
		"fs.Sub":       {gooseplus.WithFS(sub)},
		"fstest.MapFS": {gooseplus.WithFS(folder("sql/base/1_a.sql", "sql/test/2_b.sql"))},
		"odd spelling": {gooseplus.WithFS(os.DirFS(onDisk)), gooseplus.WithBasePath("./sql/")},
	} {
		t.Run(name, func(t *testing.T) {
			db := openSQLite(t)
			mustMigrate(t, sqlite(db, nil, append(opts, gooseplus.WithEnvironments("test"))...))
			applied(t, db, 1, 2)
		})
	}

	t.Run("the default is the working directory", func(t *testing.T) {
		t.Chdir(onDisk)
		db := openSQLite(t)
		mustMigrate(t, gooseplus.New(db, gooseplus.WithDialect("sqlite3")))
		applied(t, db, 1)
	})
}

// TestBodiesAreReadWhenPending: a service with thousands of files boots without opening them, or opens each once if it
// compares their sums.
func TestBodiesAreReadWhenPending(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	fsys := &openCounter{MapFS: folder("sql/base/1_a.sql", "sql/base/2_b.sql")}
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fsys))
	mustMigrate(t, m)
	applied(t, db, 1, 2)
	if n := fsys.bodies.Load(); n != 8 {
		t.Errorf("two files were opened %d times, want four times each: for their sums at the look and when they are pending, and goose reads each direction by itself", n)
	}
	fsys.bodies.Store(0)
	mustMigrate(t, gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fsys)))
	if n := fsys.bodies.Load(); n != 2 {
		t.Errorf("a boot with nothing pending opened %d files, want 2", n)
	}
	fsys.bodies.Store(0)
	mustMigrate(t, gooseplus.New(db, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fsys), gooseplus.WithChecksums(gooseplus.Ignore)))
	if fsys.bodies.Load() != 0 {
		t.Errorf("a boot with nothing pending opened %d files", fsys.bodies.Load())
	}
	if err := m.Err(); err != nil || fsys.bodies.Load() == 0 {
		t.Errorf("Err opened %d files, %v", fsys.bodies.Load(), err)
	}
}

type openCounter struct {
	fstest.MapFS
	bodies atomic.Int64 // goose reads both directions of a file at once
}

func (c *openCounter) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".sql") {
		c.bodies.Add(1)
	}
	return c.MapFS.Open(name)
}

func (c *openCounter) ReadFile(name string) ([]byte, error) {
	c.bodies.Add(1)
	return c.MapFS.ReadFile(name)
}
