package gooseplus_test

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// addCheckpoint adds the checkpoint of all versions of a Migrator on SQLite, with these statements.
func addCheckpoint(t *testing.T, fsys fstest.MapFS, m *gooseplus.Migrator, folder string, statements ...string) (file string) {
	t.Helper()
	d, err := m.Describe()
	if err != nil {
		t.Fatal(err)
	}
	sqlite, err := dialect.Lookup("sqlite3")
	if err != nil {
		t.Fatal(err)
	}
	quoting, _ := sqlite.Quoting()
	var covered []migset.Covered
	for _, one := range d.Migrations {
		covered = append(covered, one.Covered)
	}
	file = path.Join(folder, fmt.Sprintf("%d_all.checkpoint.sql", covered[len(covered)-1].Version))
	fsys[file] = &fstest.MapFile{Data: []byte(migset.CheckpointText("sqlite3", covered, statements, quoting))}
	return file
}

func with(use bool) gooseplus.Option { return gooseplus.WithCheckpoints(use) }

// checkpointed are three migrations with a checkpoint, and one after it. The tables of the checkpoint have a column more, so
// that a test sees what has run.
func checkpointed(t *testing.T) fstest.MapFS {
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")
	addCheckpoint(t, fsys, sqlite(nil, fsys), "sql/base",
		"CREATE TABLE a (id INTEGER, checkpoint INTEGER)", "CREATE TABLE b (id INTEGER)", "CREATE TABLE c (id INTEGER)")
	fsys["sql/base/4_d.sql"] = migrationFile("CREATE TABLE d (id INTEGER);", "DROP TABLE d;")
	return fsys
}

func without(fsys fstest.MapFS, files ...string) fstest.MapFS {
	fsys = maps.Clone(fsys)
	for _, f := range files {
		delete(fsys, f)
	}
	return fsys
}

var coveredFiles = []string{"sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql"}

// TestCheckpoint: an empty database begins with the checkpoint, with whichever strategy, and one that has anything goes on
// step by step. Both end with the same versions, and need nothing when the covered files are deleted.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	for _, opt := range []gooseplus.Option{
		gooseplus.WithGlobalLock(true), gooseplus.WithGlobalLock(false), gooseplus.WithRollback(gooseplus.RollbackTransaction),
		gooseplus.WithStrictOrder(true), gooseplus.WithUnknownVersions(gooseplus.Refuse), gooseplus.WithChecksums(gooseplus.Refuse),
	} {
		for _, gone := range []bool{false, true} {
			fsys, rest := checkpointed(t), checkpointed(t)
			if rest = without(rest, coveredFiles...); gone {
				fsys = rest
			}
			db := openSQLite(t)
			m := sqlite(db, fsys, with(true), opt)
			if err := m.Err(); err != nil {
				t.Fatal(err)
			}
			steps, err := m.Plan(t.Context())
			if err != nil || len(steps) != 2 || steps[0].Covers != 3 || steps[0].Source != "sql/base/3_all.checkpoint.sql" || steps[0].Version != 3 ||
				steps[0].Reversible == gone || !steps[0].Transactional || steps[1].Version != 4 {
				t.Fatalf("Plan: %+v, %v", steps, err)
			}
			mustMigrate(t, m)
			applied(t, db, 1, 2, 3, 4)
			if _, err := db.Exec("SELECT checkpoint FROM a"); err != nil {
				t.Error(err)
			}
			var warnings []string
			m = sqlite(db, rest, with(true), opt, warningsOf(&warnings))
			mustMigrate(t, m)
			status, err := m.Status(t.Context())
			if err != nil || status.PendingCount != 0 || len(status.Migrations) != 4 || len(warnings) > 0 {
				t.Errorf("afterwards: %+v, %v, %q", status, err, warnings)
			}
			for _, s := range status.Migrations {
				if s.AppliedAt == nil || s.Edited || s.Source == "" {
					t.Errorf("afterwards: %+v", s)
				}
			}
		}
	}
	old := openSQLite(t)
	mustMigrate(t, sqlite(old, folder("sql/base/1_a.sql")))
	mustMigrate(t, sqlite(old, checkpointed(t), with(true)))
	applied(t, old, 1, 2, 3, 4)
	if _, err := old.Exec("SELECT checkpoint FROM a"); err == nil {
		t.Error("a database with a version has run the checkpoint")
	}
	off := openSQLite(t)
	mustMigrate(t, sqlite(off, checkpointed(t)))
	applied(t, off, 1, 2, 3, 4)
	if _, err := off.Exec("SELECT checkpoint FROM a"); err == nil {
		t.Error("the checkpoint has run without the option")
	}
}

