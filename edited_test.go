package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// warningsOf collects the warnings of runs.
func warningsOf(list *[]string) gooseplus.Option {
	return gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if w, ok := e.(gooseplus.Warning); ok {
			*list = append(*list, w.Message)
		}
	})
}

func edited(t *testing.T, m *gooseplus.Migrator) (versions []int64) {
	t.Helper()
	status, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range status.Migrations {
		if s.Edited {
			versions = append(versions, s.Version)
		}
	}
	return versions
}

// TestEdited: a file that is edited after its migration was applied is found by a boot with nothing pending, by a run with
// something pending, and by the status.
func TestEdited(t *testing.T) {
	t.Parallel()
	files := func() fstest.MapFS { return folder("sql/base/1_a.sql", "sql/base/2_b.sql") }
	for _, tc := range []struct {
		situation string
		edit      func(fstest.MapFS)
		edited    bool
	}{
		{"not at all", func(fstest.MapFS) {}, false},
		{"a comment, line ends and trailing spaces", func(f fstest.MapFS) {
			f["sql/base/1_a.sql"].Data = []byte("-- why\r\n" + strings.ReplaceAll(string(f["sql/base/1_a.sql"].Data), "\n", "  \r\n"))
		}, false},
		{"its Up", func(f fstest.MapFS) {
			f["sql/base/1_a.sql"] = migrationFile("CREATE TABLE a (id INTEGER, more TEXT);", "DROP TABLE a;")
		}, true},
		{"its Down", func(f fstest.MapFS) {
			f["sql/base/1_a.sql"] = migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE IF EXISTS a;")
		}, true},
		{"its name", func(f fstest.MapFS) {
			f["sql/base/1_other.sql"] = f["sql/base/1_a.sql"]
			delete(f, "sql/base/1_a.sql")
		}, false},
	} {
		for _, lock := range []bool{false, true} {
			t.Run(tc.situation+map[bool]string{true: ", with the lock"}[lock], func(t *testing.T) {
				t.Parallel()
				db, fsys := openSQLite(t), files()
				mustMigrate(t, sqlite(db, fsys, gooseplus.WithGlobalLock(lock)))
				tc.edit(fsys)
				var warnings []string
				m := sqlite(db, fsys, gooseplus.WithGlobalLock(lock), warningsOf(&warnings))
				mustMigrate(t, m)
				if tc.edited != (len(warnings) == 1 && strings.Contains(warnings[0], "1 (sql/base/1_a.sql)") && strings.Contains(warnings[0], "Accept(1)")) {
					t.Errorf("with nothing pending: %q", warnings)
				}
				if got := edited(t, m); tc.edited != (len(got) == 1) {
					t.Errorf("Status: %v", got)
				}
				fsys["sql/base/3_c.sql"] = migrationFile("CREATE TABLE c (id INTEGER);", "DROP TABLE c;")
				strict := sqlite(db, fsys, gooseplus.WithGlobalLock(lock), gooseplus.WithChecksums(gooseplus.Refuse))
				err := strict.Migrate(t.Context())
				_, planned := strict.Plan(t.Context())
				if !tc.edited {
					if err != nil || planned != nil {
						t.Fatal(err, planned)
					}
					applied(t, db, 1, 2, 3)
					return
				}
				wantIs(t, err, gooseplus.ErrEdited)
				wantIs(t, planned, gooseplus.ErrEdited)
				applied(t, db, 1, 2)
				if err := strict.Accept(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				mustMigrate(t, strict)
				applied(t, db, 1, 2, 3)
				if got := edited(t, strict); got != nil {
					t.Errorf("Status after Accept: %v", got)
				}
			})
		}
	}
}

// TestEditedIgnored: nothing is remembered, and no state table is made.
func TestEditedIgnored(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithChecksums(gooseplus.Ignore), gooseplus.WithUnknownVersions(gooseplus.Ignore)))
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version_lock'").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d state tables, %v", n, err)
	}
}

