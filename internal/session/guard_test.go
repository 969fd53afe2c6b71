package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// TestGuard cuts the network under every kind of call. Each returns all the same when its context has ended, and leaves
// the parent pool as if its connection had never been.
func TestGuard(t *testing.T) {
	inTx := func(end func(*sql.Tx) error) func(*testing.T, context.Context, *sql.DB, func()) error {
		return func(t *testing.T, ctx context.Context, db *sql.DB, cut func()) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			exe(t, tx, `INSERT INTO a VALUES (1)`)
			cut()
			return end(tx)
		}
	}
	for name, use := range map[string]func(*testing.T, context.Context, *sql.DB, func()) error{
		"a statement": func(t *testing.T, ctx context.Context, db *sql.DB, cut func()) error {
			exe(t, db, `INSERT INTO a VALUES (1)`)
			cut()
			_, err := db.ExecContext(ctx, `INSERT INTO a VALUES (2)`)
			return err
		},
		"a new connection": func(t *testing.T, ctx context.Context, db *sql.DB, cut func()) error {
			cut()
			_, err := db.ExecContext(ctx, `INSERT INTO a VALUES (2)`)
			return err
		},
		"BEGIN": func(t *testing.T, ctx context.Context, db *sql.DB, cut func()) error {
			exe(t, db, `INSERT INTO a VALUES (1)`)
			cut()
			_, err := db.BeginTx(ctx, nil)
			return err
		},
		"a prepared statement": func(t *testing.T, ctx context.Context, db *sql.DB, cut func()) error {
			conn, err := db.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			st, err := conn.PrepareContext(ctx, `INSERT INTO a VALUES (3)`)
			if err != nil {
				t.Fatal(err)
			}
			cut()
			_, err = st.ExecContext(ctx)
			_, _ = st.Close(), conn.Close()
			return err
		},
		"rows": func(t *testing.T, ctx context.Context, db *sql.DB, cut func()) error {
			rows, err := db.QueryContext(ctx, slowRows(db))
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			cut()
			for rows.Next() {
			}
			return errors.Join(rows.Err(), rows.Close())
		},
		"COMMIT":                     inTx((*sql.Tx).Commit),
		"ROLLBACK":                   inTx((*sql.Tx).Rollback),
		"a statement before the end": inTx(func(tx *sql.Tx) error { defer tx.Rollback(); return tx.QueryRow(`SELECT id FROM a`).Err() }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, x := range targets {
				if x.dialect == "sqlite3" {
					continue
				}
				t.Run(x.name, func(t *testing.T) {
					t.Parallel()
					x.guarded(t, use)
				})
			}
		})
	}
}

// late is a driver that makes its connection when it is told to.
type late struct {
	*legacy
	asked, made chan struct{}
}

func (l late) Connect(ctx context.Context) (driver.Conn, error) {
	close(l.asked)
	<-l.made
	return l.legacy.Connect(ctx)
}

// TestLateConnection: a connection that comes when nobody waits for it any more is closed.
func TestLateConnection(t *testing.T) {
	closed := make(chan struct{})
	l := late{&legacy{fail: func(what string) error { close(closed); return nil }}, make(chan struct{}), make(chan struct{})}
	parent := sql.OpenDB(l)
	defer parent.Close()
	s := closeAtEnd(t, Guard(parent, false))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-l.asked; cancel() }()
	if err := s.DB().PingContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(l.made)
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("the connection stays")
	}
}

// slowRows is a query that gives one long row after the other.
func slowRows(db *sql.DB) string {
	if _, ok := db.Driver().(*mysql.MySQLDriver); ok {
		return `SELECT REPEAT('x', 20000), SLEEP(0.02) FROM seq_1_to_2000`
	}
	return `SELECT repeat('x', 20000), pg_sleep(0.02)::text FROM generate_series(1, 2000)`
}

func (x target) guarded(t *testing.T, use func(*testing.T, context.Context, *sql.DB, func()) error) {
	proxy, dsn := dbtest.Through(t, x.dsn(t))
	parent, err := sql.Open(x.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	s := Open(parent, Config{Guarded: true, endsBySQL: x.dialect == "mysql"})
	exe(t, s.DB(), `CREATE TABLE a (id INTEGER)`)
	if n := parent.Stats().OpenConnections; n != 1 {
		t.Errorf("the parent has %d connections, want the one that was given back", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	returned := make(chan error, 1)
	cut := func() {
		proxy.Silence()
		time.AfterFunc(100*time.Millisecond, cancel) // the call should be under way, but need not
	}
	go func() { returned <- use(t, ctx, s.DB(), cut) }()
	select {
	case err = <-returned:
		t.Logf("returned: %v", err)
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(30 * time.Second):
		t.Error("the call didn't return")
	}
	now, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	if err := s.Close(now); err != nil {
		t.Log(err)
	}
	proxy.End()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if n := parent.Stats(); n.OpenConnections == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Errorf("the parent still has %d connections, %d in use", n.OpenConnections, n.InUse)
			break
		}
	}
	if err := parent.Close(); err != nil {
		t.Error(err)
	}
}
