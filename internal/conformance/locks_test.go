package conformance

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/pressly/goose/v3"
)

// The lock as everybody has it who migrates goose_db_version in the place's database.
const (
	postgresMutex = `hashtextextended('"public"."goose_db_version_lock"', 0)`
	mysqlMutex    = `CONCAT('gooseplus:', LEFT(SHA2(CONCAT(DATABASE(), '.goose_db_version_lock'), 256), 48))`
)

// locks is the global lock of a place, and what is locked in it.
type locks struct{ *place }

// hold takes the lock as a process does that says nothing in the state table. The function it returns gives it
// back.
func (p locks) hold(t *testing.T) (release func()) {
	t.Helper()
	conn, err := p.db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	take, end := []string{"BEGIN", "SELECT pg_advisory_xact_lock(" + postgresMutex + ")"}, "COMMIT"
	if p.dialect == "mysql" {
		take, end = []string{"DO GET_LOCK(" + mysqlMutex + ", 10)"}, "DO RELEASE_ALL_LOCKS()"
	}
	for _, statement := range take {
		if _, err := conn.ExecContext(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
	done := false
	release = func() {
		if done {
			return
		}
		done = true
		if _, err := conn.ExecContext(context.Background(), end); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(release)
	return release
}

// holders are the connections that have the lock: one or none.
func (p locks) holders(t *testing.T) []int64 {
	t.Helper()
	query := `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND ((classid::bigint << 32) | objid::bigint) = ` + postgresMutex
	if p.dialect == "mysql" {
		query = `SELECT c FROM (SELECT IS_USED_LOCK(` + mysqlMutex + `) AS c) AS m WHERE c IS NOT NULL`
	}
	return column[int64](t, p.db, query)
}

// connection finds the connection that has the lock.
func (p locks) connection(t *testing.T) (id int64) {
	t.Helper()
	eventually(t, "somebody has the lock", func() bool {
		ids := p.holders(t)
		if len(ids) == 1 {
			id = ids[0]
		}
		return len(ids) == 1
	})
	return id
}

// wantNothingNamed asserts that no run has left a fence or a connection in the state table.
func (p locks) wantNothingNamed(t *testing.T) {
	t.Helper()
	if left := column[string](t, p.db, `SELECT id FROM goose_db_version_lock WHERE kind IN ('fence', 'backend')`); len(left) > 0 {
		t.Errorf("the state table still has %q", left)
	}
}

// barring keeps everybody from a table until the function that it returns is called.
func (p locks) bar(t *testing.T, table string) (proceed func()) {
	t.Helper()
	conn, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin, end := []string{"BEGIN", "LOCK TABLE " + table}, "COMMIT"
	if p.dialect == "mysql" {
		begin, end = []string{"LOCK TABLES " + table + " WRITE"}, "UNLOCK TABLES"
	}
	for _, statement := range begin {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), end); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// wantFree asserts that the lock is free: a run that doesn't wait gets it.
func (p locks) wantFree(t *testing.T) {
	t.Helper()
	last := goose.NewGoMigration(99999, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil)
	if err := p.locking(p.db, from(fstest.MapFS{}), gooseplus.WithGoMigrations(last), gooseplus.WithLockWait(0)).Migrate(context.Background()); err != nil {
		t.Errorf("the lock is not free: %v", err)
	}
	p.wantNothingNamed(t)
	if n := column[int](t, p.db, "SELECT count(*) FROM goose_db_version_lock WHERE outcome = 'running'"); n[0] != 0 {
		t.Errorf("%d runs are recorded as running", n[0])
	}
}
