package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// blocked deploys a table, has another session keep it, and migrates it until a timeout, which is a longer one for as long as
// the error names nobody: on a busy machine the run may not have looked in time. It returns the number of that session for
// the server, and the error.
func blocked(t *testing.T, p *place, limit time.Duration, by func(limit time.Duration) gooseplus.Option, opts ...gooseplus.Option) (pid int64, failed *gooseplus.MigrationError, err error) {
	t.Helper()
	c := crowded(t, p, map[string]*fstest.MapFile{"12_note.sql": script(addNote, dropNote)})
	c.block(t)
	number := "SELECT pg_backend_pid()"
	if p.dialect == "mysql" {
		number = "SELECT CONNECTION_ID()"
	} else if _, err := c.other.Exec("SET application_name = 'report'"); err != nil {
		t.Fatal(err)
	}
	if err := c.other.QueryRow(number).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := c.other.QueryRow("SELECT count(*) AS counted FROM users WHERE id = 4711").Scan(&n); err != nil {
		t.Fatal(err)
	}
	longEnough(t, limit, func(limit time.Duration) bool {
		err = p.migrator(append(opts, by(limit), from(c.fsys))...).Migrate(context.Background())
		if !errors.As(err, &failed) {
			t.Fatalf("it ended with %v", err)
		}
		c.ready(t, err)
		return len(failed.Blockers) > 0
	})
	c.letGo()
	return pid, failed, err
}

