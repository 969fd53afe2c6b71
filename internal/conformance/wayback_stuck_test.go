package conformance

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestWayBackStuck: the way back ends before the starting point.
func TestWayBackStuck(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("an empty Down ends the way back", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_keep.sql": script("CREATE TABLE kept (id INTEGER);", ""),
				"13_x.sql":    table("x"),
				"14_bad.sql":  script("INSERT INTO nowhere VALUES (1);", ""),
			})
			stuck := wantStuck(t, p.migrator(from(fsys)).Migrate(ctx), 10, 12)
			wantIs(t, stuck, gooseplus.ErrIrreversible)
			wantIsNot(t, stuck, gooseplus.ErrDirty)
			wantText(t, stuck.Err, "12_keep.sql")
			wantText(t, stuck.Cause, "14_bad.sql")
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"kept", "late", "next", "teams", "users"})
		})
	})

	t.Run("a Go migration without a Down ends the way back", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{"13_bad.sql": script("INSERT INTO nowhere VALUES (1);", "")})
			m := goose.NewGoMigration(12, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil)
			stuck := wantStuck(t, p.migrator(from(fsys), gooseplus.WithGoMigrations(m)).Migrate(ctx), 10, 12)
			wantIs(t, stuck, gooseplus.ErrIrreversible)
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users"})
		})
	})

	t.Run("a failing Down ends the way back", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql":   script("CREATE TABLE x (id INTEGER);", "DELETE FROM x;\nDROP TABLE never;"),
				"13_y.sql":   table("y"),
				"14_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
			})
			err := p.migrator(from(fsys)).Migrate(ctx)
			stuck := wantStuck(t, err, 10, 12)
			var down *gooseplus.MigrationError
			if !errors.As(stuck.Err, &down) || down.Version != 12 || down.Direction != "down" || down.Statement != "DROP TABLE never;" {
				t.Errorf("Err = %+v", stuck.Err)
			}
			if p.transactionalDDL {
				wantIsNot(t, err, gooseplus.ErrDirty)
			} else {
				wantIs(t, err, gooseplus.ErrDirty)
			}
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users", "x"})
		})
	})

	t.Run("the way back has its own limit", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql":   script("CREATE TABLE x (id INTEGER);", p.sleep+"\nDROP TABLE x;"),
				"13_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
			})
			started := time.Now()
			err := p.migrator(from(fsys), gooseplus.WithRollbackTimeout(time.Second)).Migrate(ctx)
			wantStuck(t, err, 10, 12)
			wantText(t, err, "the rollback timeout of 1s is over")
			if took := time.Since(started); took > 25*time.Second {
				t.Errorf("took %v", took)
			}
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users", "x"})
		})
	})

	t.Run("RollbackNone", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_bad.sql": script("INSERT INTO nowhere VALUES (1);", "DELETE FROM users;"),
			})
			stay := gooseplus.WithRollback(gooseplus.RollbackNone)
			stuck := wantStuck(t, p.migrator(from(fsys), stay).Migrate(ctx), 10, 11)
			wantText(t, stuck.Err, "RollbackNone")
			p.want(t, []int64{1, 10, 5, 11}, []string{"late", "next", "teams", "users"})

			// Nothing was applied this time, so the database is where it started.
			wantFailed(t, p.migrator(from(fsys), stay).Migrate(ctx), 12)
			p.want(t, []int64{1, 10, 5, 11}, []string{"late", "next", "teams", "users"})
		})
	})
}
