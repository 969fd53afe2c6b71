package history

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestActivity: what the server says of a connection, by the name that a run has given it.
func TestActivity(t *testing.T) {
	ctx := t.Context()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		if !p.rows { // it has no connections to look at
			return
		}
		conn, err := p.db.Conn(ctx)
		must(t, err)
		defer conn.Close()
		var name string
		query := "SELECT pid || '/' || extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
		if p.name == "mysql" {
			query = "SELECT CAST(CONNECTION_ID() AS CHAR)"
		}
		must(t, conn.QueryRowContext(ctx, query).Scan(&name))
		if p.name == "mysql" {
			_, err := conn.ExecContext(ctx, "DO GET_LOCK('gooseplus:r:"+name+"', 0)")
			must(t, err)
		}
		number, _, _ := Connection{Name: name}.number()
		activity := func(name string) string {
			t.Helper()
			a, err := p.table.Connections.Activity(ctx, p.db, Connection{Run: "r", Name: name})
			must(t, err)
			return fmt.Sprintf("gone %t, own %t, idle %t, in a transaction %t", a.Gone, a.Own, a.Idle, a.InTransaction)
		}
		want := func(what, name, told string) {
			t.Helper()
			if got := activity(name); got != told {
				t.Errorf("%s: %s, want %s", what, got, told)
			}
		}
		idle := "gone false, own true, idle true, in a transaction false"
		gone := "gone true, own false, idle false, in a transaction false"
		if p.name == "mysql" { // which doesn't tell
			idle = "gone false, own true, idle true, in a transaction true"
		}
		want("idle", name, idle)
		want("no number", "x/1", gone)
		want("nobody's number", "999999999", gone)
		if p.name == "postgres" {
			want("a name without the time at which it began", number+"/", "gone false, own false, idle true, in a transaction false")
			a, err := p.table.Connections.Activity(ctx, p.db, Connection{Run: "r", Name: number + "/1.5"})
			must(t, err)
			if !a.Gone || a.Own {
				t.Errorf("the number of another connection: %+v", a)
			}
		} else {
			want("another run's", number+"1", gone)
		}
		tx, err := conn.BeginTx(ctx, nil)
		must(t, err)
		_, err = tx.Exec("SELECT 1")
		must(t, err)
		want("in a transaction", name, "gone false, own true, idle true, in a transaction true")
		pause := "SELECT pg_sleep(60)"
		if p.name == "mysql" {
			pause = "SELECT SLEEP(60)"
		}
		ended := make(chan error, 1)
		go func() { _, err := tx.ExecContext(context.WithoutCancel(ctx), pause); ended <- err }()
		until := func(what, told string) {
			t.Helper()
			for deadline := time.Now().Add(time.Minute); activity(name) != told; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					want(what, name, told)
					return
				}
			}
		}
		until("at work", "gone false, own true, idle false, in a transaction false")
		a, err := p.table.Connections.Activity(ctx, p.db, Connection{Run: "r", Name: name})
		must(t, err)
		must(t, p.table.Connections.End(ctx, p.db, Connection{Run: "r", Name: name}, a))
		if err := <-ended; err == nil {
			t.Error("the statement has ended by itself")
		}
		_ = tx.Rollback() // it has no connection any more
		until("ended", gone)
	})
}

// TestBlocker: whose transaction keeps a run from being declared dead.
func TestBlocker(t *testing.T) {
	ctx := t.Context()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		if p.name != "postgres" { // nobody else can tell
			return
		}
		blocker := func() string {
			t.Helper()
			a, err := p.table.Connections.Blocker(ctx, p.db, "r")
			must(t, err)
			if a == nil {
				return ""
			}
			return a.pid
		}
		want := func(what, pid string) {
			t.Helper()
			if got := blocker(); got != pid {
				t.Errorf("%s: %q, want %q", what, got, pid)
			}
		}
		want("no table", "")
		must(t, p.table.Ensure(ctx, p.db))
		must(t, p.table.Runs.Start(ctx, p.db, Run{ID: "r"}))
		want("no transaction", "")
		for what, statement := range map[string]string{"the fence": p.table.Runs.Fence("r"), "the table": "LOCK TABLE " + p.table.Name()} {
			tx, err := p.db.Begin()
			must(t, err)
			var pid string
			must(t, tx.QueryRow("SELECT pg_backend_pid()::text").Scan(&pid))
			want("a transaction that has locked nothing", "")
			_, err = tx.Exec(statement)
			must(t, err)
			want(what, pid)
			must(t, tx.Rollback())
		}
		want("nobody any more", "")
	})
}
