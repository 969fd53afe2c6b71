package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

// earlier is what a deployment before the one under test has applied: 10 is newer than the late
// versions of the next, so that going down to a version number would go wrong.
var earlier = map[string]*fstest.MapFile{
	"01_users.sql": table("users"),
	"10_teams.sql": table("teams"),
}

var (
	earlierVersions = []int64{1, 10}
	earlierTables   = []string{"teams", "users"}
)

// deploy applies the earlier deployment and returns the files of the next one: the earlier ones,
// two tables with the versions 5 (late) and 11, and those given, which have versions from 12.
func deploy(t *testing.T, p *place, more map[string]*fstest.MapFile) fstest.MapFS {
	t.Helper()
	if err := p.migrator(from(files(earlier))).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	named := maps.Clone(earlier)
	named["05_late.sql"] = table("late")
	named["11_next.sql"] = table("next")
	maps.Copy(named, more)
	return files(named)
}

// TestWayBack plays the ways in which a run can fail at version 12, or between 11 and 12. Wherever
// nothing is said to the contrary, the database must be back where the earlier deployment left it.
func TestWayBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("SQL error", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
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
			p.wantDriverError(t, err)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("SQL error in the second statement", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
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
		onEach(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				// This Down would fail, since there is nothing to drop.
				"12_bad.sql": script("CREATE TABLE users (id INTEGER);", "DROP TABLE fresh;"),
			})
			wantFailed(t, p.migrator(from(fsys)).Migrate(ctx), 12)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("Go migration", func(t *testing.T) {
		boom := errors.New("boom")
		situations := map[string]struct {
			up    *goose.GoFunc
			check func(*testing.T, error)
		}{
			"error in a transaction": {
				up: &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
					return errors.Join(boom, execTx(ctx, tx, "CREATE TABLE half (id INTEGER)"))
				}},
				check: func(t *testing.T, err error) { wantIs(t, err, boom) },
			},
			"error without a transaction": {
				up: &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, "CREATE TABLE half (id INTEGER)")
					return errors.Join(boom, err)
				}},
				check: func(t *testing.T, err error) { wantIs(t, err, boom) },
			},
			"panic in a transaction": {
				up: &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
					if err := execTx(ctx, tx, "CREATE TABLE half (id INTEGER)"); err != nil {
						return err
					}
					panic("out of geese")
				}},
				check: func(t *testing.T, err error) { wantText(t, err, "panic: out of geese") },
			},
			"panic without a transaction": {
				up: &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
					if _, err := db.ExecContext(ctx, "CREATE TABLE half (id INTEGER)"); err != nil {
						return err
					}
					panic(boom)
				}},
				check: func(t *testing.T, err error) { wantIs(t, err, boom) },
			},
		}
		for name, s := range situations {
			t.Run(name, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					fsys := deploy(t, p, nil)
					down := &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
						_, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS half")
						return err
					}}
					err := p.migrator(from(fsys), gooseplus.WithGoMigrations(goose.NewGoMigration(12, s.up, down))).Migrate(ctx)
					wantFailed(t, err, 12)
					s.check(t, err)
					p.want(t, earlierVersions, earlierTables)
				})
			})
		}
	})

	t.Run("migration timeout", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_slow.sql": script("CREATE TABLE half (id INTEGER);\n"+p.sleep, "DROP TABLE IF EXISTS half;"),
			})
			err := p.migrator(from(fsys), gooseplus.WithMigrationTimeout(time.Second)).Migrate(ctx)
			wantFailed(t, err, 12)
			wantIs(t, err, context.DeadlineExceeded)
			wantText(t, err, "the migration timeout of 1s is over")
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("global timeout", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_slow.sql": script("CREATE TABLE half (id INTEGER);\n"+p.sleep, "DROP TABLE IF EXISTS half;"),
			})
			err := p.migrator(from(fsys), gooseplus.WithTimeout(time.Second)).Migrate(ctx)
			wantFailed(t, err, 12)
			wantIs(t, err, context.DeadlineExceeded)
			wantText(t, err, "the timeout of 1s is over")
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("the caller cancels in the middle of a statement", func(t *testing.T) {
		reason := errors.New("the pod is going away")
		onEach(t, func(t *testing.T, p *place) {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"13_slow.sql": script("CREATE TABLE half (id INTEGER);\n"+p.sleep, "DROP TABLE IF EXISTS half;"),
			})
			// The last thing that happens before the slow migration is this one's end.
			before := goose.NewGoMigration(12, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
				time.AfterFunc(300*time.Millisecond, func() { cancel(reason) })
				return nil
			}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
			err := p.migrator(from(fsys), gooseplus.WithGoMigrations(before)).Migrate(ctx)
			wantFailed(t, err, 13)
			wantIs(t, err, context.Canceled)
			wantIs(t, err, reason)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("the caller cancels between two migrations", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
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
		onEach(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, nil)
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			err := p.migrator(from(fsys)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrMigrationTable)
			wantIs(t, err, context.Canceled)
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
				wantText(t, stuck.Err, "migration 12 (sql/base/12_half.sql) down")
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

// TestLostConnection ends the connection that a migration runs on, from another one.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range targets {
		if x.kill == "" {
			continue // SQLite runs in this process
		}
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
	for _, x := range targets {
		if x.kill == "" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_cut.sql": script(p.sleep, "CREATE TABLE down_was_run (id INTEGER);"),
			})
			killed := make(chan error, 1)
			go func() { killed <- p.killSleeper() }()
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
func (p *place) killSleeper() error {
	find := `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()`
	if p.dialect == "mysql" {
		find = `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'DO SLEEP(30)%'`
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
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

func execTx(ctx context.Context, tx *sql.Tx, statement string) error {
	_, err := tx.ExecContext(ctx, statement)
	return err
}

// wantDriverError asserts that the driver's own error type can be reached.
func (p *place) wantDriverError(t *testing.T, err error) {
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
