package session

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// TestKeeper: the connection of one session is that of the next, and as it was.
func TestKeeper(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
			keeper := new(Keeper)
			var backends []int
			for range 2 {
				s := Open(p.db, Config{Kind: PostgreSQL, Keeper: keeper})
				s.StartStep(t.Context(), Step{InTransaction: true})
				tx, err := s.DB().BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if v := get[string](t, tx, `SHOW search_path`); v == "elsewhere" {
					t.Error("a setting of the session before is there")
				}
				backends = append(backends, get[int](t, tx, p.id))
				exe(t, tx, `SET search_path = elsewhere`)
				exe(t, tx, `SELECT pg_advisory_lock(1)`)
				if whole, err := s.Finish(t.Context(), true); !whole || err != nil {
					t.Fatal(whole, err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				s.EndStep()
				if err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if backends[0] != backends[1] {
				t.Errorf("the connections are %v, want one", backends)
			}
			if n := p.db.Stats().OpenConnections; n != 1 {
				t.Errorf("%d connections are open", n)
			}
			keeper.Close()
			if n := p.db.Stats().OpenConnections; n != 0 {
				t.Errorf("%d connections are open after the end", n)
			}
		})
	}
}

// TestKilledBetweenSteps: the step after has another connection, and the parent pool loses the one that was kept.
func TestKilledBetweenSteps(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
			s := p.open(t, Config{Kind: PostgreSQL})
			for range 2 {
				s.StartStep(t.Context(), Step{InTransaction: true})
				tx, err := s.DB().BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				id := get[int](t, tx, p.id)
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				s.EndStep()
				exe(t, p.db, fmt.Sprintf(p.kill, id))
				for get[int](t, p.db, fmt.Sprintf(`SELECT count(*) FROM pg_stat_activity WHERE pid = %d`, id)) > 0 { // it ends after the answer
				}
			}
			s.Rest()
			free(t, p.db)
		})
	}
}

// TestSQLiteThatTellsLess: a library without some PRAGMA doesn't tell how a connection was. It is closed, unless it is the
// database.
func TestSQLiteThatTellsLess(t *testing.T) {
	defer func(was string) { sqliteQuery = was }(sqliteQuery)
	sqliteQuery = "SELECT 'new', * FROM pragma_of_a_later_version"
	for name, dsn := range map[string]string{"memory": ":memory:", "file": "file:" + dbtest.SQLiteFile(t)} {
		t.Run(name, func(t *testing.T) {
			db, err := sql.Open("sqlite", dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			s := closeAtEnd(t, Open(db, Config{Kind: SQLite}))
			s.StartStep(t.Context(), Step{})
			exe(t, s.DB(), "CREATE TABLE a (id INTEGER)", "PRAGMA cache_size = -777")
			if whole, err := s.Finish(t.Context(), false); whole || err != nil {
				t.Error(whole, err)
			}
			s.EndStep()
			if n := get[int](t, db, "SELECT count(*) FROM a"); n != 0 {
				t.Errorf("%d rows", n)
			}
			if kept := get[int](t, db, "PRAGMA cache_size") == -777; kept != (name == "memory") {
				t.Errorf("the connection was kept: %t", kept)
			}
		})
	}
}

// TestStepsOfKinds: what a step did to its connection is not there in the next one, and a transaction that it left open is
// found out, whatever it had done in it.
func TestStepsOfKinds(t *testing.T) {
	kinds := map[string]Kind{"postgres": PostgreSQL, "mysql": MySQL, "sqlite3": SQLite}
	begin := map[string]string{"postgres": "BEGIN", "mysql": "START TRANSACTION", "sqlite3": "BEGIN"}
	onEach(t, true, func(t *testing.T, p *place) {
		s := p.open(t, Config{Kind: kinds[p.dialect]})
		exe(t, p.db, `CREATE TABLE a (id INTEGER)`)
		before := get[string](t, p.db, p.read)
		for _, open := range []bool{false, true, false} {
			s.StartStep(t.Context(), Step{})
			conn, err := s.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if v := get[string](t, conn, p.read); v != before {
				t.Errorf("the step finds %s, want %s", v, before)
			}
			set := p.write(p.value)
			if _, err := conn.ExecContext(t.Context(), set.Query, set.Args...); err != nil {
				t.Fatal(err)
			}
			if open {
				exe(t, conn, begin[p.dialect])
				exe(t, conn, `INSERT INTO a VALUES (1)`)
			}
			whole, err := s.Finish(t.Context(), false)
			if whole || open != errors.Is(err, ErrLeftOpen) || !open && err != nil {
				t.Errorf("open %v: Finish says %v, %v", open, whole, err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			s.EndStep()
		}
		if n := get[int](t, p.db, `SELECT count(*) FROM a`); n != 0 {
			t.Error("what was left open was committed")
		}
		if v := get[string](t, p.db, p.read); v != before {
			t.Errorf("the application finds %s, want %s", v, before)
		}
	})
}

// TestForgottenTransaction: a transaction that a Go migration neither commits nor rolls back, on a context of its own, ends with the
// step. Nothing waits for its locks, nor for who has it, and it can't be committed any more.
func TestForgottenTransaction(t *testing.T) {
	kinds := map[string]Kind{"postgres": PostgreSQL, "mysql": MySQL, "sqlite3": SQLite}
	onEach(t, true, func(t *testing.T, p *place) {
		exe(t, p.db, `CREATE TABLE a (id INTEGER)`)
		s := Open(p.db, Config{Kind: kinds[p.dialect]})
		s.StartStep(t.Context(), Step{Function: true})
		tx, err := s.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `INSERT INTO a VALUES (1)`)
		if _, err := s.Finish(t.Context(), false); !errors.Is(err, ErrLeftOpen) {
			t.Errorf("Finish says %v", err)
		}
		s.EndStep()
		exe(t, p.db, `INSERT INTO a VALUES (2)`)
		if err := tx.Commit(); err == nil {
			t.Error("it was committed")
		}
		if n := get[int](t, p.db, `SELECT sum(id) FROM a`); n != 2 {
			t.Errorf("the rows' sum is %d", n)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
