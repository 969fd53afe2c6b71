package session

import (
	"context"
	"database/sql"
	"testing"
)

// TestPlainStep: the connection of a plain step is the next one's without a reset, unless the step failed; that of
// another step is reset. However it was, the application's pool and the next session don't get it as it is.
func TestPlainStep(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
			exe(t, p.db, `CREATE FUNCTION own() RETURNS INTEGER LANGUAGE sql AS 'VALUES (1)'`) // a trigger may call it
			before := get[string](t, p.db, `SHOW search_path`)
			keeper := new(Keeper)
			defer keeper.Close()
			s := Open(p.db, Config{Kind: PostgreSQL, Keeper: keeper})
			step := func(what Step, failing bool) (found string) {
				t.Helper()
				what.InTransaction = true
				s.StartStep(t.Context(), what)
				defer s.EndStep()
				tx, err := s.DB().BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				found = get[string](t, tx, `SHOW search_path`)
				exe(t, tx, `SELECT pg_catalog.set_config('search_path', 'elsewhere', false)`)
				if whole, err := s.Finish(t.Context(), true); !whole || err != nil {
					t.Fatal(whole, err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				if failing {
					if _, err := s.DB().ExecContext(t.Context(), `SELECT nothing`); err == nil {
						t.Error("the statement succeeded")
					}
				}
				return found
			}
			for i, tc := range []struct {
				step    Step
				failing bool
				want    string
			}{
				{Step{Plain: true}, false, before},
				{Step{}, false, "elsewhere"},
				{Step{Plain: true}, true, before},
				{Step{Plain: true}, false, before},
			} {
				if got := step(tc.step, tc.failing); got != tc.want {
					t.Errorf("step %d finds %s, want %s", i+1, got, tc.want)
				}
			}
			s.Rest()
			next := Open(p.db, Config{Kind: PostgreSQL, Keeper: keeper})
			next.StartStep(t.Context(), Step{})
			if got := get[string](t, next.DB(), `SHOW search_path`); got != before {
				t.Errorf("the next session finds %s, want %s", got, before)
			}
			next.EndStep()
			for _, s := range []*Session{next, s} {
				if err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := get[string](t, p.db, `SHOW search_path`); got != before {
				t.Errorf("the application finds %s, want %s", got, before)
			}
		})
	}
}

// TestPlainConnectionGoesBack: the application has the connection again on which every step was plain, with all that it had made
// on it. It is closed after another step, also where a plain step came last, and where a trigger may have left something. From a
// small pool it is reset then.
func TestPlainConnectionGoesBack(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
			const made = `SELECT (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND
				pid = pg_backend_pid()) + (SELECT count(*) FROM pg_class WHERE oid = to_regclass('pg_temp.theirs')) +
				CASE WHEN current_setting('app.tenant', true) = '42' THEN 1 ELSE 0 END`
			trigger := []string{`CREATE FUNCTION lead_away() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM
				set_config('search_path', 'elsewhere', false), pg_advisory_lock(2); LISTEN elsewhere; RETURN NULL; END$$`,
				`CREATE TRIGGER away AFTER INSERT ON a EXECUTE FUNCTION lead_away()`}
			exe(t, p.db, `CREATE TABLE a (id INTEGER)`)
			plain := Step{Plain: true}
			for name, tc := range map[string]struct {
				steps         []Step
				before, first []string // executed before the steps, and by the first
				most          int      // of the pool's connections
				back          bool
				theirs        int // of what the application had made
			}{
				"plain":                         {steps: []Step{plain, plain}, back: true, theirs: 4},
				"plain, a small pool":           {steps: []Step{plain, plain}, most: 1, back: true, theirs: 4},
				"another at last":               {steps: []Step{plain, {}}},
				"another at first":              {steps: []Step{{}, plain}},
				"another, a small pool":         {steps: []Step{{}, plain}, most: 1, back: true},
				"plain, with a trigger":         {steps: []Step{plain, plain}, before: trigger},
				"a trigger, a small pool":       {steps: []Step{plain, plain}, before: trigger, most: 1, back: true},
				"plain, with another function":  {steps: []Step{plain, plain}, before: []string{`CREATE FUNCTION lock(BIGINT) RETURNS BOOLEAN LANGUAGE internal AS 'pg_try_advisory_lock_int8'`}},
				"plain, and makes a trigger":    {steps: []Step{plain, plain}, first: trigger},
				"makes a trigger, a small pool": {steps: []Step{plain, plain}, first: trigger, most: 1},
			} {
				exe(t, p.db, tc.before...)
				p.db.SetMaxOpenConns(tc.most)
				p.db.SetMaxIdleConns(0) // a new connection
				p.db.SetMaxIdleConns(1)
				exe(t, p.db, `SELECT pg_advisory_lock(1)`, `LISTEN theirs`, `CREATE TEMPORARY TABLE theirs (id INTEGER)`, `SET app.tenant = '42'`)
				before, settings := get[int](t, p.db, p.id), get[string](t, p.db, `SHOW search_path`)
				s := p.open(t, Config{Kind: PostgreSQL})
				for i, step := range tc.steps {
					step.InTransaction = true
					s.StartStep(t.Context(), step)
					tx, err := s.DB().BeginTx(t.Context(), nil)
					if err != nil {
						t.Fatal(err)
					}
					if i == 0 {
						exe(t, tx, tc.first...)
					}
					exe(t, tx, `INSERT INTO public.a VALUES (1)`)
					if err := tx.Commit(); err != nil {
						t.Fatal(err)
					}
					s.EndStep()
				}
				s.Rest()
				if back := get[int](t, p.db, p.id) == before; back != tc.back {
					t.Errorf("%s: the connection went back: %t", name, back)
				}
				if got := get[string](t, p.db, `SHOW search_path`); got != settings {
					t.Errorf("%s: the application finds %s, want %s", name, got, settings)
				}
				if got := get[int](t, p.db, made); got != tc.theirs {
					t.Errorf("%s: %d things are left, want the %d that the application made", name, got, tc.theirs)
				}
				exe(t, p.db, `DROP TRIGGER IF EXISTS away ON a`, `DROP FUNCTION IF EXISTS lead_away`, `DROP FUNCTION IF EXISTS lock`)
			}
		})
	}
}

// TestPlainStepThatALateConnectionMeets: a Go migration keeps a connection, and gives it back during the plain step that comes
// next. What it has done there stays neither for the steps after that nor for the application.
func TestPlainStepThatALateConnectionMeets(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
			s := p.open(t, Config{Kind: PostgreSQL})
			in := func(db interface {
				BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
			}, statement string) {
				t.Helper()
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				exe(t, tx, statement)
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			}
			s.StartStep(t.Context(), Step{Function: true})
			late, err := s.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			in(late, `CREATE TEMPORARY TABLE late (id INTEGER)`)
			s.EndStep()
			s.StartStep(t.Context(), Step{InTransaction: true, Plain: true})
			if err := late.Close(); err != nil {
				t.Fatal(err)
			}
			s.EndStep()
			s.StartStep(t.Context(), Step{InTransaction: true, Plain: true})
			in(s.DB(), `CREATE TEMPORARY TABLE late (id INTEGER)`)
			s.EndStep()
			s.Rest()
			if left := get[bool](t, p.db, `SELECT to_regclass('late') IS NOT NULL`); left {
				t.Error("the application finds the temporary table")
			}
		})
	}
}
