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

// Swept is what a sweep found in one schema.
type Swept struct {
	Schema  bool    // it is there
	Table   bool    // so is the version table
	Applied []int64 // in no particular order
	Flagged bool    // the answer to the question to the state table
}

const (
	// sweepUnion is how many tables one statement reads: the planner's cost grows faster with more than the round trips
	// that it saves.
	sweepUnion = 50
	// SweepBatch is how many schemas are best swept at once.
	SweepBatch = 1000
)

// Sweep reads the version tables of many schemas in a few statements: one that tells which tables there are, and one for
// each sweepUnion of them. versionTable is a name without a schema, and so is that of the state table. A schema that
// Sweep can't read, because its table went meanwhile or is no version table, is nil: it must be looked at alone.
func Sweep(ctx context.Context, db *sql.DB, s *State, versionTable string, q Question, schemas []string) ([]*Swept, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	w := sweep{table: s.table, versions: versionTable, question: q, schemas: schemas,
		found: make([]*Swept, len(schemas)), states: make([]bool, len(schemas))}
	if err := w.existence(ctx, conn); err != nil {
		return nil, err
	}
	var there []int
	for i, f := range w.found {
		if f.Table {
			there = append(there, i)
		}
	}
	for chunk := range slices.Chunk(there, sweepUnion) {
		if err := w.read(ctx, conn, chunk); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			for _, i := range chunk {
				w.found[i] = nil
			}
		}
	}
	return w.found, nil
}

type sweep struct {
	*table
	versions string // the version table's name
	question Question
	schemas  []string
	found    []*Swept
	states   []bool // there is a state table
}

func (w *sweep) existence(ctx context.Context, conn *sql.Conn) error {
	query, args, err := w.server.schemas(w.schemas, w.versions, w.name.Table)
	if err != nil {
		return err
	}
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for i := range w.found {
		w.found[i] = new(Swept)
	}
	return scan(rows, func(rows *sql.Rows) error {
		var i, schema, version, state int
		if err := rows.Scan(&i, &schema, &version, &state); err != nil {
			return err
		}
		*w.found[i-1] = Swept{Schema: schema > 0, Table: version > 0}
		w.states[i-1] = state > 0
		return nil
	})
}

// flagVersion marks a row that answers the question: goose knows no negative versions.
const flagVersion = -1

// read reads the version tables of some of the schemas, and what their state tables answer.
func (w *sweep) read(ctx context.Context, conn *sql.Conn, chunk []int) (err error) {
	in := func(schema, table string) string { return w.dialect.Quote(dialect.Name{Schema: schema, Table: table}) }
	condition := w.question.condition(w.table)
	var parts []string
	for _, i := range chunk {
		parts = append(parts, fmt.Sprintf("SELECT %d, id, version_id, is_applied FROM %s", i, in(w.schemas[i], w.versions)))
		if w.states[i] {
			parts = append(parts, fmt.Sprintf("SELECT %d, 0, %d, TRUE FROM %s WHERE %s", i, flagVersion, in(w.schemas[i], w.name.Table), condition))
		}
	}
	rows, end, err := w.server.queryOnce(ctx, conn, strings.Join(parts, " UNION ALL "))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	lists := make(map[int][]row, len(chunk))
	err = scan(rows, func(rows *sql.Rows) error {
		var i int
		var r row
		if err := rows.Scan(&i, &r.key, &r.version, &r.applied); err != nil {
			return err
		}
		if r.version == flagVersion {
			w.found[i].Flagged = true
		} else {
			lists[i] = append(lists[i], r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range chunk {
		w.found[i].Applied, w.found[i].Table = appliedUnordered(lists[i]), len(lists[i]) > 0
	}
	return nil
}

// appliedUnordered returns the applied versions of rows that the server gives in any order.
func appliedUnordered(rows []row) []int64 {
	if slices.ContainsFunc(rows, func(r row) bool { return !r.applied }) { // history of goose before v3
		slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(b.key, a.key) })
		return newest(rows)
	}
	versions := make([]int64, 0, len(rows))
	for _, r := range rows {
		if r.version != 0 {
			versions = append(versions, r.version)
		}
	}
	return versions
}
