package cli_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/cli"
	"github.com/gooseplus/gooseplus/internal/catalog"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// home is a kind of database for checkpoints.
type home struct {
	dialect, driver string
	goose           goose.Dialect
	open            func(testing.TB) (db *sql.DB, dsn string) // an empty database; the DSN as the command line takes it
}

func homes() []home {
	server := func(of func(testing.TB) dbtest.Server, driver, scheme string) func(testing.TB) (*sql.DB, string) {
		return func(t testing.TB) (*sql.DB, string) {
			d := of(t).NewDatabase(t)
			return d.Open(t, driver), scheme + d.DSN
		}
	}
	return []home{
		{"postgres", "pgx", goose.DialectPostgres, server(dbtest.Postgres, "pgx", "")},
		{"mysql", "mysql", goose.DialectMySQL, server(dbtest.MySQL, "mysql", "mysql://")},
		{"sqlite", "sqlite", goose.DialectSQLite3, func(t testing.TB) (*sql.DB, string) {
			file := filepath.Join(t.TempDir(), "test.db")
			db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			return db, "sqlite:" + file
		}},
	}
}

// shadow is an empty database that nobody is connected to.
func (h home) shadow(t testing.TB) (dsn string) {
	db, dsn := h.open(t)
	_ = db.Close()
	return dsn
}

// writeCheckpoint runs the command, and returns the file.
func writeCheckpoint(t *testing.T, dir, dsn string, args ...string) (file, output string, err error) {
	t.Helper()
	cmd := cli.Standalone()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"checkpoint", "--dir", dir, "--shadow", dsn, "--env-file", os.DevNull, "--quiet"}, args...))
	err = cmd.ExecuteContext(t.Context())
	found, _ := filepath.Glob(filepath.Join(dir, "*", "*.checkpoint.sql"))
	more, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*.checkpoint.sql"))
	if found = append(found, more...); len(found) > 0 {
		file = found[0]
	}
	return file, out.String(), err
}

