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

// AppliedAndFlag is Applied and, in the same statement, the answer to a question to the state table. The question is
// left out only if the state table is found to be missing: any other error may hide a row. absent says that the version
// table was missing a moment ago: a statement that would fail, and stand in the server's log, is not tried then.
func (v *Versions) AppliedAndFlag(ctx context.Context, db Querier, s *State, q Question, absent bool) (applied []int64, flagged, ready bool, err error) {
	if absent {
		if there, err := v.rows.exist(ctx, db); err == nil && !there {
			return nil, false, false, nil
		}
	}
	looks, err := AppliedTogether(ctx, db, s, []*Versions{v}, []Question{q})
	if err != nil {
		if gone, checkErr := v.gone(ctx, db, err); checkErr != nil || gone {
			return nil, false, false, checkErr
		}
		if !q.There {
			missing, checkErr := s.Missing(ctx, db)
			if checkErr != nil {
				return nil, false, false, err
			}
			if missing && !v.dialect.Denied(err) {
				applied, ready, err = v.Applied(ctx, db)
				return applied, false, ready, err
			}
		}
		// Another process may have created one of the tables after the first try.
		if looks, err = AppliedTogether(ctx, db, s, []*Versions{v}, []Question{q}); err != nil {
			return nil, false, false, err
		}
	}
	return looks[0].Applied, looks[0].Flagged, looks[0].Ready, nil
}

// Look is what AppliedTogether reads of one table, as AppliedAndFlag does.
type Look struct {
	Applied        []int64
	Flagged, Ready bool
}

// AppliedTogether is AppliedAndFlag for several version tables with one state table, each with its question, in one
// statement. It fails if a table is missing, and for dialects that gooseplus leaves to goose.
func AppliedTogether(ctx context.Context, db Querier, s *State, tables []*Versions, questions []Question) ([]Look, error) {
	names, queries := make([]string, len(tables)), make([]string, len(tables))
	for i, v := range tables {
		if v.own == nil {
			return nil, errors.ErrUnsupported
		}
		names[i], queries[i] = v.Name(), questions[i].query(s.table)
	}
	keyed := len(tables) > 1
	query := together(names, queries, keyed)
	if !keyed {
		query += " ORDER BY id DESC"
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return scanLooks(rows, len(tables), keyed)
}

// together reads version tables, each with a query that finds a row or none; "" is no query. The answer is in each row,
// beside is_applied in one number: that costs the server nothing but the query, once. A single table that is read in the
// order of its index needs no keys.
func together(tables, queries []string, keyed bool) string {
	var parts []string
	for i, table := range tables {
		key, answer := "", ""
		if keyed {
			key = fmt.Sprintf("%d AS part, id, ", i)
		}
		if queries[i] != "" {
			answer = " + (SELECT CASE WHEN EXISTS (" + queries[i] + ") THEN 2 ELSE 0 END)"
		}
		parts = append(parts, "SELECT "+key+"version_id, CASE WHEN is_applied THEN 1 ELSE 0 END"+answer+" AS bits FROM "+table)
	}
	return strings.Join(parts, " UNION ALL ")
}

// scanLooks reads the answer to together, whose rows come in any order, or what is left of it for a single table.
func scanLooks(rows *sql.Rows, tables int, keyed bool) ([]Look, error) {
	looks, lists := make([]Look, tables), make([][]row, tables)
	var part, bits int
	var r row
	columns := []any{&part, &r.key, &r.version, &bits}
	if !keyed {
		columns = columns[2:]
	}
	err := scan(rows, func(rows *sql.Rows) error {
		if err := rows.Scan(columns...); err != nil {
			return err
		}
		r.applied = bits&1 != 0
		looks[part].Flagged, looks[part].Ready = bits&2 != 0, true
		lists[part] = append(lists[part], r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, list := range lists {
		looks[i].Applied = newest(newestFirst(list))
	}
	return looks, nil
}

func newestFirst(rows []row) []row {
	byKey := func(a, b row) int { return cmp.Compare(b.key, a.key) }
	if !slices.IsSortedFunc(rows, byKey) {
		slices.SortFunc(rows, byKey)
	}
	return rows
}