// TestMendedMeanwhile: a Migrator remembers the text that it has executed, also if the file was another one at its first run.
func TestMendedMeanwhile(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	fsys := fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER) nonsense;", "DROP TABLE a;")}
	m := sqlite(db, fsys)
	if err := m.Migrate(t.Context()); !errors.Is(err, gooseplus.ErrRollForward) {
		t.Fatal(err)
	}
	fsys["sql/base/1_a.sql"] = migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")
	mustMigrate(t, m)
	mustMigrate(t, sqlite(db, fsys, gooseplus.WithChecksums(gooseplus.Refuse)))
}

// TestAdopted: migrations applied before there were sums are remembered as they are at the next run that has anything to do, or at Accept.
func TestAdopted(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"Migrate", "Accept"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			db, fsys := openSQLite(t), folder("sql/base/1_a.sql", "sql/base/2_b.sql")
			if err := gooseUp(t.Context(), db, folder("sql/base/1_a.sql", "sql/base/2_b.sql")); err != nil {
				t.Fatal(err)
			}
			strict := sqlite(db, fsys, gooseplus.WithChecksums(gooseplus.Refuse))
			mustMigrate(t, strict) // nothing is pending, and nothing is remembered
			fsys["sql/base/1_a.sql"] = migrationFile("CREATE TABLE a (id INTEGER, x TEXT);", "DROP TABLE a;")
			mustMigrate(t, sqlite(db, fsys, gooseplus.WithChecksums(gooseplus.Refuse)))
			if way == "Migrate" {
				fsys["sql/base/3_c.sql"] = migrationFile("CREATE TABLE c (id INTEGER);", "DROP TABLE c;")
				mustMigrate(t, sqlite(db, fsys, gooseplus.WithChecksums(gooseplus.Refuse)))
			} else if err := sqlite(db, fsys).Accept(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			fsys["sql/base/1_a.sql"] = migrationFile("CREATE TABLE a (id INTEGER, y TEXT);", "DROP TABLE a;")
			wantIs(t, sqlite(db, fsys, gooseplus.WithChecksums(gooseplus.Refuse)).Migrate(t.Context()), gooseplus.ErrEdited)
		})
	}
}

func TestAcceptRefuses(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"))
	if err := m.MigrateTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, version := range []int64{0, 2, 7} {
		if err := m.Accept(t.Context(), version); err == nil || !strings.Contains(err.Error(), "nothing to accept") {
			t.Errorf("Accept(%d): %v", version, err)
		}
	}
	mustMigrate(t, m)
	if err := sqlite(db, folder("sql/base/1_a.sql")).Accept(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "nothing to accept") {
		t.Errorf("a version without a migration: %v", err)
	}
}

