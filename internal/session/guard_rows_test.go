package session

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
)

// TestGuardedRows reads more rows than are read ahead, through drivers that use their memory again for the next row, and
// an error in the middle comes after the rows before it.
func TestGuardedRows(t *testing.T) {
	for _, x := range targets {
		if x.dialect == "sqlite3" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			parent, err := sql.Open(x.driver, x.dsn(t))
			if err != nil {
				t.Fatal(err)
			}
			defer parent.Close()
			s := Open(parent, Config{Guarded: true, endsBySQL: x.dialect == "mysql"})
			defer s.Close(t.Context())
			query := `SELECT 'row ' || i || repeat('x', 1000), i, 100 / (%d - i) FROM generate_series(1, 1000) AS g(i)`
			if x.dialect == "mysql" {
				query = `SELECT CONCAT('row ', seq, REPEAT('x', 1000)), seq, IF(seq = %d, (SELECT 1 UNION SELECT 2), 1) FROM seq_1_to_1000`
			}
			for _, failing := range []int{0, 700} {
				rows, err := s.DB().QueryContext(t.Context(), fmt.Sprintf(query, failing))
				n := 0
				if err == nil {
					var texts []sql.RawBytes
					for rows.Next() {
						n++
						texts = []sql.RawBytes{nil, nil, nil}
						err := rows.Scan(&texts[0], &texts[1], &texts[2])
						got, _, _ := strings.Cut(string(texts[0]), "x")
						if want := fmt.Sprintf("row %d", n); err != nil || got != want {
							t.Errorf("row %d is %q (%v), want %q", n, got, err, want)
							break
						}
					}
					err = rows.Err()
					rows.Close()
				}
				switch {
				case failing == 0 && (err != nil || n != 1000):
					t.Errorf("%d rows and %v, want 1000 and no error", n, err)
				case failing > 0 && err == nil:
					t.Errorf("%d rows without an error, want one at row %d", n, failing)
				case failing > 0 && n >= failing:
					t.Errorf("%d rows, want less than %d", n, failing)
				}
			}
		})
	}
}
