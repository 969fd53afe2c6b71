package history

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Question asks the state table whether it has a row that matters. Unfinished steps always matter.
type Question struct {
	There bool // asks only whether the state table exists
	// Namespace limits the question to runs and steps of this namespace. Without a namespace, runs and steps of all namespaces
	// matter, except cut-off runs: the next run of their own namespace takes over from them.
	Namespace    string
	Runs         bool     // runs matter that are recorded as running, or were cut off
	Environments []string // stamps of these environments matter
	Sums         bool     // asks for the sums of the applied versions too
}

// query finds a row if a row matters.
func (q Question) query(t *table) string {
	if q.There {
		return t.server.there(t.name)
	}
	return t.sql("SELECT 1 FROM {table} WHERE ") + q.condition(t)
}

// condition is true of the rows that matter.
func (q Question) condition(t *table) string {
	condition := "kind = 'dirty'"
	switch {
	case q.Runs && q.Namespace == "":
		condition += " OR kind = 'run' AND (outcome = 'running' OR outcome = 'cut off' AND namespace = '')"
	case q.Runs:
		condition += " OR kind = 'run' AND outcome IN ('running', 'cut off')"
	}
	if q.Namespace != "" {
		condition = t.sql("namespace = ? AND (", q.Namespace) + condition + ")"
	}
	for _, e := range q.Environments {
		condition += t.sql(" OR kind = 'environment' AND environment = ?", e)
	}
	return condition
}

// sums adds up what the state table called name knows of applied versions, see [Sums].
func (q Question) sums(t *table, name string) string {
	if !q.Sums {
		return ""
	}
	return "(SELECT " + t.server.terms().sums + " FROM " + name + t.sql(" WHERE kind = 'applied' AND namespace = ?)", q.Namespace)
}

// Look is what one statement reads of a version table and of its state table.
type Look struct {
	Applied []int64
	Flagged bool // a row of the state table matters
	Ready   bool // see [Versions.Applied]
	State   bool // the question asked for sums, and the state table exists
	Sums    Sums
}

// Bare says whether the state table should have rows of the applied versions, and none were found.
func (l Look) Bare() bool { return l.State && l.Sums.Count == 0 && len(l.Applied) > 0 && !l.Flagged }

// AppliedAndFlag is Applied and, in the same statement, the answer to a question to the state table. The question is left
// out only if the state table is found to be missing: any other error may hide a row. absent says that the version table was
// missing a moment ago: then it avoids a statement that would fail, and stand in the server's log.
func (v *Versions) AppliedAndFlag(ctx context.Context, db Querier, s *State, q Question, absent bool) (Look, error) {
	if absent {
		if there, err := v.exist(ctx, db); err == nil && !there {
			return Look{}, nil
		}
	}
	looks, err := AppliedTogether(ctx, db, s, []*Versions{v}, []Question{q})
	if err != nil {
		if gone, checkErr := v.Missing(ctx, db, err); checkErr != nil || gone {
			return Look{}, checkErr
		}
		if !q.There {
			l, checkErr := s.layout(ctx, db)
			if checkErr != nil {
				return Look{}, err
			}
			if l.spoilt() {
				return Look{}, fmt.Errorf("the state table %s: %w", s.Name(), errSpoilt)
			}
			if !l.remembers() && !v.dialect.Denied(err) {
				applied, ready, err := v.Applied(ctx, db)
				return Look{Applied: applied, Ready: ready}, err
			}
			q.Sums = q.Sums && l.columns["checksum"] // a table of an earlier version has none
		}
		// Another process may have created one of the tables after the first try.
		if looks, err = AppliedTogether(ctx, db, s, []*Versions{v}, []Question{q}); err != nil {
			return Look{}, err
		}
	}
	return looks[0], nil
}

// AppliedTogether is AppliedAndFlag for several version tables with one state table, each with its question, in one
// statement. It fails if a table is missing, and for dialects that gooseplus leaves to goose.
func AppliedTogether(ctx context.Context, db Querier, s *State, tables []*Versions, questions []Question) ([]Look, error) {
	asked := make([]asked, len(tables))
	for i, v := range tables {
		if v.own == nil {
			return nil, errors.ErrUnsupported
		}
		asked[i].table, asked[i].query, asked[i].sums = v.Name(), questions[i].query(s.table), questions[i].sums(s.table, s.quoted)
	}
	return lookTogether(asked, func(query string, f func(*sql.Rows) error) error { return each(ctx, db, query, f) })
}

// asked is what is read of one version table, with a query that finds a row or none, and an expression; "" is neither.
type asked struct{ table, query, sums string }