// TestUndoneIsForgotten: a version that is undone and applied again counts as it was applied last.
func TestUndoneIsForgotten(t *testing.T) {
	t.Parallel()
	db, fsys := openSQLite(t), folder("sql/base/1_a.sql", "sql/base/2_b.sql")
	strict := []gooseplus.Option{gooseplus.WithChecksums(gooseplus.Refuse)}
	mustMigrate(t, sqlite(db, fsys, strict...))
	fsys["sql/base/2_b.sql"] = migrationFile("CREATE TABLE b (id INTEGER, x TEXT);", "DROP TABLE b;")
	if err := sqlite(db, fsys, strict...).Rollback(t.Context(), 1); err != nil { // a person may go down all the same
		t.Fatal(err)
	}
	mustMigrate(t, sqlite(db, fsys, strict...))
	if got := edited(t, sqlite(db, fsys, strict...)); got != nil {
		t.Errorf("edited: %v", got)
	}
	// A run that fails remembers nothing of what it undid.
	fsys["sql/base/3_c.sql"] = migrationFile("CREATE TABLE c (id INTEGER);", "DROP TABLE c;")
	fsys["sql/base/4_d.sql"] = migrationFile("SELECT * FROM nowhere;", "SELECT 1;")
	wantIs(t, sqlite(db, fsys, strict...).Migrate(t.Context()), gooseplus.ErrRollForward)
	if n := rememberedVersions(t, db); n != "1 2" {
		t.Errorf("remembered are %s", n)
	}
	if err := sqlite(db, fsys).Force(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if n := rememberedVersions(t, db); n != "1 2 3" {
		t.Errorf("after Force, remembered are %s", n)
	}
}

func rememberedVersions(t *testing.T, db *sql.DB) (list string) {
	t.Helper()
	if err := db.QueryRow("SELECT group_concat(version_id, ' ') FROM (SELECT version_id FROM goose_db_version_lock WHERE kind = 'applied' ORDER BY version_id)").Scan(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRequires: a migration can require that programs know a version.
func TestRequires(t *testing.T) {
	t.Parallel()
	newer := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")
	newer["sql/base/3_c.sql"].Data = append([]byte("-- +gooseplus requires 2\n"), newer["sql/base/3_c.sql"].Data...)
	db := openSQLite(t)
	if err := sqlite(nil, newer).Err(); err != nil {
		t.Fatal(err)
	}
	mustMigrate(t, sqlite(db, newer))
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql")))
	old := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithUnknownVersions(gooseplus.Ignore))
	wantIs(t, old.Migrate(t.Context()), gooseplus.ErrTooOld)
	_, err := old.Plan(t.Context())
	wantIs(t, err, gooseplus.ErrTooOld)
}

// TestApplicationVersion is remembered of each migration and run.
func TestApplicationVersion(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithApplicationVersion("v1.2.3"), gooseplus.WithGlobalLock(true))
	mustMigrate(t, m)
	status, err := m.Status(t.Context())
	if err != nil || status.Migrations[0].Application != "v1.2.3" {
		t.Errorf("%+v, %v", status.Migrations, err)
	}
	if err := m.Accept(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	runs, err := m.Runs(t.Context())
	if err != nil || len(runs) != 2 || runs[0].Outcome != gooseplus.RunAccepted || runs[1].Outcome != gooseplus.RunMigrated || runs[1].Application != "v1.2.3" {
		t.Errorf("%+v, %v", runs, err)
	}
}

// unreadable is a file system that refuses to open one of its files.
type unreadable struct {
	fstest.MapFS
	path string
}

func (u unreadable) Open(name string) (fs.File, error) {
	if name == u.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.MapFS.Open(name)
}

func (u unreadable) ReadFile(name string) ([]byte, error) {
	if name == u.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.MapFS.ReadFile(name)
}

// TestUnreadableAppliedFile: a run that doesn't need a file of an applied migration goes on without it, unless edits are refused.
func TestUnreadableAppliedFile(t *testing.T) {
	t.Parallel()
	for _, remembered := range []bool{true, false} {
		for _, policy := range []gooseplus.Policy{gooseplus.Ignore, gooseplus.Warn, gooseplus.Refuse} {
			t.Run(fmt.Sprintf("%v, remembered %t", policy, remembered), func(t *testing.T) {
				t.Parallel()
				db := openSQLite(t)
				before := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
				if remembered {
					mustMigrate(t, sqlite(db, before))
				} else if err := gooseUp(t.Context(), db, before); err != nil {
					t.Fatal(err)
				}
				for _, files := range []fstest.MapFS{before, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")} {
					var warnings []string
					m := sqlite(db, files, gooseplus.WithFS(unreadable{files, "sql/base/1_a.sql"}), gooseplus.WithChecksums(policy), storing,
						warningsOf(&warnings))
					err := m.Migrate(t.Context())
					if remembered && policy == gooseplus.Refuse {
						if wantIs(t, err, fs.ErrPermission); !strings.Contains(err.Error(), "1_a.sql") || !strings.Contains(err.Error(), "Nothing was touched") {
							t.Error(err)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					warned := slices.ContainsFunc(warnings, func(s string) bool { return strings.Contains(s, "files of applied migrations can't be read") })
					if want := remembered && policy == gooseplus.Warn; warned != want || want && len(warnings) != 1 {
						t.Errorf("warnings %q", warnings)
					}
				}
				if remembered && policy == gooseplus.Refuse {
					applied(t, db, 1, 2)
				} else {
					applied(t, db, 1, 2, 3)
				}
				mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql"), gooseplus.WithChecksums(gooseplus.Refuse)))
			})
		}
	}
}
