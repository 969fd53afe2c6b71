package session

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// silence is a proxy that forwards until it is told to stop: connections stay open then, new ones are accepted, and
// nothing arrives any more.
type silence struct {
	listener net.Listener
	server   string
	stopped  chan struct{}
	done     chan struct{}
	all      sync.WaitGroup
}

func newSilence(t *testing.T, server string) *silence {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &silence{listener: listener, server: server, stopped: make(chan struct{}), done: make(chan struct{})}
	p.all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", p.server)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.all.Go(func() {
				<-p.done
				_, _ = client.Close(), server.Close()
			})
			p.all.Go(func() { p.forward(client, server) })
			p.all.Go(func() { p.forward(server, client) })
		}
	})
	return p
}

func (p *silence) forward(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-p.stopped:
			<-p.done
		default:
		}
		if err != nil {
			break
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			break
		}
	}
	_, _ = to.Close(), from.Close()
}

func (p *silence) end() {
	close(p.done)
	_ = p.listener.Close()
	p.all.Wait()
}

// through is the DSN of a database by way of a proxy.
func (x target) through(t *testing.T, dsn string) (*silence, string) {
	t.Helper()
	if x.dialect == "mysql" {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		p := newSilence(t, cfg.Addr)
		cfg.Addr, cfg.Logger = p.listener.Addr().String(), log.New(io.Discard, "", 0)
		return p, cfg.FormatDSN()
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := newSilence(t, u.Host)
	u.Host = p.listener.Addr().String()
	return p, u.String()
}

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

// slowRows is a query that gives one long row after the other.
func slowRows(db *sql.DB) string {
	if _, ok := db.Driver().(*mysql.MySQLDriver); ok {
		return `SELECT REPEAT('x', 20000), SLEEP(0.02) FROM seq_1_to_2000`
	}
	return `SELECT repeat('x', 20000), pg_sleep(0.02)::text FROM generate_series(1, 2000)`
}

func (x target) guarded(t *testing.T, use func(*testing.T, context.Context, *sql.DB, func()) error) {
	proxy, dsn := x.through(t, x.dsn(t))
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
		close(proxy.stopped)
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
	proxy.end()
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