// set is a copy of a folder of migrations.
func set(t *testing.T, from string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "sql")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// deleteMigrations removes all files but the checkpoint.
func deleteMigrations(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"*/*.sql", "*/*/*.sql"} {
		files, _ := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		for _, file := range files {
			if !strings.HasSuffix(file, ".checkpoint.sql") {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func versions(t *testing.T, db *sql.DB, table string) (list []int64) {
	t.Helper()
	rows, err := db.Query("SELECT version_id FROM " + table + " WHERE is_applied ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func catalogOf(t *testing.T, db *sql.DB, d goose.Dialect, schema string) catalog.Catalog {
	t.Helper()
	c, err := catalog.Read(t.Context(), db, catalog.Scope{Dialect: d, Schema: schema, Ignore: []string{"goose_db_version", "goose_db_version_lock", "goose_db_version_lock_fence"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCheckpointMakesTheSame: the checkpoint of a set with many kinds of statements makes the same versions and the same
// catalog as the steps, also when the files that it covers are gone. goose finds nothing pending then, and each end of a
// tenant is the same.
func TestCheckpointMakesTheSame(t *testing.T) {
	t.Parallel()
	for _, h := range homes() {
		for _, from := range []string{"testdata/checkpoint/" + h.dialect + "/base", "../internal/conformance/testdata/kinds/" + h.dialect} {
			if _, err := os.Stat(from); err != nil {
				continue
			}
			t.Run(h.dialect+" "+filepath.Base(filepath.Dir(from)), func(t *testing.T) {
				t.Parallel()
				shadow := h.shadow(t)
				dir := filepath.Join(t.TempDir(), "sql")
				if err := os.CopyFS(filepath.Join(dir, "base"), os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
				_ = os.Remove(filepath.Join(dir, "base", "00022_own_transaction.sql")) // it is refused
				inherits := filepath.Join(dir, "base", "00023_inherits.sql")
				if text, err := os.ReadFile(inherits); err == nil { // this needs PostgreSQL 16
					_ = os.WriteFile(inherits, bytes.ReplaceAll(text, []byte(" STORAGE EXTERNAL"), nil), 0o600)
				}
				file, output, err := writeCheckpoint(t, dir, shadow)
				if err != nil {
					t.Fatal(output)
				}
				m := func(db *sql.DB) *gooseplus.Migrator {
					return gooseplus.New(db, gooseplus.WithDialect(h.dialect), gooseplus.WithFS(os.DirFS(filepath.Dir(dir))), gooseplus.WithCheckpoints(true), gooseplus.WithGlobalLock(true))
				}
				if err := m(nil).Err(); err != nil {
					t.Fatal(err)
				}
				steps, _ := h.open(t)
				if err := m(steps).With(gooseplus.WithCheckpoints(false)).Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				deleteMigrations(t, dir)
				quick, _ := h.open(t)
				plan, err := m(quick).Plan(t.Context())
				if err != nil || len(plan) != 1 || !strings.HasSuffix(filepath.ToSlash(file), plan[0].Source) {
					t.Fatalf("Plan: %+v, %v", plan, err)
				}
				if err := m(quick).Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				if a, b := versions(t, steps, "goose_db_version"), versions(t, quick, "goose_db_version"); !slices.Equal(a, b) {
					t.Errorf("versions %v by steps, %v by the checkpoint", a, b)
				}
				if h.goose != goose.DialectMySQL { // whose definitions name the database
					for _, d := range catalog.Diff(catalogOf(t, steps, h.goose, ""), catalogOf(t, quick, h.goose, "")) {
						t.Errorf("by the checkpoint %s: %q, by steps %q", d.Key(), d.Definition, d.Was.Definition)
					}
				}
				for _, db := range []*sql.DB{steps, quick} {
					provider, err := goose.NewProvider(h.goose, db, os.DirFS(filepath.Join(dir, "base")))
					if err != nil {
						t.Fatal(err)
					}
					if pending, err := provider.HasPending(t.Context()); err != nil || pending {
						t.Errorf("goose: pending %v, %v", pending, err)
					}
				}
				if h.goose == goose.DialectPostgres {
					tenantsAreTheSame(t, h, m)
				}
			})
		}
	}
}

// tenantsAreTheSame makes a tenant by a checkpoint of a set that has been written for no schema.
func tenantsAreTheSame(t *testing.T, h home, m func(*sql.DB) *gooseplus.Migrator) {
	db, _ := h.open(t)
	if _, err := db.Exec(`CREATE SCHEMA "Acme Corp"`); err != nil {
		t.Fatal(err)
	}
	report, err := m(db).MigrateTenants(t.Context(), gooseplus.Schemas("Acme Corp"))
	if err != nil || report.Migrated != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	var stray int
	if err := db.QueryRow("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").Scan(&stray); err != nil || stray != 0 {
		t.Errorf("%d relations in public, %v", stray, err)
	}
}

// TestCheckpointsOfExamples: the examples' sets, with environments, namespaces and references between namespaces.
func TestCheckpointsOfExamples(t *testing.T) {
	t.Parallel()
	postgres, sqlite := homes()[0], homes()[2] // as the examples are for
	for _, tc := range []struct {
		h             home
		example, want string
		args          []string
		opts          []gooseplus.Option
	}{
		{postgres, "testing", "sql/test/20240704090000_base_test.checkpoint.sql", []string{"--env", "test"}, []gooseplus.Option{gooseplus.WithEnvironments("test")}},
		{postgres, "testing", "sql/base/20240702090000_two.checkpoint.sql", []string{"--to", "20240702090000", "--name", "two"}, nil},
		{sqlite, "namespaces", "sql/identity/test/2_base_test.checkpoint.sql", []string{"--namespaces", "shared,core,identity,customer-mgmt", "--namespace", "identity", "--env", "test"},
			[]gooseplus.Option{gooseplus.WithNamespaces("shared", "core", "identity", "customer-mgmt"), gooseplus.WithEnvironments("test")}},
		{sqlite, "namespaces", "sql/core/1_all.checkpoint.sql", []string{"--namespaces", "shared,core,identity,customer-mgmt", "--namespace", "core"},
			[]gooseplus.Option{gooseplus.WithNamespaces("shared", "core", "identity", "customer-mgmt")}},
	} {
		t.Run(tc.want, func(t *testing.T) {
			t.Parallel()
			shadow := tc.h.shadow(t)
			dir := set(t, filepath.Join("..", "examples", tc.example, "sql"))
			file, output, err := writeCheckpoint(t, dir, shadow, tc.args...)
			if err != nil || !strings.HasSuffix(filepath.ToSlash(file), tc.want) {
				t.Fatalf("%s: %v\n%s", file, err, output)
			}
			used := false
			db, _ := tc.h.open(t)
			m := gooseplus.New(db, append(tc.opts, gooseplus.WithDialect(tc.h.dialect), gooseplus.WithFS(os.DirFS(filepath.Dir(dir))), gooseplus.WithCheckpoints(true),
				gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if e, ok := e.(gooseplus.MigrationFinished); ok && e.Step.Source == tc.want {
						used = e.Err == nil
					}
				}))...)
			if err := m.Migrate(t.Context()); err != nil || !used {
				t.Errorf("used %v, %v", used, err)
			}
		})
	}
}

// TestCheckpointOfASchema: migrations that name the schema public, though they make their tables without its name, have a
// checkpoint too. It names the schema only where they depend on it, and then runs in no other one.
func TestCheckpointOfASchema(t *testing.T) {
	t.Parallel()
	h := homes()[0]
	for _, tc := range []struct {
		situation string
		files     []string
		bound     bool // to the schema public
	}{
		{"they need it", []string{"CREATE TABLE a (id int PRIMARY KEY);", "ALTER TABLE public.a ADD COLUMN b text DEFAULT 'x';"}, true},
		{"they do something else elsewhere", []string{"CREATE TABLE a (id int PRIMARY KEY);",
			"-- +goose StatementBegin\nDO $$ BEGIN IF EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public' AND tablename = 'a') THEN ALTER TABLE a ADD COLUMN b text DEFAULT 'x'; END IF; END $$;\n-- +goose StatementEnd"}, true},
		{"it makes no difference", []string{"CREATE TABLE public.countries (code text); CREATE TABLE a (id int PRIMARY KEY);", "ALTER TABLE a ADD COLUMN b text DEFAULT 'x';"}, false},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "sql")
			if err := os.MkdirAll(filepath.Join(dir, "base"), 0o700); err != nil {
				t.Fatal(err)
			}
			for i, up := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, "base", fmt.Sprintf("%d_a.sql", i+1)), []byte("-- +goose Up\n"+up+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file, output, err := writeCheckpoint(t, dir, h.shadow(t), "--quiet=false")
			if err != nil || strings.Contains(output, "for the schema public alone") != tc.bound {
				t.Fatalf("%v\n%s", err, output)
			}
			text, err := os.ReadFile(file)
			if err != nil || strings.Contains(string(text), "public.a ") != tc.bound {
				t.Errorf("%v: the checkpoint:\n%s", err, text)
			}
			steps, _ := h.open(t)
			quick, _ := h.open(t)
			m := gooseplus.New(steps, gooseplus.WithFS(os.DirFS(filepath.Dir(dir))))
			if err := errors.Join(m.Migrate(t.Context()), m.On(quick).With(gooseplus.WithCheckpoints(true)).Migrate(t.Context())); err != nil {
				t.Fatal(err)
			}
			for _, d := range catalog.Diff(catalogOf(t, steps, h.goose, ""), catalogOf(t, quick, h.goose, "")) {
				t.Errorf("by the checkpoint %s: %q, by steps %q", d.Key(), d.Definition, d.Was.Definition)
			}
			tenants, _ := h.open(t)
			_, err = m.On(tenants).With(gooseplus.WithCheckpoints(true)).MigrateTenants(t.Context(), gooseplus.Schemas("acme"), gooseplus.WithCreateSchema(true))
			if bound := err != nil && strings.Contains(err.Error(), "this checkpoint is for the schema public"); bound != tc.bound {
				t.Errorf("in a tenant's schema: %v", err)
			}
		})
	}
}

// TestCheckpointOfTenantsAlone: migrations that name public, and fail there, have a checkpoint for all other schemas.
func TestCheckpointOfTenantsAlone(t *testing.T) {
	t.Parallel()
	h := homes()[0]
	dir := filepath.Join(t.TempDir(), "sql")
	if err := os.MkdirAll(filepath.Join(dir, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "base", "1_a.sql"), []byte("-- +goose Up\nCREATE TABLE a (id int);\nCREATE TABLE public.a (code text);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, output, err := writeCheckpoint(t, dir, h.shadow(t)); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	db, _ := h.open(t)
	m := gooseplus.New(db, gooseplus.WithFS(os.DirFS(filepath.Dir(dir))), gooseplus.WithCheckpoints(true))
	if _, err := m.MigrateTenants(t.Context(), gooseplus.Schemas("acme"), gooseplus.WithCreateSchema(true)); err != nil {
		t.Error(err)
	}
}

// TestCheckpointRefusals: nothing is written, and nothing remains on the server.
func TestCheckpointRefusals(t *testing.T) {
	t.Parallel()
	h := homes()[0]
	for _, tc := range []struct {
		situation, up, want string
		args                []string
		prepare             string
	}{
		{"a migration that fails", "SELECT nothing;", "the migrations don't run in the shadow: migration 1 (", nil, ""},
		{"what pg_dump leaves out", "-- +goose StatementBegin\nDO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END $$;\n-- +goose StatementEnd",
			"was not written, because it doesn't make what the migrations make: ", nil, ""},
		{"a variable", "-- +goose ENVSUB ON\nSELECT 1;", "ENVSUB", nil, ""},
		{"a shadow in use", "SELECT 1;", "the shadow must be empty", nil, "CREATE TABLE theirs (id int)"},
		{"a version that isn't there", "SELECT 1;", "there is no migration with the version", []string{"--to", "7"}, ""},
		{"a schema", "SELECT 1;", "leave out --schema", []string{"--schema", "acme"}, ""},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			db, shadow := h.open(t)
			if _, err := db.Exec(tc.prepare); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil { // nobody else may be connected
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "sql")
			if err := os.MkdirAll(filepath.Join(dir, "base"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "base", "1_a.sql"), []byte("-- +goose Up\n"+tc.up+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			file, output, err := writeCheckpoint(t, dir, shadow, tc.args...)
			if err == nil || file != "" || !strings.Contains(output, tc.want) {
				t.Errorf("%s: %v\n%s", file, err, output)
			}
		})
	}
}

// TestCheckpointWithoutItsFolder: a program with embedded migrations is often started elsewhere. The command says so before it
// works for minutes.
func TestCheckpointWithoutItsFolder(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"sql/base/1_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id INTEGER);\n")}}
	cmd := cli.Command(func(context.Context) (*gooseplus.Migrator, error) {
		return gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files)), nil
	})
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs([]string{"checkpoint", "--dir", filepath.Join(t.TempDir(), "sql")})
	code := cli.ExitCode(cmd.Execute())
	if code != 2 || !strings.Contains(errs.String(), "sql/base for the checkpoint: name the folder of the migrations with --dir") || out.Len() > 0 {
		t.Errorf("exit code %d\n%s%s", code, errs.String(), out.String())
	}
}
