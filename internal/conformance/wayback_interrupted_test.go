package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestWayBackInterrupted: the time of the run is over, or its caller gives up.
func TestWayBackInterrupted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("migration timeout", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_slow.sql": script("CREATE TABLE half (id INTEGER);\n"+p.sleep, "DROP TABLE IF EXISTS half;"),
			})
			longEnough(t, time.Second, func(limit time.Duration) bool {
				slow := &steps{version: 12}
				err := p.migrator(from(fsys), gooseplus.WithMigrationTimeout(limit), slow.watch()).Migrate(ctx)
				wantIs(t, err, context.DeadlineExceeded)
				wantText(t, err, "the migration timeout of "+limit.String()+" is over")
				p.want(t, earlierVersions, earlierTables)
				if slow.started == 0 {
					return false
				}
				wantFailed(t, err, 12)
				return true
			})
		})
	})

	t.Run("global timeout", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_slow.sql": script("CREATE TABLE half (id INTEGER);\n"+p.sleep, "DROP TABLE IF EXISTS half;"),
			})
			longEnough(t, time.Second, func(limit time.Duration) bool {
				slow := &steps{version: 12}
				err := p.migrator(from(fsys), gooseplus.WithTimeout(limit), slow.watch()).Migrate(ctx)
				wantIs(t, err, context.DeadlineExceeded)
				wantText(t, err, "the timeout of "+limit.String()+" is over")
				p.want(t, earlierVersions, earlierTables)
				if slow.started == 0 {
					return false
				}
				wantFailed(t, err, 12)
				return true
			})
		})
	})

	t.Run("the caller cancels in the middle of a statement", func(t *testing.T) {
		reason := errors.New("the pod is going away")
		onDatabases(t, func(t *testing.T, p *place) {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"13_slow.sql": script("CREATE TABLE half (id INTEGER);\n"+p.sleep, "DROP TABLE IF EXISTS half;"),
			})
			err := p.migrator(from(fsys), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
				if e, ok := e.(gooseplus.MigrationStarted); ok && e.Step.Version == 13 {
					time.AfterFunc(300*time.Millisecond, func() { cancel(reason) })
				}
			})).Migrate(ctx)
			wantFailed(t, err, 13)
			wantIs(t, err, context.Canceled)
			wantIs(t, err, reason)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("the caller cancels between two migrations", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			fsys := deploy(t, p, map[string]*fstest.MapFile{"13_x.sql": table("x")})
			// A Go migration without a transaction is not undone by the end of its context.
			last := goose.NewGoMigration(12, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
				cancel()
				return nil
			}}, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }})
			err := p.migrator(from(fsys), gooseplus.WithGoMigrations(last)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantIs(t, err, context.Canceled)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("the caller's context is dead from the start", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, nil)
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			err := p.migrator(from(fsys)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrMigrationTable)
			wantIs(t, err, context.Canceled)
			p.want(t, earlierVersions, earlierTables)
		})
	})
}

// TestLostConnection ends the connection that a migration runs on, from another one.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range having(server) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			fsys := deploy(t, p, map[string]*fstest.MapFile{"13_x.sql": table("x")})
			other := p.open(t)
			defer other.Close()
			cut := goose.NewGoMigration(12, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				var id int64
				if err := tx.QueryRowContext(ctx, p.id).Scan(&id); err != nil {
					return err
				}
				if err := execTx(ctx, tx, "CREATE TABLE half (id INTEGER)"); err != nil {
					return err
				}
				if _, err := other.ExecContext(ctx, fmt.Sprintf(p.kill, id)); err != nil {
					return err
				}
				return execTx(ctx, tx, "CREATE TABLE never (id INTEGER)")
			}}, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				return execTx(ctx, tx, "DROP TABLE IF EXISTS half")
			}})
			wantFailed(t, p.migrator(from(fsys), gooseplus.WithGoMigrations(cut)).Migrate(ctx), 12)
			p.want(t, earlierVersions, earlierTables)
		})
	}
}

// TestLostConnectionInTheFirstStatement: a single statement that the server refuses has no effect,
// but of one that was cut off nobody knows what it did. Where DDL commits by itself, the Down is run.
func TestLostConnectionInTheFirstStatement(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range having(server) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_cut.sql": script(p.sleep, "CREATE TABLE down_was_run (id INTEGER);"),
			})
			killed := make(chan error, 1)
			go func() { killed <- killSleeper(p) }()
			wantFailed(t, p.migrator(from(fsys)).Migrate(ctx), 12)
			if err := <-killed; err != nil {
				t.Fatal(err)
			}
			tables := earlierTables
			if !p.transactionalDDL {
				tables = append([]string{"down_was_run"}, tables...)
			}
			p.want(t, earlierVersions, tables)
		})
	}
}

// killSleeper waits for a connection that executes the sleep statement and ends it.
func killSleeper(p *place) error {
	find := `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()`
	if p.dialect == "mysql" {
		find = `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'DO SLEEP(30)%'`
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var id int64
		err := p.db.QueryRow(find).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = p.db.Exec(fmt.Sprintf(p.kill, id))
		return err
	}
	return errors.New("no connection sleeps")
}
