package history

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Question is what a look asks of the state table: is there a row that matters?
type Question struct {
	// There asks whether the state table is there, and nothing else.
	There bool
	// Namespace has only runs and steps of this namespace matter. Without a namespace those of all namespaces do,
	// except runs that were cut off: their starting point is for the next run of their own namespace to take over.
	Namespace string
	// Runs that are recorded as running, or that were cut off, matter. Steps that were not finished always do.
	Runs bool
	// Stamps of these environments matter.
	Environments []string
	// Sums asks for the sums of the applied versions too.
	Sums bool
}

// query is one that finds a row if a row matters.
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

// sums is an expression that adds up what the state table called name knows of applied versions, see [Sums].
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
	State   bool // the question asked for sums, and the state table is there
	Sums    Sums
}

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
		if gone, checkErr := v.gone(ctx, db, err); checkErr != nil || gone {
			return Look{}, checkErr
		}
		if !q.There {
			l, checkErr := s.layout(ctx, db)
			if checkErr != nil {
				return Look{}, err
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