// TestBelowACheckpoint: with the files there, versions are undone one by one. Without them, going below the checkpoint is
// irreversible, and refused before anything is touched.
func TestBelowACheckpoint(t *testing.T) {
	t.Parallel()
	fsys := checkpointed(t)
	db := openSQLite(t)
	m := sqlite(db, fsys, with(true))
	mustMigrate(t, m)
	if err := m.RollbackTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	applied(t, db, 1)
	mustMigrate(t, m)
	rest := sqlite(db, without(fsys, coveredFiles...), with(true))
	err := rest.RollbackTo(t.Context(), 2)
	wantIs(t, err, gooseplus.ErrIrreversible)
	if !strings.Contains(fmt.Sprint(err), "sql/base/3_all.checkpoint.sql") {
		t.Errorf("the error %q doesn't name the checkpoint", err)
	}
	applied(t, db, 1, 2, 3, 4)
	if err := rest.Goto(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	applied(t, db, 1, 2, 3)
}

// TestMissingFiles: versions whose files are gone can't be applied one by one.
func TestMissingFiles(t *testing.T) {
	t.Parallel()
	fsys := without(checkpointed(t), coveredFiles...)
	old := openSQLite(t)
	mustMigrate(t, sqlite(old, folder("sql/base/1_a.sql")))
	for _, tc := range []struct {
		situation string
		migrate   func(*gooseplus.Migrator) error
		m         *gooseplus.Migrator
		want      string
	}{
		{"a database in between", nil, sqlite(old, fsys, with(true)), "versions [2 3] are not applied, and their files are gone: sql/base/3_all.checkpoint.sql is for databases without any applied version: migrate this one with a release that has the files, or, if it has everything of these versions, call Force(3)"},
		{"a lower version", func(m *gooseplus.Migrator) error { return m.MigrateTo(t.Context(), 2) }, sqlite(openSQLite(t), fsys, with(true)), "leads to version 3, and to no lower one"},
	} {
		migrate := tc.migrate
		if migrate == nil {
			migrate = func(m *gooseplus.Migrator) error { return m.Migrate(t.Context()) }
		}
		err := migrate(tc.m)
		wantIs(t, err, gooseplus.ErrMergeMigrations)
		if !strings.Contains(fmt.Sprint(err), tc.want) {
			t.Errorf("%s: the error is %q", tc.situation, err)
		}
	}
	if err := sqlite(old, fsys, with(true)).Force(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	mustMigrate(t, sqlite(old, fsys, with(true)))
	applied(t, old, 1, 2, 3, 4)
}

// TestCheckpointFaults are the faults of checkpoints. All but the edited ones are found by every method.
func TestCheckpointFaults(t *testing.T) {
	t.Parallel()
	const file = "sql/base/3_all.checkpoint.sql"
	for _, tc := range []struct {
		situation string
		change    func(fstest.MapFS)
		want      string // "" is no fault
		off       string // without the option
	}{
		{"none", func(fstest.MapFS) {}, "", ""},
		{"line ends of Windows, and a comment in the SQL", func(f fstest.MapFS) {
			f[file].Data = []byte(strings.ReplaceAll(string(f[file].Data)+"-- why\n", "\n", "\r\n"))
		}, "", ""},
		{"an edited checkpoint", func(f fstest.MapFS) {
			f[file].Data = []byte(strings.Replace(string(f[file].Data), "TABLE c", "TABLE e", 1))
		}, "was edited since it was written", "was edited since it was written"},
		{"an edited header", func(f fstest.MapFS) {
			f[file].Data = []byte(strings.Replace(string(f[file].Data), "2_b.sql", "2_c.sql", 1))
		}, "was edited since it was written", "was edited since it was written"},
		{"an edited migration", func(f fstest.MapFS) {
			f["sql/base/2_b.sql"] = migrationFile("CREATE TABLE other (id INTEGER);", "DROP TABLE other;")
		}, "version 2 (sql/base/2_b.sql) was edited since", "version 2 (sql/base/2_b.sql) was edited since"},
		{"no header", func(f fstest.MapFS) { f[file] = migrationFile("SELECT 1;", "") }, "has not the header", "has not the header"},
		{"another version in its name", func(f fstest.MapFS) { f["sql/base/5_all.checkpoint.sql"] = f[file] }, "is not the highest", "is not the highest"},
		{"no version in its name", func(f fstest.MapFS) { f["sql/base/all.checkpoint.sql"] = f[file] }, "is no checkpoint here", "is no checkpoint here"},
		{"directly in the base path", func(f fstest.MapFS) { f["sql/3_all.checkpoint.sql"] = f[file] }, "directly in the base path", "directly in the base path"},
		{"a folder in the folder", func(f fstest.MapFS) { f["sql/base/old/3_all.checkpoint.sql"] = f[file] }, "is no checkpoint here", "is no checkpoint here"},
		{"files that are gone", func(f fstest.MapFS) { delete(f, "sql/base/1_a.sql"); delete(f, "sql/base/2_b.sql") }, "",
			"stands for versions [1 2], whose files are gone: use WithCheckpoints(true)"},
		{"another dialect", func(f fstest.MapFS) {
			f[file].Data = []byte(strings.Replace(string(f[file].Data), "sqlite3", "postgres", 1))
		}, "", ""},
		{"another dialect, with files that are gone", func(f fstest.MapFS) {
			f[file].Data = []byte(strings.Replace(string(f[file].Data), "sqlite3", "postgres", 1))
			delete(f, "sql/base/1_a.sql")
		}, "is for the dialect postgres", "is for the dialect postgres"},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			for use, want := range map[bool]string{true: tc.want, false: tc.off} {
				fsys := checkpointed(t)
				tc.change(fsys)
				db := openSQLite(t)
				m := sqlite(db, fsys, with(use))
				err := m.Err()
				if want == "" && err != nil || !strings.Contains(fmt.Sprint(err), want) && want != "" {
					t.Errorf("with %v: Err is %v", use, err)
				}
				if use {
					if err := m.Migrate(t.Context()); (err != nil) != (want != "") {
						t.Errorf("with %v: Migrate is %v", use, err)
					} else if err != nil && db.QueryRow("SELECT 1 FROM goose_db_version").Scan(new(int)) == nil {
						t.Errorf("with %v: something was touched", use)
					}
				}
			}
		})
	}
}

