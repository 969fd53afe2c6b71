package session

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"time"
)

// TestTrace: a trace hears of each statement of a step, and of nothing that the session executes itself, and can ask on the
// same connection before and after it.
func TestTrace(t *testing.T) {
	kinds := map[string]Kind{"postgres": PostgreSQL, "mysql": MySQL, "sqlite3": SQLite}
	onEach(t, true, func(t *testing.T, p *place) {
		var heard []string
		var failing error
		s := p.open(t, Config{Kind: kinds[p.dialect], OnBegin: []Statement{{Query: "SELECT 1"}}, Trace: func(_ context.Context, traced Traced) (func(time.Duration, error) error, error) {
			if failing != nil {
				return nil, failing
			}
			ask := func(moment string) {
				if rows, err := traced.Ask("SELECT count(*) FROM a"); err != nil || len(rows) != 1 {
					t.Errorf("%s %s: %v, %v", moment, traced.Query, rows, err)
				}
			}
			ask("before")
			return func(_ time.Duration, err error) error {
				if err == nil {
					ask("after")
				}
				heard = append(heard, traced.Query)
				return err
			}, nil
		}})
		exe(t, p.db, `CREATE TABLE a (id INTEGER)`, `INSERT INTO a VALUES (7)`)
		exe(t, s.DB(), `SELECT 1`) // no step
		s.StartStep(t.Context(), Step{InTransaction: true})
		tx, err := s.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		exe(t, tx, `INSERT INTO a VALUES (1)`)
		if n := get[int](t, tx, `SELECT count(*) FROM a`); n != 2 {
			t.Errorf("%d rows", n)
		}
		prepared(t, tx, `SELECT id FROM a`)
		failing = errors.New("the trace failed")
		if _, err := tx.ExecContext(t.Context(), `SELECT 2`); !errors.Is(err, failing) {
			t.Errorf("error %v", err)
		}
		if whole, err := s.Finish(t.Context(), true); !whole || err != nil {
			t.Fatal(whole, err)
		}
		exe(t, tx, `INSERT INTO a VALUES (3)`) // the record of the step, of which a failing trace hears nothing
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		s.EndStep()
		if want := []string{`INSERT INTO a VALUES (1)`, `SELECT count(*) FROM a`, `SELECT id FROM a`}; !slices.Equal(heard, want) {
			t.Errorf("heard of %q, want %q", heard, want)
		}
	})
}

// prepared executes a prepared query, whose rows are read up to the first.
func prepared(t *testing.T, tx *sql.Tx, query string) {
	t.Helper()
	st, err := tx.PrepareContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	rows, err := st.QueryContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
}