// lookTogether reads version tables. The answer to a query is in each row, in one number with is_applied: that costs the
// server nothing but the query, once. The rows come in any order.
func lookTogether(tables []asked, each func(query string, f func(*sql.Rows) error) error) ([]Look, error) {
	var parts []string
	for i, t := range tables {
		answer := ""
		if t.query != "" {
			answer = " + (SELECT CASE WHEN EXISTS (" + t.query + ") THEN 2 ELSE 0 END)"
		}
		parts = append(parts, fmt.Sprintf("SELECT %d AS part, id, version_id, CASE WHEN is_applied THEN 1 ELSE 0 END%s AS bits, %s AS sums FROM %s",
			i, answer, cmp.Or(t.sums, "''"), t.table))
	}
	looks, lists := make([]Look, len(tables)), make([][]row, len(tables))
	err := each(strings.Join(parts, " UNION ALL "), func(rows *sql.Rows) error {
		var part, bits int
		var r row
		var sums string
		if err := rows.Scan(&part, &r.key, &r.version, &bits, &sums); err != nil {
			return err
		}
		r.applied = bits&1 != 0
		if !looks[part].Ready && sums != "" { // each row has the same
			looks[part].State = true
			if err := looks[part].Sums.parse(sums); err != nil {
				return err
			}
		}
		looks[part].Flagged, looks[part].Ready = bits&2 != 0, true
		lists[part] = append(lists[part], r)
		return nil
	})
	for i, list := range lists {
		looks[i].Applied = newest(newestFirst(list))
	}
	return looks, err
}

func newestFirst(rows []row) []row {
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(b.key, a.key) })
	return rows
}

// Swept is what a sweep found in one schema.
type Swept struct {
	Look
	Schema bool // the schema exists
}

const (
	// sweepUnion is how many tables one statement reads. With more tables the planner costs more than the saved round trips.
	sweepUnion = 50
	// SweepBatch is how many schemas are best swept at once.
	SweepBatch = 1000
)

// Sweep reads the version tables of many schemas in a few statements: one that tells which tables exist, and one for each
// sweepUnion of them. versionTable is a name without a schema. A schema that Sweep can't read is nil, and needs a look of
// its own: its table was dropped meanwhile, is no version table, or may have a state table that this user may not see.
func Sweep(ctx context.Context, db *sql.DB, s *State, versionTable string, q Question, schemas []string) ([]*Swept, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	found, states := make([]*Swept, len(schemas)), make([]bool, len(schemas))
	for i := range found {
		found[i] = new(Swept)
	}
	query, args := s.server.schemas(schemas, versionTable, s.name.Table)
	var there []int
	err = each(ctx, conn, query, func(rows *sql.Rows) error {
		var i int
		var schema, version, state bool
		if err := rows.Scan(&i, &schema, &version, &state); err != nil {
			return err
		}
		found[i-1].Schema, states[i-1] = schema, state
		switch {
		case version && !state && s.dialect.HidesTables(): // the user may not be allowed to know of the state table
			found[i-1] = nil
		case version:
			there = append(there, i-1)
		}
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	condition := q.condition(s.table)
	for chunk := range slices.Chunk(there, sweepUnion) {
		tables := make([]asked, len(chunk))
		for n, i := range chunk {
			tables[n].table = s.dialect.Quote(dialect.Name{Schema: schemas[i], Table: versionTable})
			if states[i] {
				name := s.dialect.Quote(dialect.Name{Schema: schemas[i], Table: s.name.Table})
				tables[n].query, tables[n].sums = "SELECT 1 FROM "+name+" WHERE "+condition, q.sums(s.table, name)
			}
		}
		read := func(query string, f func(*sql.Rows) error) error {
			return s.eachOnce(ctx, conn, "gooseplus_sweep", query, f)
		}
		looks, err := lookTogether(tables, read)
		if err != nil && q.Sums && ctx.Err() == nil { // a state table of an earlier version has none
			var summed map[string]bool
			if summed, err = s.withSums(ctx, conn, chunk, schemas); err == nil {
				for n, i := range chunk {
					if !summed[schemas[i]] {
						tables[n].sums = ""
					}
				}
				looks, err = lookTogether(tables, read)
			}
		}
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		for n, i := range chunk {
			if err != nil {
				found[i] = nil
			} else {
				found[i].Look = looks[n]
			}
		}
	}
	return found, nil
}

// withSums finds the schemas whose state table has sums.
func (t *table) withSums(ctx context.Context, conn *sql.Conn, chunk []int, schemas []string) (map[string]bool, error) {
	var names []string
	for _, i := range chunk {
		names = append(names, t.sql("?", schemas[i]))
	}
	found := make(map[string]bool)
	query := t.sql("SELECT table_schema FROM information_schema.columns WHERE table_name = ? AND column_name = 'checksum_key' AND table_schema IN (", t.name.Table) + strings.Join(names, ", ") + ")"
	err := t.eachOnce(ctx, conn, "gooseplus_sums", query, func(rows *sql.Rows) error {
		var schema string
		err := rows.Scan(&schema)
		found[schema] = true
		return err
	})
	return found, err
}

// eachOnce is each for a query whose text is never used again. pgx prepares each text that it is asked to query, and keeps it;
// a cursor avoids that. Each name is for one list of columns: pgx keeps those of the FETCH.
func (t *table) eachOnce(ctx context.Context, conn *sql.Conn, name, query string, f func(*sql.Rows) error) error {
	cursor := t.server.terms().cursor
	if cursor == "" {
		return each(ctx, conn, query, f)
	}
	return inTransaction(ctx, conn, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, strings.Replace(cursor, "{cursor}", name, 1)+query); err != nil {
			return err
		}
		return each(ctx, tx, "FETCH ALL FROM "+name, f)
	})
}
