package conformance

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// timeoutsSQL reads a connection's timeouts, as one text.
func (p *place) timeoutsSQL() string {
	switch p.dialect {
	case "postgres":
		return "SELECT concat(current_setting('lock_timeout'), ' ', current_setting('statement_timeout'))"
	case "mysql":
		limit := "@@max_execution_time"
		if p.isMariaDB() {
			limit = "CAST(@@max_statement_time * 1000 AS INTEGER)"
		}
		return "SELECT CONCAT(@@lock_wait_timeout, ' ', @@innodb_lock_wait_timeout, ' ', " + limit + ")"
	}
	return "PRAGMA busy_timeout"
}

// ownTimeouts are statements by which an application sets them, and what it reads then.
func (p *place) ownTimeouts() (set []string, read string) {
	switch p.dialect {
	case "postgres":
		return []string{"SET lock_timeout = '77s'", "SET statement_timeout = '2min'"}, "77s 2min"
	case "mysql":
		limit := "max_execution_time = 79500"
		if p.isMariaDB() {
			limit = "max_statement_time = 79.5"
		}
		return []string{"SET SESSION lock_wait_timeout = 77, SESSION innodb_lock_wait_timeout = 78, SESSION " + limit}, "77 78 79500"
	}
	return []string{"PRAGMA busy_timeout = 7777"}, "7777"
}

// TestTimeouts reads the timeouts where migrations are, and afterwards on the application's only
// connection.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		limits := gooseplus.StatementTimeouts{Lock: 1234 * time.Millisecond, Statement: 5678 * time.Millisecond}
		want := map[string]string{"postgres": "1234ms 5678ms", "mysql": "2 2 5678", "sqlite": "1234"}[p.dialect]
		if p.dialect == "sqlite" {
			limits.Statement = 0
		}
		seen := map[string]string{}
		reads := func(where string, row *sql.Row) error {
			var text string
			err := row.Scan(&text)
			seen[where] = text
			return err
		}
		inTx := func(where string) *goose.GoFunc {
			return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				return reads(where, tx.QueryRowContext(ctx, p.timeoutsSQL()))
			}}
		}
		noTx := func(where string) *goose.GoFunc {
			return &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				if err := reads(where, db.QueryRowContext(ctx, p.timeoutsSQL())); err != nil {
					return err
				}
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				defer tx.Rollback()
				return reads(where+", in a transaction of its own", tx.QueryRowContext(ctx, p.timeoutsSQL()))
			}}
		}
		note := "CREATE TABLE note AS " + p.timeoutsSQL() + " AS timeouts;"
		if p.dialect == "sqlite" {
			note = "CREATE TABLE note AS SELECT timeout AS timeouts FROM pragma_busy_timeout;"
		}
		fsys := files(map[string]*fstest.MapFile{
			"1_a.sql":    table("a"),
			"2_note.sql": noTransaction(note, "DROP TABLE note;"),
		})

		db := p.open(t)
		defer db.Close()
		set, own := p.ownTimeouts()
		for _, lock := range []bool{false, true} {
			connections := 2 // the Go migration without a transaction takes two
			if lock && p.dialect != "sqlite" {
				connections = 4
			}
			db.SetMaxOpenConns(connections)
			db.SetMaxIdleConns(connections)
			pinned := pin(t, db, connections)
			for _, c := range pinned {
				for _, s := range set {
					if _, err := c.ExecContext(ctx, s); err != nil {
						t.Fatal(err)
					}
				}
				c.Close()
			}
			clear(seen)
			m := p.over(db, from(fsys), gooseplus.WithStatementTimeouts(limits), gooseplus.WithGlobalLock(lock),
				gooseplus.WithGoMigrations(
					goose.NewGoMigration(3, inTx("up in a transaction"), inTx("down in a transaction")),
					goose.NewGoMigration(4, noTx("up without one"), noTx("down without one"))))
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			wantNote(t, p, want)
			if err := m.RollbackTo(ctx, 0); err != nil {
				t.Fatal(err)
			}
			if len(seen) != 6 {
				t.Errorf("seen %v", seen)
			}
			for where, text := range seen {
				if text != want {
					t.Errorf("%s the timeouts are %s, want %s", where, text, want)
				}
			}
			for i, c := range pin(t, db, connections) {
				var text string
				if err := c.QueryRowContext(ctx, p.timeoutsSQL()).Scan(&text); err != nil || text != own && p.dialect != "mysql" { // there, it is a new one
					t.Errorf("connection %d has the timeouts %s, want %s; %v", i, text, own, err)
				}
				c.Close()
			}
			if n := db.Stats().MaxIdleClosed; n > 0 {
				t.Errorf("%d connections were closed", n)
			}
		}
	})
}

