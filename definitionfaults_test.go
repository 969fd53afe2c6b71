package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestDefinitionError: each fault of a definition is one, from Definitions.Err and from Migrator.Err.
func TestDefinitionError(t *testing.T) {
	t.Parallel()
	for situation, s := range map[string]struct {
		define  func(*gooseplus.Definitions)
		version int64
		text    string
	}{
		"no Up":             {func(d *gooseplus.Definitions) { d.Define(7) }, 7, "it has no Up"},
		"twice":             {func(d *gooseplus.Definitions) { d.Define(7).Up("x"); d.Define(7).Up("y") }, 7, "version 7 is claimed by both"},
		"version 0":         {func(d *gooseplus.Definitions) { d.Define(0).Up("x") }, 0, "the lowest version is 1"},
		"an unknown Replay": {func(d *gooseplus.Definitions) { d.Define(7).Up("x").DownAction(gooseplus.Replay(3)) }, 7, "a Replay of version 3, which is not known"},
		"an unknown Replay up": {func(d *gooseplus.Definitions) { d.Define(7).UpAction(gooseplus.Replay(3)) }, 7,
			"its Up is a Replay of version 3, which is not known"},
	} {
		t.Run(situation, func(t *testing.T) {
			d := new(gooseplus.Definitions)
			s.define(d)
			for name, err := range map[string]error{
				"Definitions.Err": d.Err(),
				"Migrator.Err":    sqlite(nil, folder("sql/base/100_a.sql"), gooseplus.WithDefinitions(d)).Err(),
			} {
				var fault *gooseplus.DefinitionError
				if !errors.As(err, &fault) || fault.Version != s.version || !strings.Contains(fault.Source, "/definitionfaults_test.go:") ||
					!strings.Contains(fault.Error(), s.text) || fault.Err == nil {
					t.Errorf("%s: %+v of %v", name, fault, err)
				}
			}
		})
	}

	t.Run("a version of a file", func(t *testing.T) {
		d := new(gooseplus.Definitions)
		d.Define(1).Up("x")
		err := sqlite(nil, folder("sql/base/1_a.sql"), gooseplus.WithDefinitions(d)).Err()
		var fault *gooseplus.DefinitionError
		if !errors.As(err, &fault) || fault.Version != 1 || !strings.Contains(err.Error(), "claimed by both sql/base/1_a.sql and ") {
			t.Errorf("%v", err)
		}
		wantIs(t, err, gooseplus.ErrMergeMigrations)
	})
}

