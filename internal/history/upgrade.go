package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// ErrBusy is returned by Ensure while a replica of an older version uses the table that is to be upgraded: the original
// gooseplus, and the versions that came after it, hold a lock in the table for as long as they run. A moment later
// Ensure may succeed.
var ErrBusy = errors.New("the state table is used by a replica of an older version of gooseplus")

// ensureAttempts is how often the table is looked at again after somebody else was faster.
const ensureAttempts = 5

// Ensure makes the table what this version expects: it creates the table, or upgrades the table of an older version.
// Runs without the lock may do the same at the same moment: the worst that comes of it is [ErrBusy], and on SQLite, where
// any writer is in the way, the database's own error.
func (s *State) Ensure(ctx context.Context, db *sql.DB) error {
	var last error
	for range ensureAttempts {
		l, err := s.layout(ctx, db)
		switch {
		case err != nil:
			return err
		case !l.there() && last != nil:
			return last // nobody else was faster
		case !l.there():
			_, last = s.write(ctx, db, s.creation())
		case len(l.missing(s.table)) == 0 && !l.earlier() && !l.partitioned:
			return nil
		default:
			last = s.server.upgrade(ctx, db, s.table, l)
		}
		contention := s.dialect.Contention(last)
		switch {
		case last == nil:
			return nil
		case contention && s.dialect.OneWriter():
			continue // any writer keeps the whole database, and the other one may have made this table
		case contention:
			return fmt.Errorf("%w: %w", ErrBusy, last)
		case ctx.Err() != nil:
			return last
		}
	}
	return last
}

func (t *table) creation() string {
	var columns []string
	for _, c := range t.columns() {
		columns = append(columns, c.name+" "+c.definition)
	}
	return t.sql("CREATE TABLE {table} (") + strings.Join(columns, ", ") + ", PRIMARY KEY (id))"
}

// additions are the parts of ALTER TABLE that add the columns which an older table lacks, except failed if status becomes
// that: until then a table whose upgrade was cut off is read as an older one.
func (l layout) additions(t *table) (parts []string) {
	for _, c := range l.missing(t) {
		if c.name != "failed" || !l.columns["status"] {
			parts = append(parts, "ADD COLUMN "+c.name+" "+c.definition)
		}
	}
	return parts
}

// removals are the parts of ALTER TABLE that remove the columns which only older tables have, or give status its new
// name, for which databases have different words.
func (l layout) removals(rename string) (parts []string) {
	if l.columns["name"] {
		parts = append(parts, "DROP COLUMN name")
	}
	if l.columns["status"] && l.columns["failed"] {
		parts = append(parts, "DROP COLUMN status")
	} else if l.columns["status"] {
		parts = append(parts, rename)
	}
	return parts
}

// moves are the statements that give the columns of this version what an older table had in other columns. They change
// no column that has a value: a replica of an older version may have added its columns again, and they may have been
// executed in part.
//
// status was the lock of the original, and said of a step that it had failed; name was a file or an environment; outcome
// was the direction of a step; and a run named one connection in its own row.
func (l layout) moves(ctx context.Context, db Querier, t *table) (statements []string, err error) {
	if l.columns["backend"] {
		err := each(ctx, db, t.sql("SELECT id, backend FROM {table} WHERE kind = 'run' AND outcome = 'running' AND backend <> ''"), func(rows *sql.Rows) error {
			var id, name string
			err := rows.Scan(&id, &name)
			statements = append(statements, t.sql("INSERT INTO {table} (id, kind, run_id, backend) VALUES (?, 'backend', ?, ?)",
				connectionID(without(runPrefix, id), name), id, name)+t.orChange("backend"))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var set []string
	move := func(to, from, kinds string) {
		set = append(set, fmt.Sprintf("%[1]s = CASE WHEN kind %[3]s AND %[1]s = '' THEN %[2]s ELSE %[1]s END", to, from, kinds))
	}
	if l.columns["name"] {
		move("source", "name", "<> 'environment'")
		move("environment", "name", "= 'environment'")
		move("direction", "outcome", "= 'dirty'")
	}
	if l.columns["status"] && l.columns["failed"] {
		set = append(set, "failed = CASE WHEN failed = 0 THEN status ELSE failed END")
	}
	set = append(set, "backend = CASE WHEN kind = 'backend' THEN backend ELSE '' END")
	return append(statements, t.sql("DELETE FROM {table} WHERE id = 'mutex'"), t.sql("UPDATE {table} SET ")+strings.Join(set, ", ")), nil
}
