package session

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestContextEnds(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		s := p.open(t, Config{})
		t.Run("before Begin", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := s.DB().BeginTx(ctx, nil); err == nil {
				t.Error("no error")
			}
			if _, err := InTransaction(ctx, p.db, Config{}); err == nil {
				t.Error("no error")
			}
		})
		t.Run("in OnBegin", func(t *testing.T) {
			slow := Config{OnBegin: []Statement{{Query: p.sleep}}}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := p.open(t, slow).DB().BeginTx(ctx, nil); err == nil {
				t.Error("no error")
			}
			if _, err := InTransaction(ctx, p.db, slow); err == nil {
				t.Error("no error")
			}
		})
		t.Run("in a transaction", func(t *testing.T) {
			exe(t, p.db, `CREATE TABLE a (id INTEGER)`)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tx, err := s.DB().BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			exe(t, tx, `INSERT INTO a VALUES (1)`)
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, err := tx.ExecContext(ctx, p.sleep); err == nil {
				t.Error("no error")
			}
			tx.Rollback()
			if n := get[int](t, s.DB(), `SELECT count(*) FROM a`); n != 0 {
				t.Error("the transaction was committed")
			}
		})
	})
}

func TestCloseWithForgottenConnections(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		exe(t, p.db, `CREATE TABLE a (id INTEGER)`)
		s := Open(p.db, Config{})
		conn, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `INSERT INTO a VALUES (1)`)
		other, err := s.DB().QueryContext(ctx, `SELECT id FROM a`)
		if err != nil {
			t.Fatal(err)
		}
		now, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer stop()
		if err := s.Close(now); err == nil || !strings.Contains(err.Error(), "2 connections") {
			t.Errorf("error %v", err)
		}
		free(t, p.db)
		if n := get[int](t, p.db, `SELECT count(*) FROM a`); n != 0 {
			t.Error("the transaction was committed")
		}
		if _, err := tx.Exec(`INSERT INTO a VALUES (1)`); err != ErrClosed {
			t.Errorf("error %v, want ErrClosed", err)
		}
		tx.Rollback()
		other.Close()
		conn.Close()
		cancel()
		if err := s.Close(now); err != nil {
			t.Error(err)
		}
	})
}

func TestParentIsClosed(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		s := p.open(t, Config{})
		conn, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.db.Close(); err != nil {
			t.Error(err)
		}
		exe(t, conn, `CREATE TABLE a (id INTEGER)`)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := s.DB().Ping(); err == nil {
			t.Error("no error")
		}
	})
}

func TestKilledConnection(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		if p.kill == "" {
			return
		}
		exe(t, p.db, `CREATE TABLE a (id INTEGER)`)
		s := p.open(t, p.fence(t))
		conn, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tx, err := conn.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `INSERT INTO a VALUES (1)`)
		p.killConn(t, tx)
		if _, err := tx.Exec(`INSERT INTO a VALUES (2)`); err == nil {
			t.Error("the killed connection works")
		}
		if err := tx.Commit(); err == nil {
			t.Error("the killed transaction was committed")
		}
		conn.Close()
		free(t, p.db)
		if n := get[int](t, s.DB(), `SELECT count(*) FROM a`); n != 0 {
			t.Errorf("%d rows", n)
		}
		if n := get[int](t, s.DB(), `SELECT n FROM runs`); n != 0 {
			t.Errorf("the fence of the killed transaction is committed: %d", n)
		}
	})
}

func TestCloseWhileAStatementRuns(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		for name, open := range map[string]func() *Session{
			"session":           func() *Session { return Open(p.db, Config{}) },
			"outer transaction": func() *Session { return p.inTransaction(t, Config{}) },
		} {
			t.Run(name, func(t *testing.T) {
				s := open()
				conn, err := s.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					conn.ExecContext(ctx, p.sleep)
				}()
				time.Sleep(50 * time.Millisecond)
				soon, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer stop()
				started := time.Now()
				if err := s.Close(soon); err == nil {
					t.Error("no error")
				}
				if took := time.Since(started); took > 5*time.Second {
					t.Errorf("Close took %v", took)
				}
				cancel()
				<-ended
				conn.Close()
				for p.db.Stats().InUse > 0 { // until the driver has closed it
					time.Sleep(time.Millisecond)
				}
			})
		}
	})
}
