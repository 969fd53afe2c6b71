package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestConnectionsAreBorrowed(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		s := p.open(t, Config{})
		exe(t, s.DB(), `CREATE TABLE a (id INTEGER)`)
		free(t, p.db)
		if opened := p.db.Stats().OpenConnections; opened != 1 {
			t.Errorf("the parent has %d connections, want the one that was given back", opened)
		}
		conn, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := p.db.Stats().InUse; n != 1 {
			t.Errorf("%d connections in use, want 1", n)
		}
		if err := conn.PingContext(t.Context()); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		free(t, p.db)
		if s.DB().Driver() != p.db.Driver() {
			t.Error("the session has another driver")
		}
	})
}

func TestFence(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		s := p.open(t, p.fence(t))
		tx, err := s.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `UPDATE runs SET n = n + 10`)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if n := get[int](t, p.db, `SELECT n FROM runs`); n != 11 {
			t.Errorf("n is %d: the fence was not executed once", n)
		}
		exe(t, p.db, `UPDATE runs SET outcome = 'crashed'`)
		conn, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.BeginTx(t.Context(), nil); err != errFenced {
			t.Errorf("BeginTx says %v, want exactly the error of the check", err)
		}
		exe(t, conn, `CREATE TABLE a (id INTEGER)`) // no transaction is open, and the connection is good
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		free(t, p.db)
		p.want(t, "a")
	})
}

func TestOnBeginFails(t *testing.T) {
	for name, broken := range map[string]Statement{
		"in the database":        {Query: `UPDATE nowhere SET n = 1`},
		"by a panic":             {Query: `UPDATE runs SET n = 5`, Check: func(int64) error { panic("check") }},
		"by an unknown argument": {Query: `UPDATE runs SET n = 5`, Args: []any{struct{}{}}},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, true, func(t *testing.T, p *place) {
				cfg := p.fence(t)
				cfg.OnBegin = append(cfg.OnBegin, broken)
				s := p.open(t, cfg)
				if _, err := s.DB().Begin(); err == nil {
					t.Fatal("Begin has no error")
				}
				if _, err := InTransaction(t.Context(), p.db, cfg); err == nil {
					t.Fatal("InTransaction has no error")
				}
				free(t, p.db)
				if n := get[int](t, p.db, `SELECT n FROM runs`); n != 0 {
					t.Error("what OnBegin did was committed")
				}
			})
		})
	}
}

// TestOnBeginFailsAtTheEnd: what comes after SET TRANSACTION comes before a COMMIT, and if it fails nothing is committed.
func TestOnBeginFailsAtTheEnd(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		if p.dialect != "postgres" {
			return
		}
		s := p.open(t, Config{Kind: PostgreSQL, OnBegin: []Statement{{Query: `CREATE TABLE a (id INTEGER)`, Check: func(int64) error { return errFenced }}}})
		for name, end := range map[string]func(*sql.Tx) error{
			"COMMIT": (*sql.Tx).Commit,
			"the record of the step": func(tx *sql.Tx) error {
				defer tx.Rollback()
				_, err := s.Finish(t.Context(), true)
				return err
			},
		} {
			s.StartStep(t.Context(), Step{InTransaction: true, Watched: true})
			tx, err := s.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			exe(t, tx, `SET TRANSACTION ISOLATION LEVEL SERIALIZABLE`)
			if err := end(tx); !errors.Is(err, errFenced) {
				t.Errorf("%s: error %v, want that of the check", name, err)
			}
			s.EndStep()
		}
		p.want(t, "")
	})
}

func TestSettings(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		p.db.SetMaxOpenConns(1)
		before := get[string](t, p.db, p.read)
		s := p.open(t, Config{Settings: []Setting{{Read: p.read, Write: p.write, Value: p.value}}})
		conn, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tx, err := conn.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := get[string](t, tx, p.read); v != before {
			t.Errorf("the setting is made in a transaction: %s", v)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if v := get[string](t, conn, p.read); v != fmt.Sprint(p.value) {
			t.Errorf("the setting is %s, want %v", v, p.value)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if v := get[string](t, p.db, p.read); v != before {
			t.Errorf("the connection went back with %s, want %s", v, before)
		}
		if n := p.db.Stats().MaxIdleClosed; n != 0 {
			t.Errorf("%d connections were closed", n)
		}
	})
}