// pin takes all connections of a pool.
func pin(t *testing.T, db *sql.DB, n int) (list []*sql.Conn) {
	t.Helper()
	for range n {
		c, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func wantNote(t *testing.T, p *place, want string) {
	t.Helper()
	if got := column[string](t, p.db, "SELECT timeouts FROM note"); !slices.Equal(got, []string{want}) {
		t.Errorf("a statement outside a transaction had the timeouts %v, want %s", got, want)
	}
}

// TestTimeoutsAfterAFailure has the pool's one connection go through a migration that waited for a lock in vain.
func TestTimeoutsAfterAFailure(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, file := range map[string]*fstest.MapFile{
		"in a transaction":      script(addNote, dropNote),
		"outside a transaction": noTransaction(addNote, "SELECT 1;"),
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, p *place) {
				c := crowded(t, p, map[string]*fstest.MapFile{"12_note.sql": file})
				c.block(t)
				db := p.open(t)
				defer db.Close()
				db.SetMaxOpenConns(1)
				set, own := p.ownTimeouts()
				for _, s := range set {
					if _, err := db.Exec(s); err != nil {
						t.Fatal(err)
					}
				}
				err := p.over(db, from(c.fsys), c.limited(1)).Migrate(ctx)
				wantFailed(t, err, 12)
				wantContention(t, p, err)
				if got := column[string](t, db, p.timeoutsSQL()); got[0] != own && p.dialect != "mysql" {
					t.Errorf("the connection has the timeouts %s, want %s", got[0], own)
				}
				c.letGo()
				p.want(t, earlierVersions, earlierTables)
			})
		})
	}
}

// TestStatementTimeout: a statement that takes too long is not tried again, it would take as long.
func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	for _, x := range targets {
		slow := map[string]string{
			"postgres": "SELECT pg_sleep(30);",
			// MySQL ends a SLEEP without an error.
			"mysql": "SELECT COUNT(*) FROM information_schema.collations AS a, information_schema.collations AS b, information_schema.collations AS c, information_schema.collations AS d;",
		}[x.dialect]
		if slow == "" {
			continue
		}
		for name, file := range map[string]*fstest.MapFile{
			"in a transaction": script(slow, "SELECT 1;"), "outside a transaction": noTransaction(slow, "SELECT 1;"),
		} {
			t.Run(x.name+" "+name, func(t *testing.T) {
				longEnough(t, 200*time.Millisecond, func(limit time.Duration) bool {
					p := x.place(t)
					c := crowded(t, p, map[string]*fstest.MapFile{"12_slow.sql": file})
					told := &steps{version: 12}
					started := time.Now()
					err := p.migrator(from(c.fsys), told.watch(),
						gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Statement: limit})).Migrate(context.Background())
					if failed := failedStep(err); failed == nil || failed.Version != 12 || errors.Is(err, gooseplus.ErrRollBack) {
						return false // another statement took as long
					}
					wantFailed(t, err, 12)
					wantDriverError(t, p, err)
					if took := time.Since(started); took > 20*time.Second {
						t.Errorf("it took %v", took)
					}
					if len(told.warnings) > 0 {
						t.Errorf("warnings %q", told.warnings)
					}
					p.want(t, earlierVersions, earlierTables)
					return true
				})
			})
		}
	}
}

// TestTimeoutsTakeNoSnapshot: a migration's first statement can still choose the isolation level.
func TestTimeoutsTakeNoSnapshot(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range having(server, transactionalDDL) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			fsys := files(map[string]*fstest.MapFile{
				"1_a.sql": script("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE a (id INTEGER);", "DROP TABLE a;"),
			})
			db, counter := p.counted(t)
			err := p.over(db, from(fsys), gooseplus.WithStatementTimeouts(
				gooseplus.StatementTimeouts{Lock: time.Second, Statement: time.Minute})).Migrate(ctx)
			if err != nil {
				t.Fatal(err)
			}
			// One round trip is what it costs, beside the connection's name.
			told := counter.take()
			begin := len(told) - 1
			for begin > 0 && told[begin] != "BEGIN" {
				begin--
			}
			if !strings.Contains(strings.Join(slices.Delete(told[begin+1:begin+4], 1, 2), " "), "SET LOCAL lock_timeout = '1000'; SET LOCAL statement_timeout = '60000' SET TRANSACTION") {
				t.Errorf("the database was told %q", told)
			}
		})
	}
}
