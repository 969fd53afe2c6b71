package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// working counts the statements with the given text, in upper case or lower, that the server executes.
func (x target) working(text string) string {
	if x.dialect == "mysql" {
		return `SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%` + text + `%'`
	}
	return `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
		AND state = 'active' AND query ILIKE '%` + text + `%'`
}

// pausing asks for connections that sleep in such a statement: it has read what it reads.
func (x target) pausing(text string) string {
	if x.dialect == "mysql" {
		return x.working(text) + " AND state = 'User sleep'"
	}
	return x.working(text) + " AND wait_event = 'PgSleep'"
}

// TestLockCancelled: the context ends in the middle of a statement. Nothing of the way back, nor the
// next run, may begin while the server still executes it.
func TestLockCancelled(t *testing.T) {
	t.Parallel()
	const mark = "interrupted"
	for name, step := range map[string]struct {
		statement func(*place) string
		rollback  gooseplus.Strategy
	}{
		"sleeping":              {statement: func(p *place) string { return p.sleeping(3 * time.Second) }},
		"sleeping, no way back": {func(p *place) string { return p.sleeping(3 * time.Second) }, gooseplus.RollbackNone},
		// It waits for somebody who reads the table, and would come after the way back.
		"altering": {statement: func(*place) string { return "ALTER TABLE busy ADD COLUMN x INTEGER" }},
	} {
		t.Run(name, func(t *testing.T) {
			having(server).onEach(t, func(t *testing.T, p *place) {
				p.counting(t)
				p.exec(t, "DROP TABLE IF EXISTS busy", "CREATE TABLE busy (id INTEGER)")
				reader, err := p.db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := reader.Exec("SELECT id FROM busy"); err != nil {
					t.Fatal(err)
				}
				beside := func(ctx context.Context, db *sql.DB) error {
					if n := column[int](t, p.db, p.working(mark))[0]; n > 0 {
						t.Errorf("%d interrupted statements are still executed beside a step", n)
					}
					return nil
				}
				slow := files(map[string]*fstest.MapFile{"002_slow.sql": noTransaction(
					fmt.Sprintf("/* %s */ %s;", mark, step.statement(p)), "DELETE FROM counted WHERE v = 2;")})
				first := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }}, &goose.GoFunc{RunDB: beside})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				a := p.boot(ctx, p.instance(t), from(slow), gooseplus.WithGoMigrations(first), gooseplus.WithRollback(step.rollback))
				p.untilAny(t, "the statement is executed", p.working(mark))
				cancelled := time.Now()
				cancel()
				err = a.wait(t)
				t.Logf("ended %v after it was cancelled: %v", time.Since(cancelled), err)
				wantIs(t, err, context.Canceled)
				wantIsNot(t, err, gooseplus.ErrLockLost)
				_ = beside(context.Background(), nil)
				if err := reader.Rollback(); err != nil {
					t.Fatal(err)
				}
				p.exec(t, "ALTER TABLE busy ADD COLUMN x INTEGER") // it is not there, and nobody has it locked
				if step.rollback == gooseplus.RollbackNone {       // nobody has cleared away what is left of it
					wantIs(t, err, gooseplus.ErrDirty)
					m := p.locking(p.instance(t), from(slow), gooseplus.WithGoMigrations(first))
					wantIs(t, m.Migrate(context.Background()), gooseplus.ErrDirty)
					if err := m.Force(context.Background(), 1); err != nil {
						t.Error(err)
					}
				}
				next := goose.NewGoMigration(2, &goose.GoFunc{RunDB: beside}, nil)
				if err := p.locking(p.instance(t), from(fstest.MapFS{}), gooseplus.WithGoMigrations(first, next)).Migrate(context.Background()); err != nil {
					t.Error(err)
				}
				locks{p}.wantFree(t)
			})
		})
	}
}