// TestReplayAsUp goes up and down with the Up of every sort of migration.
func TestReplayAsUp(t *testing.T) {
	t.Parallel()
	const made = "DROP TABLE IF EXISTS b; CREATE TABLE b (id INTEGER)"
	exec := func(ctx context.Context, tx *sql.Tx) error { _, err := tx.ExecContext(ctx, made); return err }
	execDB := func(ctx context.Context, db *sql.DB) error { _, err := db.ExecContext(ctx, made); return err }
	goDown := func(ctx context.Context, tx *sql.Tx) error { _, err := tx.ExecContext(ctx, "DROP TABLE b"); return err }
	fsys := fstest.MapFS{
		"sql/base/4_x.sql":    migrationFile("DROP TABLE IF EXISTS b;\nCREATE TABLE b (id INTEGER);", "SELECT 1;"),
		"sql/base/5_x.sql":    {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nDROP TABLE IF EXISTS b;\nCREATE TABLE b (id INTEGER);\n-- +goose Down\nSELECT 1;\n")},
		"sql/base/6_x.up.sql": {Data: []byte(made)},
	}
	ups := map[string]int64{"a definition": 1, "a TxFunc": 2, "a DBFunc": 3, "a file": 4, "a file without a transaction": 5, "a pair": 6, "a Go migration": 7, "a Replay": 8}
	downs := map[string]gooseplus.Action{"Command": gooseplus.Command("DROP TABLE b"), "TxFunc": gooseplus.TxFunc(goDown), "Replay": gooseplus.Replay(9)}
	for up, version := range ups {
		for down, action := range downs {
			t.Run(up+" and "+down, func(t *testing.T) {
				var d gooseplus.Definitions
				d.Define(1).Up(made)
				d.Define(2).UpAction(gooseplus.TxFunc(exec))
				d.Define(3).UpAction(gooseplus.DBFunc(execDB))
				d.Define(8).UpAction(gooseplus.Replay(5))
				d.Define(9).Up("DROP TABLE b")
				d.Define(10).UpAction(gooseplus.Replay(version)).DownAction(action)
				db := openSQLite(t)
				m := sqlite(db, fsys, gooseplus.WithDefinitions(&d), gooseplus.WithGoMigrations(goose.NewGoMigration(7, &goose.GoFunc{RunTx: exec}, nil)))
				if err := m.Err(); err != nil {
					t.Fatal(err)
				}
				steps, err := m.Plan(context.Background())
				if err != nil || !steps[len(steps)-1].Reversible || steps[len(steps)-1].Transactional == (version == 3 || version == 5 || version == 8) {
					t.Errorf("%+v, %v", steps[len(steps)-1], err)
				}
				mustMigrate(t, m)
				tables(t, db, "b")
				if err := m.Rollback(context.Background(), 1); err != nil {
					t.Fatal(err)
				}
				tables(t, db)
				applied(t, db, 1, 2, 3, 4, 5, 6, 7, 8, 9)
			})
		}
	}
}

func TestRollbackToLocked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql", "sql/base/4_d.sql"))
	none := func() {
		t.Helper()
		if err := m.RollbackToLocked(ctx); err == nil || !strings.Contains(err.Error(), "no version is protected (LockVersion)") {
			t.Errorf("%v", err)
		}
	}
	none()
	untouched(t, db)
	mustMigrate(t, m)
	none()
	applied(t, db, 1, 2, 3, 4)
	for _, version := range []int64{2, 1} {
		if err := m.LockVersion(ctx, version); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := m.RollbackToLocked(ctx); err != nil {
			t.Fatal(err)
		}
		applied(t, db, 1, 2)
	}
	if err := m.UnlockVersion(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := m.RollbackToLocked(ctx); err != nil {
		t.Fatal(err)
	}
	applied(t, db, 1)

	two := sqlite(openSQLite(t), folder("sql/core/1_a.sql", "sql/shared/1_b.sql"), gooseplus.WithNamespaces("core", "shared"))
	mustMigrate(t, two)
	if err := two.Namespace("core").LockVersion(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for err, want := range map[error]string{two.RollbackToLocked(ctx): "choose one", two.Namespace("shared").RollbackToLocked(ctx): `namespace "shared": no version`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := two.Namespace("core").RollbackToLocked(ctx); err != nil {
		t.Error(err)
	}
}

func TestStatusOfOneMigration(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/3_c.sql"))
	if err := m.MigrateTo(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	status, err := m.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if one, ok := status.Migration(1); !ok || one.Source != "sql/base/1_a.sql" || one.AppliedAt == nil {
		t.Errorf("%+v, %t", one, ok)
	}
	if three, ok := status.Migration(3); !ok || three.AppliedAt != nil {
		t.Errorf("%+v, %t", three, ok)
	}
	if two, ok := status.Migration(2); ok || two.Version != 0 {
		t.Errorf("%+v, %t", two, ok)
	}
}

// TestNamesOfSchemasAndTables that mean something else than they say.
func TestNamesOfSchemasAndTables(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql")
	for _, schema := range []string{"$user", "pg_temp"} {
		m := gooseplus.New(nil, gooseplus.WithFS(fsys))
		for situation, one := range map[string]*gooseplus.Migrator{
			"WithSchema": gooseplus.New(nil, gooseplus.WithFS(fsys), gooseplus.WithSchema(schema)),
			"a tenant":   m.Tenant(gooseplus.Tenant{Name: "t", Schema: schema}),
		} {
			if err := one.Err(); err == nil || !strings.Contains(err.Error(), "rename the schema") {
				t.Errorf("%s: %v", situation, err)
			}
		}
	}
	for dialect, schema := range map[string]string{"mysql": "$user", "postgres": "$User"} {
		if err := gooseplus.New(nil, gooseplus.WithFS(fsys), gooseplus.WithDialect(dialect), gooseplus.WithSchema(schema)).Err(); err != nil {
			t.Error(err)
		}
	}

	db := openSQLite(t)
	mustMigrate(t, sqlite(db, fsys, gooseplus.WithVersionTable("elsewhere"), gooseplus.WithVersionTable("")))
	applied(t, db, 1)
}