// TestSettingsFirst: where no transaction has settings of its own, those of the connection have to be
// there when one begins.
func TestSettingsFirst(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		p.db.SetMaxOpenConns(1)
		before := get[string](t, p.db, p.read)
		cfg := Config{Settings: []Setting{{Read: p.read, Write: p.write, Value: p.value}}, SettingsFirst: true}
		sessions := map[string]*Session{"a transaction": p.open(t, cfg)}
		if p.transactionalDDL {
			sessions["the outer transaction"] = p.inTransaction(t, cfg)
		}
		for _, name := range []string{"the outer transaction", "a transaction"} {
			s := sessions[name]
			if s == nil {
				continue
			}
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := s.DB().BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if v := get[string](t, tx, p.read); v != fmt.Sprint(p.value) {
				t.Errorf("the setting is %s in %s, want %v", v, name, p.value)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if v := get[string](t, p.db, p.read); v != before {
				t.Errorf("the connection went back with %s from %s, want %s", v, name, before)
			}
			if n := p.db.Stats().MaxIdleClosed; n != 0 {
				t.Errorf("%d connections were closed", n)
			}
		}
		wrong := Setting{Read: p.read, Write: func(any) Statement { return Statement{Query: `UPDATE nowhere SET n = 1`} }}
		s := p.open(t, Config{Settings: []Setting{cfg.Settings[0], wrong}, SettingsFirst: true})
		if _, err := s.DB().Begin(); err == nil {
			t.Error("a transaction began without the settings")
		}
		free(t, p.db)
		if v := get[string](t, p.db, p.read); v != before {
			t.Errorf("the parent got a connection with %s, want %s", v, before)
		}
	})
}

func TestSettingsThatFail(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		nothing := func(any) Statement { return Statement{Query: `UPDATE nowhere SET n = 1`} }
		wrong := Setting{Read: `SELECT 1`, Write: nothing}
		right := Setting{Read: p.read, Write: p.write, Value: p.value}
		before := get[string](t, p.db, p.read)
		t.Run("when made", func(t *testing.T) {
			s := p.open(t, Config{Settings: []Setting{right, wrong}})
			conn, err := s.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := conn.ExecContext(t.Context(), `CREATE TABLE a (id INTEGER)`); err == nil {
					t.Error("a statement was executed without the settings")
				}
			}
			conn.Close()
			if v := get[string](t, p.db, p.read); v != before {
				t.Errorf("the parent's connection has %s, want %s", v, before)
			}
		})
		t.Run("when put back", func(t *testing.T) {
			once := right
			calls := 0
			once.Write = func(v any) Statement {
				if calls++; calls == 1 { // the statement that puts it back
					return nothing(v)
				}
				return p.write(v)
			}
			s := p.open(t, Config{Settings: []Setting{once}})
			exe(t, s.DB(), `CREATE TABLE b (id INTEGER)`)
			free(t, p.db)
			if v := get[string](t, p.db, p.read); v != before {
				t.Errorf("the parent got a connection with %s, want %s", v, before)
			}
		})
		p.want(t, "b")
	})
}

func TestBackend(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		if p.id == "" {
			return
		}
		var found []string
		s := p.open(t, Config{Backend: Backend{Query: p.id, Found: func(_ context.Context, row []driver.Value) error {
			found = append(found, fmt.Sprint(row[0]))
			return nil
		}}})
		if id := get[string](t, s.DB(), p.id); len(found) != 1 || found[0] != id {
			t.Errorf("found %v, want %s", found, id)
		}
		s = p.open(t, Config{Backend: Backend{Query: p.id, Found: func(context.Context, []driver.Value) error { return errFenced }}})
		if err := s.DB().PingContext(t.Context()); err != errFenced {
			t.Errorf("error %v, want that of Found", err)
		}
		s = p.open(t, Config{Backend: Backend{Query: "SELECT nothing_such"}})
		if err := s.DB().PingContext(t.Context()); err == nil {
			t.Error("the question fails, and there is no error")
		}
		free(t, p.db)
	})
}

func TestBackendLost(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		if p.id == "" {
			return
		}
		var found, lost []string
		note := func(list *[]string, row []driver.Value) { *list = append(*list, fmt.Sprint(row[0])) }
		s := p.open(t, Config{Backend: Backend{Query: p.id,
			Found: func(_ context.Context, row []driver.Value) error { note(&found, row); return nil },
			Lost:  func(row []driver.Value) { note(&lost, row) },
		}})
		if _, err := s.DB().Exec(`SELECT not even SQL`); err == nil {
			t.Error("no error")
		}
		if len(found) != 1 || len(lost) != 0 {
			t.Errorf("found %v, lost %v: a statement that fails breaks no connection", found, lost)
		}
		conn, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := conn.ExecContext(ctx, p.sleep); err == nil {
			t.Error("no error")
		}
		_ = conn.Close() // the driver may have
		if want := found[len(found)-1:]; fmt.Sprint(lost) != fmt.Sprint(want) {
			t.Errorf("lost %v, want %v", lost, want)
		}
	})
}