// TestCheckpointsOfEnvironments: a checkpoint fits only where its versions are all of those up to its own.
func TestCheckpointsOfEnvironments(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/base/3_c.sql", "sql/test/2_seed.sql", "sql/demo/4_demo.sql")
	run := func(environments ...string) *gooseplus.Migrator {
		return sqlite(openSQLite(t), fsys, with(true), gooseplus.WithEnvironments(environments...))
	}
	first := func(m *gooseplus.Migrator) string {
		t.Helper()
		steps, err := m.Plan(t.Context())
		if err != nil {
			return err.Error()
		}
		mustMigrate(t, m)
		return steps[0].Source
	}
	base := addCheckpoint(t, fsys, run(), "sql/base", "CREATE TABLE a (id INTEGER)", "CREATE TABLE c (id INTEGER)")
	if got := first(run()); got != base {
		t.Errorf("base begins with %s", got)
	}
	if got := first(run("demo")); got != base { // its version is higher
		t.Errorf("base and demo begin with %s", got)
	}
	var warnings []string
	if got := first(run("test").With(warningsOf(&warnings))); got != "sql/base/1_a.sql" || len(warnings) != 1 || !strings.Contains(warnings[0], "it doesn't cover versions [2]") {
		t.Errorf("base and test begin with %s, warnings %q", got, warnings)
	}
	seeded := addCheckpoint(t, fsys, run("test"), "sql/test", "CREATE TABLE a (id INTEGER)", "CREATE TABLE seed (id INTEGER)", "CREATE TABLE c (id INTEGER)")
	if got := first(run("test")); got != seeded {
		t.Errorf("base and test begin with %s, with a checkpoint of their own", got)
	}
	if got := first(run()); got != base {
		t.Errorf("base begins with %s, with another one beside", got)
	}
	delete(fsys, "sql/base/1_a.sql")
	delete(fsys, "sql/base/3_c.sql")
	if got := first(run("test")); got != seeded {
		t.Errorf("base and test without files of base begin with %s", got)
	}
	delete(fsys, seeded)
	if got := first(run("test")); !strings.Contains(got, "doesn't cover versions [2]") {
		t.Errorf("base and test begin with %s, without files and a checkpoint that fits", got)
	}
}

