package session

import "testing"

// TestPlainStep: the connection of a plain step is the next one's without a reset, unless the step failed; that of
// another step is reset. However it was, the application's pool and the next session don't get it as it is.
func TestPlainStep(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
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

// TestPlainConnectionGoesBack: the application has the connection again on which every step was plain, with what it had made on
// it and without the settings of a trigger; one of another step is closed, also where a plain step came last. From a small pool
// it is reset.
func TestPlainConnectionGoesBack(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
			const made = `SELECT (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND
				pid = pg_backend_pid()) + (SELECT count(*) FROM pg_class WHERE oid = to_regclass('pg_temp.theirs'))`
			exe(t, p.db, `CREATE TABLE a (id INTEGER)`, `CREATE FUNCTION lead_away() RETURNS trigger LANGUAGE plpgsql AS
				$$BEGIN PERFORM set_config('search_path', 'elsewhere', false); RETURN NULL; END$$`,
				`CREATE TRIGGER away AFTER INSERT ON a EXECUTE FUNCTION lead_away()`)
			for name, tc := range map[string]struct {
				steps  []Step
				most   int // of the pool's connections
				back   bool
				theirs int // of what the application had made
			}{
				"plain":                 {[]Step{{Plain: true}, {Plain: true}}, 0, true, 3},
				"another at last":       {[]Step{{Plain: true}, {}}, 0, false, 0},
				"another at first":      {[]Step{{}, {Plain: true}}, 0, false, 0},
				"plain, a small pool":   {[]Step{{Plain: true}, {Plain: true}}, 1, true, 3},
				"another, a small pool": {[]Step{{}, {Plain: true}}, 1, true, 0},
			} {
				p.db.SetMaxOpenConns(tc.most)
				p.db.SetMaxIdleConns(0) // a new connection
				p.db.SetMaxIdleConns(1)
				exe(t, p.db, `SELECT pg_advisory_lock(1)`, `LISTEN theirs`, `CREATE TEMPORARY TABLE theirs (id INTEGER)`)
				before, settings := get[int](t, p.db, p.id), get[string](t, p.db, `SHOW search_path`)
				s := p.open(t, Config{Kind: PostgreSQL})
				for _, step := range tc.steps {
					step.InTransaction = true
					s.StartStep(t.Context(), step)
					tx, err := s.DB().BeginTx(t.Context(), nil)
					if err != nil {
						t.Fatal(err)
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
					t.Errorf("%s: %d things that the application made are left, want %d", name, got, tc.theirs)
				}
			}
		})
	}
}
