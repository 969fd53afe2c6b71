package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// TestWayBackSQL: a statement of version 12 fails.
func TestWayBackSQL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("SQL error", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_bad.sql": script("INSERT INTO nowhere VALUES (1);", "DELETE FROM users;"),
				"13_x.sql":   table("x"),
			})
			err := p.migrator(from(fsys)).Migrate(ctx)
			failed := wantFailed(t, err, 12)
			if failed.Statement != "INSERT INTO nowhere VALUES (1);" || failed.Source != "sql/base/12_bad.sql" ||
				failed.Environment != "base" {
				t.Errorf("%+v", failed)
			}
			var partial *goose.PartialError
			if !errors.As(err, &partial) {
				t.Error("goose's PartialError can't be reached")
			}
			if text := err.Error(); strings.Contains(text, "INSERT") {
				t.Errorf("the SQL text is in the message: %s", text)
			}
			wantDriverError(t, p, err)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("SQL error in the second statement", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_half.sql": script("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS half;"),
			})
			failed := wantFailed(t, p.migrator(from(fsys)).Migrate(ctx), 12)
			if failed.Statement != "INSERT INTO nowhere VALUES (1);" {
				t.Errorf("Statement = %q", failed.Statement)
			}
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("a half-applied migration without a Down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_half.sql": script("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", ""),
			})
			err := p.migrator(from(fsys)).Migrate(ctx)
			if p.transactionalDDL {
				wantFailed(t, err, 12)
				p.want(t, earlierVersions, earlierTables)
				return
			}
			wantStuck(t, err, 10, 11)
			wantIs(t, err, gooseplus.ErrDirty)
			wantIs(t, err, gooseplus.ErrIrreversible)
			p.want(t, []int64{1, 10, 5, 11}, []string{"half", "late", "next", "teams", "users"})
		})
	})

	t.Run("a single statement that the server refused needs no Down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				// This Down would fail, since there is nothing to drop.
				"12_bad.sql": script("CREATE TABLE users (id INTEGER);", "DROP TABLE fresh;"),
			})
			wantFailed(t, p.migrator(from(fsys)).Migrate(ctx), 12)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("NO TRANSACTION step", func(t *testing.T) {
		situations := []struct {
			name, down string
			check      func(*testing.T, *place, error)
		}{
			{"its Down is run first", "DROP TABLE IF EXISTS half;", func(t *testing.T, p *place, err error) {
				wantFailed(t, err, 12)
				p.want(t, earlierVersions, earlierTables)
			}},
			{"its Down fails", "DROP TABLE never;", func(t *testing.T, p *place, err error) {
				stuck := wantStuck(t, err, 10, 11)
				wantIs(t, err, gooseplus.ErrDirty)
				wantText(t, stuck.Err, "migration 12 (sql/base/12_half.sql:6) down")
				p.want(t, []int64{1, 10, 5, 11}, []string{"half", "late", "next", "teams", "users"})
			}},
			{"its Down is empty", "", func(t *testing.T, p *place, err error) {
				wantStuck(t, err, 10, 11)
				wantIs(t, err, gooseplus.ErrDirty)
				wantIs(t, err, gooseplus.ErrIrreversible)
				p.want(t, []int64{1, 10, 5, 11}, []string{"half", "late", "next", "teams", "users"})
			}},
		}
		for _, s := range situations {
			t.Run(s.name, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					fsys := deploy(t, p, map[string]*fstest.MapFile{
						"12_half.sql": noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", s.down),
					})
					s.check(t, p, p.migrator(from(fsys)).Migrate(ctx))
				})
			})
		}
	})

	t.Run("NO TRANSACTION step that was applied is undone", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql":   noTransaction("CREATE TABLE x (id INTEGER);", "DROP TABLE x;"),
				"13_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
			})
			wantFailed(t, p.migrator(from(fsys)).Migrate(ctx), 13)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("after the repair the next run succeeds", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql": script("CREATE TABLE x (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS x;"),
			})
			m := p.migrator(from(fsys))
			wantFailed(t, m.Migrate(ctx), 12)
			fsys["sql/base/12_x.sql"] = table("x")
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users", "x"})
		})
	})

	t.Run("a migration that tampers with the version table", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql": script("CREATE TABLE x (id INTEGER);\nDELETE FROM goose_db_version WHERE version_id = 11;", "DROP TABLE x;"),
			})
			err := p.migrator(from(fsys)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantText(t, err, "[11]")
			p.want(t, earlierVersions, []string{"teams", "users"})
		})
	})
}

// wantDriverError asserts that the driver's own error type can be reached.
func wantDriverError(t *testing.T, p *place, err error) {
	t.Helper()
	found := false
	switch p.driver {
	case "postgres":
		found = as[*pq.Error](err)
	case "pgx":
		found = as[*pgconn.PgError](err)
	case "mysql":
		found = as[*mysql.MySQLError](err)
	case "sqlite":
		found = as[*sqlite.Error](err)
	default:
		found = strings.Contains(fmt.Sprintf("%T", root(err)), "sqlite3.Error")
	}
	if !found {
		t.Errorf("the driver's error can't be reached in %v", err)
	}
}

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func root(err error) error {
	var failed *gooseplus.MigrationError
	if !errors.As(err, &failed) {
		return nil
	}
	var partial *goose.PartialError
	if !errors.As(failed.Err, &partial) {
		return nil
	}
	return partial.Err
}