// TestBlockersAreNamed: the error of a migration that met another session on a table names that session.
func TestBlockersAreNamed(t *testing.T) {
	t.Parallel()
	lock := func(limit time.Duration) gooseplus.Option {
		return gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: limit, Retries: -1})
	}
	for situation, s := range map[string]struct {
		limit time.Duration
		by    func(limit time.Duration) gooseplus.Option
		opts  []gooseplus.Option
	}{
		"lock timeout": {time.Second, lock, nil},
		"lock timeout, the whole run in one transaction": {300 * time.Millisecond, lock,
			[]gooseplus.Option{gooseplus.WithRollback(gooseplus.RollbackTransaction), gooseplus.WithGlobalLock(true)}},
		"statement timeout": {time.Second, func(limit time.Duration) gooseplus.Option {
			return gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Statement: limit, Retries: -1})
		}, nil},
		"migration timeout":                         {time.Second, gooseplus.WithMigrationTimeout, nil},
		"the application has named its connections": {time.Second, gooseplus.WithMigrationTimeout, []gooseplus.Option{gooseplus.WithGlobalLock(true)}},
	} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			having(server).onDatabases(t, func(t *testing.T, p *place) {
				if !p.transactionalDDL && strings.Contains(situation, "one transaction") {
					return
				}
				if strings.Contains(situation, "named") {
					if p.dialect != "postgres" {
						return
					}
					if _, err := p.db.Exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET application_name = ''shop''', current_database()); END $$`); err != nil {
						t.Fatal(err)
					}
					named := *p
					named.db = p.open(t)
					defer named.db.Close()
					p = &named
				}
				pid, failed, err := blocked(t, p, s.limit, s.by, s.opts...)
				b := failed.Blockers[0]
				if b.PID != pid || b.User == "" || b.State != "idle in transaction" || time.Since(b.Since) > 2*patience {
					t.Errorf("blocker %+v, want %d", b, pid)
				}
				wantText(t, err, fmt.Sprintf("blocked by pid %d (user %q", pid, b.User))
				if p.dialect != "postgres" {
					wantText(t, err, fmt.Sprintf("KILL %d", pid))
					return // the list of connections has no statement of one that is idle
				}
				wantText(t, err, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))
				wantText(t, err, `application "report", idle in transaction, since `)
				wantText(t, err, "SELECT count(*) AS counted FROM users WHERE id = ?")
			})
		})
	}
}

// TestBlockersOfRows: a row is locked, and not a table.
func TestBlockersOfRows(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		c := crowded(t, p, map[string]*fstest.MapFile{"12_rows.sql": script("UPDATE users SET id = id + 1;", "UPDATE users SET id = id - 1;")})
		p.exec(t, "INSERT INTO users (id) VALUES (1)")
		c.block(t)
		if _, err := c.other.Exec("UPDATE users SET id = 1"); err != nil {
			t.Fatal(err)
		}
		longEnough(t, time.Second, func(limit time.Duration) bool {
			err := p.migrator(from(c.fsys), gooseplus.WithMigrationTimeout(limit)).Migrate(context.Background())
			var failed *gooseplus.MigrationError
			if !errors.As(err, &failed) || len(failed.Blockers) > 1 || len(failed.Blockers) == 1 && failed.Blockers[0].Suspected {
				t.Errorf("not one blocker in %v", err)
				return true
			}
			c.ready(t, err)
			return len(failed.Blockers) == 1
		})
		c.letGo()
	})
}

// TestBlockersWithoutAConnection: a pool with one connection has none for the question.
func TestBlockersWithoutAConnection(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		one := *p
		c := crowded(t, p, map[string]*fstest.MapFile{"12_note.sql": script(addNote, dropNote)})
		c.block(t)
		one.db = p.open(t)
		defer one.db.Close()
		one.db.SetMaxOpenConns(1)
		err := one.migrator(from(c.fsys), gooseplus.WithMigrationTimeout(500*time.Millisecond)).Migrate(context.Background())
		var failed *gooseplus.MigrationError
		if !errors.As(err, &failed) || len(failed.Blockers) > 0 {
			t.Errorf("blockers in %v", err)
		}
		c.letGo()
	})
}

// TestRunNamesItsConnections: the server's list of connections tells which are a run's, and the application gets them back
// without the name.
func TestRunNamesItsConnections(t *testing.T) {
	t.Parallel()
	read := "INSERT INTO named SELECT current_setting('application_name');"
	set := map[string]*fstest.MapFile{
		"1_named.sql": script("CREATE TABLE named (name TEXT); "+read, "DROP TABLE named;"),
		"2_named.sql": script(read, "SELECT 1;"),
		"3_named.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" + read + "\n-- +goose Down\nSELECT 1;\n")},
		"4_named.sql": script(read, "SELECT 1;"),
	}
	for _, lock := range []bool{false, true} {
		for _, limit := range []int{0, 3} { // below five, the connections go back to the pool
			t.Run(fmt.Sprintf("lock %t, limit %d", lock, limit), func(t *testing.T) {
				t.Parallel()
				having(server, transactionalDDL).onEach(t, func(t *testing.T, p *place) {
					p.db.SetMaxOpenConns(limit)
					if err := p.migrator(from(files(set)), gooseplus.WithGlobalLock(lock)).Migrate(context.Background()); err != nil {
						t.Fatal(err)
					}
					var names, other int
					var name string
					if err := p.db.QueryRow("SELECT count(DISTINCT name), max(name), (SELECT count(*) FROM named WHERE name NOT LIKE 'gooseplus public.goose_db_version %') FROM named").
						Scan(&names, &name, &other); err != nil || names != 1 || other != 0 || len(name) > 63 {
						t.Errorf("%d names, as %q, %d others, %v", names, name, other, err)
					}
					for range 5 {
						if err := p.db.QueryRow("SELECT current_setting('application_name')").Scan(&name); err != nil || name != "" {
							t.Errorf("the application has %q, %v", name, err)
						}
					}
				})
			})
		}
	}
}

// TestHolderNamesItsConnection: the connection with the lock has the run's name too.
func TestHolderNamesItsConnection(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onEach(t, func(t *testing.T, p *place) {
		names := make(map[string]bool)
		err := p.migrator(from(files(earlier)), gooseplus.WithGlobalLock(true), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if _, ok := e.(gooseplus.MigrationFinished); !ok {
				return
			}
			var name string
			if err := p.db.QueryRow("SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'" +
				" AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&name); err != nil {
				t.Error(err)
			}
			names[name] = true
		})).Migrate(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for name := range names {
			if len(names) != 1 || !strings.HasPrefix(name, "gooseplus goose_db_version ") {
				t.Errorf("names %v", names)
			}
		}
	})
}

// TestLongNamesOfConnections: PostgreSQL cuts a name off, so that of a long version table the run is left.
func TestLongNamesOfConnections(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		long := "history_" + strings.Repeat("é", 25)
		set := map[string]*fstest.MapFile{"1_named.sql": script("CREATE TABLE named AS SELECT current_setting('application_name') AS name;", "DROP TABLE named;")}
		if err := p.locking(p.db, from(files(set)), gooseplus.WithVersionTable(long)).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		name := column[string](t, p.db, "SELECT name FROM named")[0]
		run := strings.TrimPrefix(column[string](t, p.db, "SELECT id FROM \""+long+"_lock\" WHERE kind = 'run'")[0], "run:")
		if !strings.HasPrefix(name, "gooseplus public.history_") || !strings.HasSuffix(name, " "+run) {
			t.Errorf("the connection of the run %q is called %q", run, name)
		}
	})
}
