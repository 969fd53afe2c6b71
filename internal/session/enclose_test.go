package session

import (
	"context"
	"database/sql"
	"testing"
)

// TestEnclosed: each statement of a guard that begins with something has a transaction of its own, which ends with it, and
// whose end is the statement's.
func TestEnclosed(t *testing.T) {
	for _, x := range targets {
		if x.dialect != "postgres" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			p := x.place(t)
			ctx := context.Background()
			s := Guard(p.db, false, Statement{Query: "SET LOCAL lock_timeout = '7s'"})
			defer s.Close(ctx)
			const is = "SELECT current_setting('lock_timeout')"
			want := func(want string, row *sql.Row) {
				t.Helper()
				var got string
				if err := row.Scan(&got); err != nil || got != want {
					t.Errorf("lock_timeout = %q, %v; want %q", got, err, want)
				}
			}
			exec := func(fails bool, query string, args ...any) {
				t.Helper()
				if _, err := s.DB().ExecContext(ctx, query, args...); (err != nil) != fails {
					t.Errorf("%s: %v", query, err)
				}
			}
			want("7s", s.DB().QueryRow(is))
			want("7s", s.DB().QueryRow(is+" WHERE 1 = $1", 1))
			exec(false, "CREATE TABLE a (id INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)")
			exec(false, "INSERT INTO a VALUES ($1)", 1)

			// A constraint that is violated at the COMMIT is an error of the COMMIT.
			exec(true, "INSERT INTO a VALUES ($1)", 1)
			var id int
			if err := s.DB().QueryRow("INSERT INTO a VALUES (1) RETURNING id").Scan(&id); err == nil {
				t.Error("an INSERT that was not committed has no error")
			}
			exec(true, "SELECT 1 / 0")
			if err := s.DB().QueryRow("SELECT 1 / $1", 0).Scan(&id); err == nil {
				t.Error("no error of a query")
			}
			want("7s", s.DB().QueryRow(is))

			st, err := s.DB().Prepare("INSERT INTO a VALUES ($1)")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := st.Exec(2); err != nil {
				t.Error(err)
			}
			if _, err := st.Exec(2); err == nil {
				t.Error("a prepared INSERT that was not committed has no error")
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}

			// A transaction of its user's is left alone.
			c, err := s.DB().Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.ExecContext(ctx, "BEGIN"); err != nil {
				t.Fatal(err)
			}
			want("7s", c.QueryRowContext(ctx, is))
			for _, query := range []string{"INSERT INTO a VALUES (3)", "ROLLBACK"} {
				if _, err := c.ExecContext(ctx, query); err != nil {
					t.Error(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			tx, err := s.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			want("7s", tx.QueryRow(is))
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
			if err := p.db.QueryRow("SELECT count(*) FROM a").Scan(&id); err != nil || id != 2 {
				t.Errorf("%d rows, %v; want 2", id, err)
			}
			want("0", p.db.QueryRow(is))

			// Rows that are not read to their end.
			rows, err := s.DB().Query("SELECT generate_series(1, 1000)")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			if err := rows.Close(); err != nil {
				t.Error(err)
			}
			ending, cancel := context.WithCancel(ctx)
			if rows, err = s.DB().QueryContext(ending, "SELECT generate_series(1, 1000)"); err != nil {
				t.Fatal(err)
			}
			rows.Next()
			cancel()
			_ = rows.Close()
			want("7s", s.DB().QueryRow(is))
			want("0", p.db.QueryRow(is))
		})
	}
}
