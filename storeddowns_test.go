package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

var storing = gooseplus.WithStoredDowns(true)

// tablesOf are the tables of the migrations.
func tablesOf(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func stored(t *testing.T, db *sql.DB) (versions []int64) {
	t.Helper()
	rows, err := db.Query(`SELECT version_id FROM goose_db_version_lock WHERE down_sql <> '' ORDER BY version_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	return versions
}

func TestStoredDowns(t *testing.T) {
	t.Setenv("GOOSEPLUS_STORED_TABLE", "variable")
	ctx := context.Background()
	older := folder("sql/base/1_a.sql")
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	newer := maps.Clone(older)
	maps.Copy(newer, fstest.MapFS{
		"sql/base/2_b.sql": text("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE b (id INTEGER);\n-- +goose Down\nDROP TABLE b;\n"),
		"sql/base/3_c.sql": text("-- +goose Up\nCREATE TABLE c (id INTEGER);\n-- +goose Down\n-- +goose StatementBegin\n" +
			"CREATE TRIGGER tr AFTER DELETE ON c BEGIN\n  DELETE FROM c;\n  DELETE FROM c WHERE '<a & ''b''>' = 'ü\\';\nEND;\n-- +goose StatementEnd\nDROP TABLE c;\n"),
		"sql/base/4_d.sql":      text("-- +goose ENVSUB ON\n-- +goose Up\nCREATE TABLE ${GOOSEPLUS_STORED_TABLE} (id INTEGER);\n-- +goose Down\nDROP TABLE ${GOOSEPLUS_STORED_TABLE};\n"),
		"sql/base/5_e.sql":      text("-- +goose Up\nCREATE TABLE IF NOT EXISTS e (id INTEGER);\n-- +goose Down\nDROP TABLE e;\n"),
		"sql/base/6_f.sql":      text("-- +goose Up\nDROP TABLE e;\n-- +goose Down\n-- +gooseplus Replay 5\n"),
		"sql/base/7_g.up.sql":   text("CREATE TABLE g (id TEXT);"),
		"sql/base/7_g.down.sql": text("INSERT INTO g VALUES ('\n-- +goose Up\r\n'); DROP TABLE g;"),
	})
	d := new(gooseplus.Definitions)
	d.Define(8).Up("CREATE TABLE h (id INTEGER);").Down("DROP TABLE h;")
	d.Define(9).UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE i (id INTEGER)")
		return err
	})).DownAction(gooseplus.Command("DROP TABLE i;"))
	all := []string{"a", "b", "c", "g", "h", "i", "variable"}

	for name, down := range map[string]func(*gooseplus.Migrator) error{
		"Goto":       func(m *gooseplus.Migrator) error { return m.Goto(ctx, 1) },
		"RollbackTo": func(m *gooseplus.Migrator) error { return m.RollbackTo(ctx, 1) },
		"Rollback":   func(m *gooseplus.Migrator) error { return m.Rollback(ctx, 8) },
		"RollbackToLocked": func(m *gooseplus.Migrator) error {
			return errors.Join(m.LockVersion(ctx, 1), m.RollbackToLocked(ctx))
		},
	} {
		for _, lock := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lock %t", name, lock), func(t *testing.T) {
				t.Setenv("GOOSEPLUS_STORED_TABLE", "variable")
				db := openSQLite(t)
				held := gooseplus.WithGlobalLock(lock)
				second := sqlite(db, newer, held, storing, gooseplus.WithDefinitions(d))
				mustMigrate(t, second)
				if got := tablesOf(t, db); !slices.Equal(got, all) {
					t.Fatal(got)
				}
				t.Setenv("GOOSEPLUS_STORED_TABLE", "another")
				for _, m := range []*gooseplus.Migrator{sqlite(db, older, held), sqlite(db, older, held, storing)} {
					mustMigrate(t, m) // which never goes down
					applied(t, db, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				}
				wantIs(t, down(sqlite(db, older, held)), gooseplus.ErrIrreversible)
				applied(t, db, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				if err := down(sqlite(db, older, held, storing)); err != nil {
					t.Fatal(err)
				}
				applied(t, db, 1)
				if got := tablesOf(t, db); !slices.Equal(got, []string{"a"}) {
					t.Errorf("left are %v", got)
				}
				if got := stored(t, db); !slices.Equal(got, []int64{1}) {
					t.Errorf("stored are %v", got)
				}
				t.Setenv("GOOSEPLUS_STORED_TABLE", "variable")
				mustMigrate(t, second)
				if got := tablesOf(t, db); !slices.Equal(got, all) {
					t.Error(got)
				}
			})
		}
	}
}

// TestStoredDownsOff: without the option nothing is stored, and what is stored is not used.
func TestStoredDownsOff(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"))
	mustMigrate(t, m)
	if got := stored(t, db); len(got) > 0 {
		t.Errorf("stored are %v", got)
	}
	if err := m.Accept(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, db); len(got) > 0 {
		t.Errorf("stored are %v", got)
	}
}

// TestStoredDownsLater: Downs of migrations that were applied before are stored by the next run, and by Accept.
func TestStoredDownsLater(t *testing.T) {
	t.Parallel()
	for situation, later := range map[string]func(*testing.T, *sql.DB) []int64{
		"a run": func(t *testing.T, db *sql.DB) []int64 {
			m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql"), storing)
			mustMigrate(t, m)
			return []int64{1, 2, 3}
		},
		"Accept": func(t *testing.T, db *sql.DB) []int64 {
			if err := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"), storing).Accept(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			return []int64{1, 2}
		},
		"Force": func(t *testing.T, db *sql.DB) []int64 {
			if err := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql"), storing).Force(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			return []int64{3}
		},
		"an applied file that can't be parsed": func(t *testing.T, db *sql.DB) []int64 {
			files := folder("sql/base/2_b.sql", "sql/base/3_c.sql")
			files["sql/base/1_a.sql"] = &fstest.MapFile{Data: []byte("-- +goose Upp\nSELECT 1;")}
			mustMigrate(t, sqlite(db, files, storing))
			return []int64{2, 3}
		},
	} {
		for _, remembered := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, remembered before %t", situation, remembered), func(t *testing.T) {
				t.Parallel()
				db := openSQLite(t)
				var opts []gooseplus.Option
				if !remembered {
					opts = append(opts, gooseplus.WithChecksums(gooseplus.Ignore), gooseplus.WithUnknownVersions(gooseplus.Ignore))
				}
				mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"), opts...))
				want := later(t, db)
				if got := stored(t, db); !slices.Equal(got, want) {
					t.Errorf("stored are %v, want %v", got, want)
				}
			})
		}
	}
}

// TestStoredDownsRefused: nothing is touched where a version can't be undone.
func TestStoredDownsRefused(t *testing.T) {
	t.Parallel()
	older := folder("sql/base/1_a.sql")
	function := func(ctx context.Context, tx *sql.Tx) error { return nil }
	for situation, tc := range map[string]struct {
		file *fstest.MapFile
		opts []gooseplus.Option
		text string
	}{
		"an empty Down": {migrationFile("CREATE TABLE b (id INTEGER);", "-- nothing"), []gooseplus.Option{storing}, "2 (sql/base/2_b.sql) down: "},
		"nothing stored": {migrationFile("CREATE TABLE b (id INTEGER);", "DROP TABLE b;"), nil,
			"applied versions [2] have neither a migration in this configuration nor a stored Down. Nothing was touched: use the release that has them, or undo them by hand and call Force(1)"},
		"a Go function": {nil, []gooseplus.Option{storing, gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: function}, &goose.GoFunc{RunTx: function}))},
			"applied versions [2] have neither"},
	} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			db := openSQLite(t)
			newer := maps.Clone(older)
			newer["sql/base/3_c.sql"] = migrationFile("CREATE TABLE c (id INTEGER);", "DROP TABLE c;")
			if tc.file != nil {
				newer["sql/base/2_b.sql"] = tc.file
			}
			mustMigrate(t, sqlite(db, newer, tc.opts...))
			if len(tc.opts) == 0 {
				mustMigrate(t, sqlite(db, folder("sql/base/3_c.sql", "sql/base/4_d.sql"), storing))
				if err := sqlite(db, folder("sql/base/3_c.sql", "sql/base/4_d.sql"), storing).Rollback(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			err := sqlite(db, older, storing).Goto(t.Context(), 1)
			wantIs(t, err, gooseplus.ErrIrreversible)
			if !strings.Contains(err.Error(), tc.text) {
				t.Error(err)
			}
			applied(t, db, 1, 2, 3)
		})
	}
}

// TestStoredDownsProtected: a protected version stays.
func TestStoredDownsProtected(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	newer := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql"), storing)
	mustMigrate(t, newer)
	if err := newer.LockVersion(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	older := sqlite(db, folder("sql/base/1_a.sql"), storing)
	wantIs(t, older.Goto(t.Context(), 1), gooseplus.ErrVersionLocked)
	applied(t, db, 1, 2, 3)
	if err := older.Goto(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	applied(t, db, 1, 2)
}

// TestStoredDownsOfKnownVersions: a file is the truth, if it is there.
func TestStoredDownsOfKnownVersions(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	files := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")
	mustMigrate(t, sqlite(db, files, storing))
	if _, err := db.Exec(`UPDATE goose_db_version_lock SET down_sql = 'no JSON' WHERE version_id = 2`); err != nil {
		t.Fatal(err)
	}
	delete(files, "sql/base/3_c.sql")
	if err := sqlite(db, files, storing).Goto(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := tablesOf(t, db); !slices.Equal(got, []string{"a"}) {
		t.Error(got)
	}
}

// TestStoredDownsThatFail: nothing can apply again what was undone without its Up, and the error says so. Another run goes on.
func TestStoredDownsThatFail(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	older := folder("sql/base/1_a.sql", "sql/base/3_c.sql")
	newer := maps.Clone(older)
	newer["sql/base/2_b.sql"] = migrationFile("CREATE TABLE b (id INTEGER);", "DROP TABLE missing;")
	newer["sql/base/4_d.sql"] = migrationFile("CREATE TABLE d (id INTEGER);", "DROP TABLE d;")
	for _, lock := range []bool{false, true} {
		for _, strategy := range []gooseplus.Strategy{gooseplus.RollbackDown, gooseplus.RollbackNone, gooseplus.RollbackTransaction} {
			t.Run(fmt.Sprintf("%v, lock %t", strategy, lock), func(t *testing.T) {
				t.Parallel()
				db := openSQLite(t)
				opts := []gooseplus.Option{storing, gooseplus.WithGlobalLock(lock), gooseplus.WithRollback(strategy)}
				second := sqlite(db, newer, opts...)
				mustMigrate(t, second)
				var warnings []string
				err := sqlite(db, older, append(opts, gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if w, ok := e.(gooseplus.Warning); ok {
						warnings = append(warnings, w.Message)
					}
				}))...).Goto(ctx, 1)
				var stuck *gooseplus.RollbackError
				if errors.Is(err, gooseplus.ErrDirty) {
					t.Error(err)
				}
				warned := slices.ContainsFunc(warnings, func(s string) bool { return strings.Contains(s, "versions [4 2] are undone with their stored Downs") })
				switch strategy {
				case gooseplus.RollbackTransaction:
					if wantIs(t, err, gooseplus.ErrUndone); warned {
						t.Errorf("warnings %q", warnings)
					}
					applied(t, db, 1, 2, 3, 4)
				case gooseplus.RollbackNone:
					if !errors.As(err, &stuck) || stuck.Start != 4 || stuck.Reached != 2 || !warned {
						t.Error(err, warnings)
					}
					applied(t, db, 1, 2)
				default:
					if !errors.As(err, &stuck) || stuck.Start != 4 || stuck.Reached != 3 || !warned ||
						!strings.Contains(err.Error(), "at version 3, started from 4: versions [4] are undone and can't be applied again, because their Ups are not in this configuration") {
						t.Error(err, warnings)
					}
					applied(t, db, 1, 2, 3) // what is known is back
				}
				if s, err := second.Status(ctx); err != nil || s.Dirty {
					t.Errorf("%+v, %v", s, err)
				}
				mustMigrate(t, second)
				if got := tablesOf(t, db); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
					t.Error(got)
				}
				if _, err := db.Exec("CREATE TABLE missing (id INTEGER)"); err != nil {
					t.Fatal(err)
				}
				if err := sqlite(db, older, opts...).Goto(ctx, 1); err != nil {
					t.Error(err)
				}
				applied(t, db, 1)
			})
		}
	}
}

// TestStoredDownsWithoutFiles: a program without any migration can go down.
func TestStoredDownsWithoutFiles(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"), storing))
	none := fstest.MapFS{"sql/base/readme.txt": {Data: []byte("x")}}
	if err := sqlite(db, none, storing).RollbackTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	applied(t, db)
	if got := tablesOf(t, db); len(got) > 0 {
		t.Error(got)
	}
}

func TestStatusOfStoredDowns(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	newer := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
	mustMigrate(t, sqlite(db, newer, storing))
	for _, on := range []bool{false, true} {
		s, err := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithStoredDowns(on)).Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m, _ := s.Migration(2)
		if want := map[bool]string{true: "DROP TABLE b;"}[on]; !m.Unknown || m.Source != "sql/base/2_b.sql" || m.Down != want || m.Up != "" || m.AppliedAt == nil {
			t.Errorf("stored Downs %t: %+v", on, m)
		}
		if m, _ := s.Migration(1); m.Unknown {
			t.Errorf("%+v", m)
		}
	}
}
