package versions

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Swept is what a sweep found in one schema.
type Swept struct {
	Schema  bool    // it is there
	Table   bool    // so is the version table
	Applied []int64 // in no particular order
	Flagged bool    // the state table has a row for which the condition holds
}

const (
	// sweepUnion is how many tables one statement reads: the planner's cost grows faster with more than
	// the round trips it saves.
	sweepUnion = 50
	// SweepBatch is how many schemas are best swept at once.
	SweepBatch = 1000
)

// Sweep reads the version tables of many schemas in a few statements: one that tells which tables there
// are, and one for each sweepUnion of them. A schema that it can't read, because its table went meanwhile
// or is no version table, is nil: somebody has to look at that one alone.
func Sweep(ctx context.Context, db *sql.DB, d dialect.Dialect, versionTable, stateTable, flag string, schemas []string) ([]*Swept, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	s := sweep{d: d, table: versionTable, state: stateTable, flag: flag, schemas: schemas,
		found: make([]*Swept, len(schemas)), states: make([]bool, len(schemas))}
	if err := s.existence(ctx, conn); err != nil {
		return nil, err
	}
	var there []int
	for i, f := range s.found {
		switch {
		case f.Table && !s.states[i] && d.Goose == goose.DialectMySQL:
			s.found[i] = nil // MySQL's catalog hides a table that the user may not read: the look at one finds out
		case f.Table:
			there = append(there, i)
		}
	}
	for chunk := range slices.Chunk(there, sweepUnion) {
		if err := s.read(ctx, conn, chunk); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			for _, i := range chunk {
				s.found[i] = nil
			}
		}
	}
	return s.found, nil
}

type sweep struct {
	d            dialect.Dialect
	table, state string // the names alone
	schemas      []string
	found        []*Swept
	states       []bool // there is a state table
	flag         string
}

func (s *sweep) existence(ctx context.Context, conn *sql.Conn) error {
	query, args, err := s.existenceQuery()
	if err != nil {
		return err
	}
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for i := range s.found {
		s.found[i] = new(Swept)
	}
	for rows.Next() {
		var i, schema, table, state int
		if err := rows.Scan(&i, &schema, &table, &state); err != nil {
			return err
		}
		*s.found[i-1] = Swept{Schema: schema > 0, Table: table > 0}
		s.states[i-1] = state > 0
	}
	return rows.Err()
}

// existenceQuery gives a row for each schema: its number from 1, and what there is. The names are an
// argument: as JSON, because no other list works with every driver.
func (s *sweep) existenceQuery() (string, []any, error) {
	names, err := json.Marshal(s.schemas)
	if err != nil {
		return "", nil, err
	}
	if s.d.Goose == goose.DialectPostgres {
		// Subqueries, because a join may read the tables of that name in all schemas, for each name.
		return `SELECT a.i, CASE WHEN n.oid IS NULL THEN 0 ELSE 1 END,
			(SELECT count(*) FROM pg_class v WHERE v.relname = $2 AND v.relnamespace = n.oid),
			(SELECT count(*) FROM pg_class l WHERE l.relname = $3 AND l.relnamespace = n.oid)
			FROM json_array_elements_text($1::json) WITH ORDINALITY AS a (name, i)
			LEFT JOIN pg_namespace n ON n.nspname = a.name`, []any{string(names), s.table, s.state}, nil
	}
	var list []string
	args := []any{s.table, s.state}
	for i, name := range s.schemas {
		list = append(list, fmt.Sprintf("SELECT %d AS i, ? AS name", i+1))
		args = append(args, name)
	}
	return `SELECT a.i, (SELECT count(*) FROM information_schema.schemata WHERE schema_name = a.name),
		(SELECT count(*) FROM information_schema.tables WHERE table_schema = a.name AND table_name = ?),
		(SELECT count(*) FROM information_schema.tables WHERE table_schema = a.name AND table_name = ?)
		FROM (` + strings.Join(list, " UNION ALL ") + `) AS a`, args, nil
}

// read reads the version tables of some of the schemas, and whether their state tables have
// rows for the flag, which is a row with the flag's version.
func (s *sweep) read(ctx context.Context, conn *sql.Conn, chunk []int) (err error) {
	var parts []string
	for _, i := range chunk {
		parts = append(parts, fmt.Sprintf("SELECT %d, id, version_id, is_applied FROM %s", i, s.d.Quote(dialect.Name{Schema: s.schemas[i], Table: s.table})))
		if s.states[i] {
			parts = append(parts, fmt.Sprintf("SELECT %d, 0, %d, TRUE FROM %s WHERE %s", i, flagVersion,
				s.d.Quote(dialect.Name{Schema: s.schemas[i], Table: s.state}), s.flag))
		}
	}
	rows, done, err := s.query(ctx, conn, strings.Join(parts, " UNION ALL "))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close(), done()) }()
	lists := make(map[int][]sweptRow, len(chunk))
	for rows.Next() {
		var i int
		var row sweptRow
		if err := rows.Scan(&i, &row.key, &row.version, &row.applied); err != nil {
			return err
		}
		if row.version == flagVersion {
			s.found[i].Flagged = true
			continue
		}
		lists[i] = append(lists[i], row)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, i := range chunk {
		s.found[i].Applied = sweptVersions(lists[i])
		s.found[i].Table = len(lists[i]) > 0
	}
	return nil
}

// query runs a statement whose text is used once. On PostgreSQL it goes through a cursor: pgx keeps a
// prepared statement for each text that it is asked to query, and the server a plan of fifty tables.
func (s *sweep) query(ctx context.Context, conn *sql.Conn, statement string) (*sql.Rows, func() error, error) {
	if s.d.Goose != goose.DialectPostgres {
		rows, err := conn.QueryContext(ctx, statement)
		return rows, func() error { return nil }, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	if _, err = tx.ExecContext(ctx, "DECLARE gooseplus_sweep NO SCROLL CURSOR FOR "+statement); err == nil {
		var rows *sql.Rows
		if rows, err = tx.QueryContext(ctx, "FETCH ALL FROM gooseplus_sweep"); err == nil {
			return rows, func() error { return ignoreDone(tx.Rollback()) }, nil
		}
	}
	return nil, nil, errors.Join(err, ignoreDone(tx.Rollback()))
}

// flagVersion marks a row that is the flag: goose knows no negative versions.
const flagVersion = -1

type sweptRow struct {
	key, version int64
	applied      bool
}

func sweptVersions(rows []sweptRow) (applied []int64) {
	if slices.ContainsFunc(rows, func(r sweptRow) bool { return !r.applied }) { // history of goose before v3
		slices.SortFunc(rows, func(a, b sweptRow) int { return cmp.Compare(b.key, a.key) })
		seen := make(map[int64]bool, len(rows))
		rows = slices.DeleteFunc(rows, func(r sweptRow) bool {
			past := seen[r.version]
			seen[r.version] = true
			return past || !r.applied
		})
	}
	applied = make([]int64, 0, len(rows))
	for _, r := range rows {
		if r.version != 0 {
			applied = append(applied, r.version)
		}
	}
	return applied
}
