package session

import (
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
)

// scanned is what a query gives, with what is known of its columns.
func scanned(t *testing.T, db *sql.DB, prepared bool, query string, args ...any) string {
	t.Helper()
	var rows *sql.Rows
	var err error
	if prepared {
		st, perr := db.Prepare(query)
		if perr != nil {
			return "prepare: " + perr.Error()
		}
		defer st.Close()
		rows, err = st.Query(args...)
	} else {
		rows, err = db.Query(query, args...)
	}
	if err != nil {
		return fmt.Sprintf("query: %T %v", err, err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, c := range types {
		length, hasLength := c.Length()
		nullable, hasNullable := c.Nullable()
		precision, scale, hasDecimal := c.DecimalSize()
		fmt.Fprintln(&out, c.Name(), c.DatabaseTypeName(), c.ScanType(), length, hasLength, nullable, hasNullable, precision, scale, hasDecimal)
	}
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			values, pointers := make([]any, len(types)), make([]any, len(types))
			for i := range values {
				pointers[i] = &values[i]
			}
			if err := rows.Scan(pointers...); err != nil {
				fmt.Fprintln(&out, err)
				break
			}
			for _, v := range values {
				fmt.Fprintf(&out, "%s %v\n", reflect.TypeOf(v), v)
			}
		}
		fmt.Fprintln(&out, "--", rows.Err())
	}
	return out.String()
}

func TestValuesPassThrough(t *testing.T) {
	when := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	type question struct {
		query string
		args  []any
	}
	type text string
	common := []question{
		{`SELECT 1, 'x', NULL, 1.5`, nil},
		{`SELECT 1 FROM nowhere`, nil},
		{`SELECT not even SQL`, nil},
		{`SELECT a.i, a.s, a.b, a.t, a.n FROM a`, nil},
		{`SELECT s FROM a WHERE i = ? AND s = ?`, []any{int8(5), text("five")}},
		{`SELECT s FROM a WHERE b = ? AND t = ?`, []any{[]byte{0, 255}, when}},
		{`SELECT s FROM a WHERE i = ?`, []any{sql.NullInt64{}}},
		{`SELECT s FROM a WHERE i = ?`, []any{struct{}{}}},
		{`SELECT s FROM a WHERE i = ?`, []any{1, 2}},
		{`SELECT s FROM a WHERE i = ?`, []any{sql.Named("x", 5)}},
		{`SELECT s FROM a WHERE i = ?`, []any{uint64(1 << 63)}},
	}
	own := map[string][]question{
		"pq": {
			{`SELECT $1::text[]`, []any{pq.Array([]string{"a", "b"})}},
			{`SELECT $1::text[]`, []any{[]string{"a", "b"}}},
			{`SELECT 1; SELECT 2`, nil},
		},
		"pgx": {
			{`SELECT $1::text[]`, []any{[]string{"a", "b"}}},
			{`SELECT $1::int[]`, []any{[]int{1, 2}}},
			{`SELECT $1::jsonb`, []any{map[string]int{"a": 1}}},
		},
		"modernc": {{`SELECT :x, @y`, []any{sql.Named("x", 5), sql.Named("y", "z")}}, {`SELECT 1; SELECT 2`, nil}},
		"mattn":   {{`SELECT :x, @y`, []any{sql.Named("x", 5), sql.Named("y", "z")}}, {`SELECT 1; SELECT 2`, nil}},
	}
	onEach(t, true, func(t *testing.T, p *place) {
		bytes, stamp := "BLOB", "DATETIME"
		if p.dialect == "postgres" {
			bytes, stamp = "BYTEA", "TIMESTAMPTZ"
		}
		exe(t, p.db, `CREATE TABLE a (i INTEGER NOT NULL, s VARCHAR(20), b `+bytes+`, t `+stamp+`, n NUMERIC(7, 2))`)
		s := p.open(t, Config{})
		insert := p.bind(`INSERT INTO a VALUES (?, ?, ?, ?, ?)`)
		res, err := s.DB().Exec(insert, 5, "five", []byte{0, 255}, when, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := res.RowsAffected(); n != 1 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		for _, q := range append(common, own[p.name]...) {
			for _, prepared := range []bool{false, true} {
				query := p.bind(q.query)
				plain := scanned(t, p.db, prepared, query, q.args...)
				if through := scanned(t, s.DB(), prepared, query, q.args...); through != plain {
					t.Errorf("%s %v, prepared: %v: through the session\n%s\nwithout\n%s", query, q.args, prepared, through, plain)
				}
			}
		}
	})
}

// bind numbers the placeholders where the database wants it.
func (p *place) bind(query string) string {
	if p.dialect != "postgres" {
		return query
	}
	for i := 1; strings.Contains(query, "?"); i++ {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", i), 1)
	}
	return query
}
