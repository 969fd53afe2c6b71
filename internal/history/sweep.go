package history

import (
	"context"
	"database/sql"
	"slices"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Swept is what a sweep found in one schema.
type Swept struct {
	Look
	Schema bool // it is there
}

const (
	// sweepUnion is how many tables one statement reads: the planner's cost grows faster with more than the round trips
	// that it saves.
	sweepUnion = 50
	// SweepBatch is how many schemas are best swept at once.
	SweepBatch = 1000
)

// Sweep reads the version tables of many schemas in a few statements: one that tells which tables there are, and one for
// each sweepUnion of them. versionTable is a name without a schema. A schema that Sweep can't read, because its table went
// meanwhile, is no version table, or may have a state table that this user may not see, is nil: it must be looked at
// alone.
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
		looks, err := lookTogether(tables, func(query string, f func(*sql.Rows) error) error { return s.eachOnce(ctx, conn, query, f) })
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

// eachOnce is each for a query whose text is never used again. pgx prepares each text that it is asked to query, and keeps it;
// a cursor avoids that.
func (t *table) eachOnce(ctx context.Context, conn *sql.Conn, query string, f func(*sql.Rows) error) error {
	cursor := t.server.terms().cursor
	if cursor == "" {
		return each(ctx, conn, query, f)
	}
	return inTransaction(ctx, conn, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, cursor+query); err != nil {
			return err
		}
		return each(ctx, tx, "FETCH ALL FROM gooseplus_sweep", f)
	})
}