// TestFailedCheckpoint: of a checkpoint that fails nothing is left; the error names the file and the line.
func TestFailedCheckpoint(t *testing.T) {
	t.Parallel()
	for _, strategy := range []gooseplus.Strategy{gooseplus.RollbackDown, gooseplus.RollbackNone, gooseplus.RollbackTransaction} {
		fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
		file := addCheckpoint(t, fsys, sqlite(nil, fsys), "sql/base", "CREATE TABLE a (id INTEGER)", "CREATE TABLE b (\nid INTEGER,\nid INTEGER)")
		db := openSQLite(t)
		err := sqlite(db, fsys, with(true), gooseplus.WithRollback(strategy), gooseplus.WithGlobalLock(true)).Migrate(t.Context())
		wantIs(t, err, gooseplus.ErrRollForward)
		failed, ok := errors.AsType[*gooseplus.MigrationError](err)
		if !ok || failed.Source != file || failed.Version != 2 || failed.Line == 0 || !strings.Contains(failed.Error(), file) {
			t.Errorf("%v: the error is %+v", strategy, failed)
		}
		applied(t, db)
		tables(t, db)
	}
}

// TestWayBackOfACheckpoint: a run that fails after a checkpoint undoes its versions by their Downs, if their files are there,
// and otherwise stays at the checkpoint.
func TestWayBackOfACheckpoint(t *testing.T) {
	t.Parallel()
	broken := func() fstest.MapFS {
		fsys := checkpointed(t)
		fsys["sql/base/5_e.sql"] = migrationFile("CREATE TABLE d (id INTEGER);", "")
		return fsys
	}
	for _, lock := range []bool{true, false} {
		db := openSQLite(t)
		err := sqlite(db, broken(), with(true), gooseplus.WithGlobalLock(lock)).Migrate(t.Context())
		wantIs(t, err, gooseplus.ErrRollForward)
		applied(t, db)
		tables(t, db)

		db = openSQLite(t)
		rest := without(broken(), coveredFiles[1:2]...)
		err = sqlite(db, rest, with(true), gooseplus.WithGlobalLock(lock)).Migrate(t.Context())
		wantIs(t, err, gooseplus.ErrRollBack)
		wantIs(t, err, gooseplus.ErrIrreversible)
		if stuck, ok := errors.AsType[*gooseplus.RollbackError](err); !ok || stuck.Start != 0 || stuck.Reached != 3 {
			t.Errorf("the error is %+v", stuck)
		}
		applied(t, db, 1, 2, 3)
		tables(t, db, "a", "b", "c")

		db = openSQLite(t)
		err = sqlite(db, rest, with(true), gooseplus.WithGlobalLock(lock), gooseplus.WithRollback(gooseplus.RollbackTransaction)).Migrate(t.Context())
		wantIs(t, err, gooseplus.ErrRollForward)
		applied(t, db)
		tables(t, db)
	}
}

// TestCheckpointsOfNamespaces: each namespace has its own.
func TestCheckpointsOfNamespaces(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/core/1_a.sql", "sql/core/2_b.sql", "sql/shop/1_x.sql")
	namespaces := gooseplus.WithNamespaces("core", "shop")
	file := addCheckpoint(t, fsys, sqlite(nil, fsys, namespaces).Namespace("core"), "sql/core", "CREATE TABLE a (id INTEGER)", "CREATE TABLE b (id INTEGER)")
	m := sqlite(openSQLite(t), fsys, namespaces, with(true))
	steps, err := m.Plan(t.Context())
	if err != nil || len(steps) != 2 || steps[0].Source != file || steps[1].Covers != 0 {
		t.Fatalf("%+v, %v", steps, err)
	}
	mustMigrate(t, m)
	status, err := m.NamespaceStatus(t.Context())
	if err != nil || status["core"].CurrentVersion != 2 || status["shop"].CurrentVersion != 1 || status["core"].PendingCount != 0 {
		t.Errorf("%+v, %v", status, err)
	}
	if !slices.Equal(m.Namespaces(), []string{"core", "shop"}) {
		t.Error(m.Namespaces())
	}
}

func TestStatementsOfACheckpoint(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"the covered files are there": checkpointed(t),
		"the covered files are gone":  without(checkpointed(t), coveredFiles...),
	} {
		t.Run(name, func(t *testing.T) {
			m := sqlite(openSQLite(t), fsys, with(true))
			steps, err := m.Plan(t.Context())
			if err != nil || len(steps) != 2 {
				t.Fatal(steps, err)
			}
			statements, err := m.Statements(t.Context(), steps[0])
			if want := "CREATE TABLE a (id INTEGER, checkpoint INTEGER)"; err != nil || len(statements) != 3 || !strings.HasPrefix(statements[0], want) {
				t.Fatalf("%q, %v, want three statements, of which the first is %s", statements, err, want)
			}
		})
	}
}