// TestBackendThatNobodyKnows: a server that can't tell, and a pooler that may give the backend to others, are no reason to fail, and
// nobody waits for such a backend.
func TestBackendThatNobodyKnows(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		for query, pooled := range map[string]bool{"SELECT no_such_function()": false, "SELECT '1/2'": true} {
			lost := 0
			b := Backend{Query: query, Optional: true, Lost: func([]driver.Value) { lost++ }}
			conn, err := p.open(t, Config{Backend: b}).DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, err := conn.ExecContext(ctx, p.sleep); err == nil {
				t.Error("no error")
			}
			cancel()
			_ = conn.Close() // the driver may have
			if lost > 0 {
				t.Errorf("%s: the backend is told to be lost", query)
			}
			if b.Optional = false; pooled {
				continue
			}
			if _, err := p.open(t, Config{Backend: b}).DB().Exec("SELECT 1"); err == nil {
				t.Errorf("%s: no error, though it isn't optional", query)
			}
		}
	})
}

func TestPoolOfTwo(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		p.db.SetMaxOpenConns(2)
		s := p.open(t, Config{})
		a, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.DB().PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want that of the context", err)
		}
		waiting := make(chan error)
		go func() { waiting <- s.DB().PingContext(context.Background()) }()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		c, err := s.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() { waiting <- s.DB().PingContext(context.Background()) }()
		for p.db.Stats().WaitCount < 2 { // until the session waits for the parent
			time.Sleep(time.Millisecond)
		}
		closed, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		go c.Close()
		if err := s.Close(closed); err != nil {
			t.Error(err)
		}
		<-waiting // with an error or, if it was faster than Close, without
		b.Close()
		if err := s.DB().Ping(); err == nil {
			t.Error("a closed session works")
		}
	})
}

// A statement of the application's stays open on a connection that a session borrows. To close it
// must not wait for the session, which may be what calls it.
func TestStatementOfTheParentIsClosed(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		p.db.SetMaxOpenConns(1)
		st, err := p.db.Prepare(`SELECT 1`)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := p.open(t, Config{}).DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	})
}

func TestCommitErrorComesThrough(t *testing.T) {
	onEach(t, false, func(t *testing.T, p *place) {
		if p.dialect == "sqlite3" {
			p.db.SetMaxOpenConns(1)
			exe(t, p.db, `PRAGMA foreign_keys = 1`)
		}
		exe(t, p.db, `CREATE TABLE a (id INTEGER PRIMARY KEY)`,
			`CREATE TABLE b (id INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)`)
		commit := func(db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			exe(t, tx, `INSERT INTO b VALUES (1)`)
			return tx.Commit()
		}
		s := p.open(t, Config{})
		plain, through := commit(p.db), commit(s.DB())
		if plain == nil || through == nil || fmt.Sprintf("%T %v", plain, plain) != fmt.Sprintf("%T %v", through, through) {
			t.Errorf("through the session: %T %v\nwithout: %T %v", through, through, plain, plain)
		}
		s = p.inTransaction(t, Config{})
		exe(t, s.DB(), `INSERT INTO b VALUES (1)`)
		if err := s.Commit(t.Context()); err == nil || fmt.Sprintf("%T %v", plain, plain) != fmt.Sprintf("%T %v", err, err) {
			t.Errorf("of the outer transaction: %T %v", err, err)
		}
		if n := get[int](t, p.db, `SELECT count(*) FROM b`); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	onEach(t, true, func(t *testing.T, p *place) {
		if p.dialect == "sqlite3" {
			p.db.SetMaxOpenConns(1)
		} else {
			p.db.SetMaxOpenConns(3)
		}
		cfg := p.fence(t)
		cfg.Settings = []Setting{{Read: p.read, Write: p.write, Value: p.value}}
		s := p.open(t, cfg)
		const workers, rounds = 8, 20
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for i := range rounds {
					ctx, cancel := context.WithCancel(t.Context())
					tx, err := s.DB().BeginTx(ctx, nil)
					switch {
					case err != nil:
						t.Error(err)
					case i%2 == 0:
						if err := tx.Commit(); err != nil {
							t.Error(err)
						}
					}
					cancel() // and with it half of the transactions
					if err := s.DB().QueryRow(`SELECT n FROM runs`).Scan(new(int)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := get[int](t, p.db, `SELECT n FROM runs`); n != workers*rounds/2 {
			t.Errorf("%d transactions were committed, want %d", n, workers*rounds/2)
		}
	})
}
