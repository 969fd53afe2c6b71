package session

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"
)

// step is a migration: it makes a table and then fails or not.
func step(t *testing.T, db *sql.DB, table string, fail bool) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	exe(t, tx, `CREATE TABLE `+table+` (id INTEGER)`)
	if !fail {
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if _, err := tx.Exec(`INSERT INTO nowhere VALUES (1)`); err == nil {
		t.Fatal("no error")
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
}

func TestOuterTransaction(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		for name, x := range map[string]struct {
			commit bool
			tables string
		}{"commit": {true, "acd"}, "close": {false, ""}} {
			t.Run(name, func(t *testing.T) {
				cfg := Config{}
				if !x.commit {
					cfg = p.fence(t)
				}
				s := p.inTransaction(t, cfg)
				step(t, s.DB(), "a", false)
				step(t, s.DB(), "b", true)
				exe(t, s.DB(), `CREATE TABLE c (id INTEGER)`)
				step(t, s.DB(), "d", false)
				if n := p.db.Stats().InUse; n != 1 {
					t.Errorf("%d connections in use", n)
				}
				var err error
				if x.commit {
					err = s.Commit(t.Context())
				} else {
					err = s.Close(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
				free(t, p.db)
				p.want(t, x.tables)
				if err := s.Commit(t.Context()); err != ErrClosed {
					t.Errorf("another Commit says %v", err)
				}
				for _, table := range x.tables {
					exe(t, p.db, `DROP TABLE `+string(table))
				}
			})
		}
	})
}

func TestOuterTransactionIsFencedOnce(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		cfg := p.fence(t)
		s := p.inTransaction(t, cfg)
		step(t, s.DB(), "a", false)
		step(t, s.DB(), "b", false)
		if err := s.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := get[int](t, p.db, `SELECT n FROM runs`); n != 1 {
			t.Errorf("the fence was executed %d times", n)
		}
		exe(t, p.db, `UPDATE runs SET outcome = 'crashed'`)
		if _, err := InTransaction(t.Context(), p.db, cfg); err != errFenced {
			t.Errorf("InTransaction says %v", err)
		}
		free(t, p.db)
	})
}

func TestOuterTransactionOutlivesItsContext(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := InTransaction(ctx, p.db, Config{})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, s)
		cancel()
		time.Sleep(10 * time.Millisecond)
		step(t, s.DB(), "a", false)
		if err := s.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		p.want(t, "a")
	})
}

func TestOuterTransactionIsLost(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		for name, lose := range map[string]func(*Session){
			"a statement outside fails": func(s *Session) {
				if _, err := s.DB().Exec(p.fatal(t, s.DB())); err == nil {
					t.Error("no error")
				}
			},
			"a prepared statement outside fails": func(s *Session) {
				st, err := s.DB().Prepare(p.fatal(t, s.DB()))
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				if _, err := st.Exec(); err == nil {
					t.Error("no error")
				}
			},
			"a migration fails in a way that takes all back": func(s *Session) {
				tx, err := s.DB().Begin()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(p.fatal(t, tx)); err == nil {
					t.Error("no error")
				}
				tx.Rollback()
				if p.dialect == "postgres" { // there it took nothing else
					s.outer.lose(errFenced)
				}
			},
			"the migration ends the transaction": func(s *Session) {
				tx, err := s.DB().Begin()
				if err != nil {
					t.Fatal(err)
				}
				exe(t, tx, `ROLLBACK`)
				if err := tx.Commit(); err == nil {
					t.Error("no error")
				}
			},
			"the connection is killed": func(s *Session) {
				if p.kill == "" {
					s.outer.lose(errFenced)
					return
				}
				conn, err := s.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				p.killConn(t, conn)
				if _, err := conn.BeginTx(t.Context(), nil); err == nil {
					t.Error("no error")
				}
			},
			"the connection is killed in a migration": func(s *Session) {
				tx, err := s.DB().Begin()
				if err != nil {
					t.Fatal(err)
				}
				if p.kill == "" {
					exe(t, tx, `ROLLBACK`)
				} else {
					p.killConn(t, tx)
				}
				tx.Rollback()
			},
		} {
			t.Run(name, func(t *testing.T) {
				s := p.inTransaction(t, Config{})
				step(t, s.DB(), "a", false)
				lose(s)
				_, err := s.DB().Exec(`CREATE TABLE b (id INTEGER)`)
				wantIs(t, err, ErrLost)
				_, err = s.DB().Begin()
				wantIs(t, err, ErrLost)
				wantIs(t, s.Commit(t.Context()), ErrLost)
				free(t, p.db)
				p.want(t, "")
			})
		}
	})
}

