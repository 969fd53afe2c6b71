package conformance

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestDeadlock has a migration and another session each wait for what the other has. The server ends
// the migration's transaction, the other session gets on, and the migration is tried again.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	having(server).onEach(t, func(t *testing.T, p *place) {
		if p.dialect == "mysql" {
			deadlockInMySQL(t, p)
		} else {
			deadlockInPostgres(t, p)
		}
	})
}

// deadlockInPostgres: who waited for deadlock_timeout looks for a cycle, and is the one to go.
func deadlockInPostgres(t *testing.T, p *place) {
	ctx := context.Background()
	c := crowded(t, p, nil)
	other, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	if err := execTx(ctx, other, "SET LOCAL deadlock_timeout = '1h'"); err != nil {
		t.Fatal(err)
	}
	if err := execTx(ctx, other, "LOCK TABLE teams"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	attempts := 0
	m := goose.NewGoMigration(12, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		if err := execTx(ctx, tx, "SET LOCAL deadlock_timeout = '20ms'; LOCK TABLE users"); err != nil {
			return err
		}
		if attempts++; attempts == 1 {
			go func() {
				err := execTx(context.Background(), other, "LOCK TABLE users") // until this attempt is over
				if err == nil {
					err = other.Commit()
				}
				ended <- err
			}()
			untilWaiting(t, p)
		}
		return execTx(ctx, tx, "LOCK TABLE teams; "+addNote)
	}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
	told := &steps{version: 12}
	err = p.migrator(from(c.fsys), gooseplus.WithGoMigrations(m), told.watch(),
		gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{})).Migrate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the other session: %v", err)
	}
	if attempts != 2 || len(told.warnings) != 1 {
		t.Errorf("%d attempts, warnings %q", attempts, told.warnings)
	}
	wantOne(t, told, "deadlock detected")
	p.want(t, noteVersions, noteTables)
	p.exec(t, "INSERT INTO users (id, note) VALUES (1, 'x')")
}

// deadlockInMySQL: of the two, InnoDB ends the transaction that has changed less.
func deadlockInMySQL(t *testing.T, p *place) {
	ctx := context.Background()
	c := crowded(t, p, map[string]*fstest.MapFile{
		"12_all.sql": script("UPDATE users SET n = n + 1;", "UPDATE users SET n = n - 1;"),
	})
	p.exec(t, "DROP TABLE users", "CREATE TABLE users (id INTEGER PRIMARY KEY, n INTEGER) ENGINE = InnoDB",
		"INSERT INTO users VALUES (1, 0), (2, 0)", "CREATE TABLE heavy (id INTEGER) ENGINE = InnoDB")
	other, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	for _, s := range []string{"INSERT INTO heavy WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n", "UPDATE users SET n = n + 10 WHERE id = 2"} {
		if err := execTx(ctx, other, s); err != nil {
			t.Fatal(err)
		}
	}
	told := &steps{version: 12, source: " (sql/base/12_all.sql)"}
	done := make(chan error, 1)
	go func() {
		done <- p.migrator(from(c.fsys), told.watch(), gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{})).Migrate(ctx)
	}()
	untilWaiting(t, p)
	if err := execTx(ctx, other, "UPDATE users SET n = n + 10 WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantOne(t, told, "Deadlock")
	p.want(t, noteVersions, []string{"heavy", "teams", "users"})
	for _, n := range column[int](t, p.db, "SELECT n FROM users") {
		if n != 11 {
			t.Errorf("n is %d, want 11: each was to be applied once", n)
		}
	}
}

func wantOne(t *testing.T, told *steps, text string) {
	t.Helper()
	told.want(t, 1, "up")
	if len(told.warnings) != 1 {
		t.Fatalf("warnings %q, want one", told.warnings)
	}
	wantText(t, errorText(told.warnings[0]), text)
}

type errorText string

func (e errorText) Error() string { return string(e) }

// untilWaiting returns when a session of this database waits for a lock of another one.
func untilWaiting(t *testing.T, p *place) {
	t.Helper()
	query := "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
	if p.dialect == "mysql" {
		query = `SELECT count(*) FROM information_schema.innodb_trx x JOIN information_schema.processlist p ON p.id = x.trx_mysql_thread_id
			WHERE p.db = DATABASE() AND x.trx_state = 'LOCK WAIT'`
	}
	p.untilAny(t, "a session waits for a lock", query)
}