// fatal makes a table and returns a statement that fails, and takes the transaction with it where
// not every statement does.
func (p *place) fatal(t *testing.T, db execer) string {
	exe(t, db, `CREATE TABLE d (id INTEGER PRIMARY KEY)`, `INSERT INTO d VALUES (1)`)
	if p.dialect == "sqlite3" {
		return `INSERT OR ROLLBACK INTO d VALUES (1)`
	}
	return `INSERT INTO d VALUES (1)`
}

// goose looks for its version table in SQLite by a query that fails if there is none.
func TestFailureThatLeavesTheTransaction(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		if p.dialect == "postgres" {
			return
		}
		s := p.inTransaction(t, Config{})
		step(t, s.DB(), "a", false)
		if _, err := s.DB().Exec(`INSERT INTO nowhere VALUES (1)`); err == nil {
			t.Error("no error")
		}
		step(t, s.DB(), "b", false)
		if err := s.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		p.want(t, "ab")
	})
}

func TestSavepointInterrupted(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		s := p.inTransaction(t, Config{})
		step(t, s.DB(), "a", false)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tx, err := s.DB().BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `CREATE TABLE b (id INTEGER)`)
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := tx.ExecContext(ctx, p.sleep); err == nil {
			t.Error("no error")
		}
		tx.Rollback()
		s.DB().Ping() // waits for database/sql's rollback
		switch err := s.Commit(t.Context()); {
		case err == nil: // the driver could stop the statement without closing the connection
			p.want(t, "a")
		case errors.Is(err, ErrLost):
			p.want(t, "")
		default:
			t.Error(err)
		}
	})
}

// A migration that hides the error of a statement can't commit in PostgreSQL; the others can.
func TestSavepointThatCantBeReleased(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		s := p.inTransaction(t, Config{})
		step(t, s.DB(), "a", false)
		tx, err := s.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `CREATE TABLE b (id INTEGER)`)
		if _, err := tx.Exec(`INSERT INTO nowhere VALUES (1)`); err == nil {
			t.Error("no error")
		}
		left := "ab"
		if err := tx.Commit(); err != nil {
			left = "a"
		}
		if (left == "a") != (p.dialect == "postgres") {
			t.Errorf("the migration was committed: %v", left != "a")
		}
		step(t, s.DB(), "c", false)
		if err := s.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		p.want(t, left+"c")
	})
}

func TestSavepointRefusesIsolation(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		s := p.inTransaction(t, Config{})
		for _, o := range []sql.TxOptions{{ReadOnly: true}, {Isolation: sql.LevelSerializable}} {
			if _, err := s.DB().BeginTx(t.Context(), &o); err == nil {
				t.Errorf("%+v is accepted", o)
			}
		}
		step(t, s.DB(), "a", false)
		if err := s.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOnSavepoint(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		if p.dialect != "postgres" {
			return
		}
		local := []Statement{{Query: `SET LOCAL lock_timeout = '3s'`}}
		s := p.inTransaction(t, Config{OnBegin: local, OnSavepoint: local})
		for range 2 {
			tx, err := s.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			if v := get[string](t, tx, p.read); v != "3s" {
				t.Errorf("lock_timeout is %s", v)
			}
			exe(t, tx, `SET LOCAL lock_timeout = '9s'`)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		s = p.inTransaction(t, Config{OnSavepoint: []Statement{{Query: `SET LOCAL nothing_such = 1`}}})
		if _, err := s.DB().Begin(); err == nil {
			t.Error("no error")
		}
		exe(t, s.DB(), `CREATE TABLE a (id INTEGER)`) // the savepoint is gone, the transaction is not
		if err := s.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		p.want(t, "a")
	})
}

func TestCommitWhileInUse(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		s := p.inTransaction(t, Config{})
		tx, err := s.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `CREATE TABLE a (id INTEGER)`)
		if err := s.Commit(t.Context()); err == nil {
			t.Error("it was committed")
		}
		free(t, p.db)
		if err := tx.Commit(); err == nil {
			t.Error("the savepoint was released")
		}
		p.want(t, "")
	})
}

func TestCommitOnADoneContext(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		s := p.inTransaction(t, Config{})
		step(t, s.DB(), "a", false)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errFenced)
		if err := s.Commit(ctx); err != errFenced {
			t.Errorf("error %v, want the context's cause", err)
		}
		free(t, p.db)
		p.want(t, "")
	})
}
