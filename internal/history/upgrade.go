package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/failure"
)

// ErrBusy is returned by Ensure while a replica of an older version uses the table: older versions hold a lock in the table
// for as long as they run. A later Ensure may succeed.
var ErrBusy = failure.Outcome("the state table is used by a replica of an older version of gooseplus")

var errSpoilt = errors.New("its column kind was renamed or removed, so nobody knows what its rows say: give the column its name back")

// ensureAttempts is how often Ensure looks again after another process was faster.
const ensureAttempts = 5

// ErrNoTransactions is returned by Ensure where a table's storage engine has no transactions: nobody would know what a run that is
// killed has left.
var ErrNoTransactions = failure.Outcome("its storage engine has no transactions")

// Ensure creates the table, or upgrades the table of an older version. Runs without the lock may do the same at the same
// moment. Then Ensure fails at worst with [ErrBusy], or on SQLite, where any writer is in the way, with the database's own
// error. It refuses the table, and the version tables that it is given, with [ErrNoTransactions].
func (s *State) Ensure(ctx context.Context, db *sql.DB, versions ...*Versions) error {
	var last error
	tables := []*table{s.table}
	for _, v := range versions {
		tables = append(tables, v.own)
	}
	for range ensureAttempts {
		l, err := s.layout(ctx, db, tables...)
		switch {
		case err != nil:
			return err
		case len(l.unsafe) > 0:
			return unsafe(l.unsafe)
		case !l.there() && last != nil:
			return last // no other process was faster
		case !l.there():
			var options string
			if options, err = s.options(ctx, db); err != nil {
				return err
			}
			_, last = s.write(ctx, db, s.creation()+options)
		case l.spoilt(): // a new column would not know
			return errSpoilt
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
			continue // another process may have made the table
		case contention:
			return fmt.Errorf("%w: %w", ErrBusy, last)
		case ctx.Err() != nil:
			return last
		}
	}
	return last
}

func unsafe(tables []string) error {
	var faults []error
	for _, name := range tables {
		faults = append(faults, fmt.Errorf("%s: %w, so a run that is killed could leave anything: ALTER TABLE %s ENGINE = InnoDB", name, ErrNoTransactions, name))
	}
	return errors.Join(faults...)
}

func (t *table) creation() string {
	var columns []string
	for _, c := range t.columns() {
		columns = append(columns, c.name+" "+c.definition)
	}
	return t.sql("CREATE TABLE {table} (") + strings.Join(columns, ", ") + ", PRIMARY KEY (id))"
}

// upgrade returns the statements that upgrade an older table. Until the table has the column failed, it can be read as an older
// one. An upgrade that stops between two statements can go on later. A replica of an older version may add its columns
// again, so no statement changes a column that has a value.
func (t *table) upgrade(ctx context.Context, db Querier, l layout) (list []string, err error) {
	missing := l.missing(t)
	alter := func(parts ...string) {
		if !t.dialect.OneWriter() { // SQLite takes one change at a time
			parts = []string{strings.Join(parts, ", ")}
		}
		for _, part := range parts {
			list = append(list, t.sql("ALTER TABLE {table} ")+part)
		}
	}
	if !l.remembers() { // the original's table has no key, and after a race two rows
		if !l.columns["id"] {
			alter("ADD COLUMN " + missing[0].name + " " + missing[0].definition + " DEFAULT ''")
			missing = missing[1:]
		}
		list = append(list, t.sql("DELETE FROM {table} WHERE id = ''"))
		parts := []string{"DROP COLUMN status", "ADD PRIMARY KEY (id)"}
		for _, c := range missing {
			parts = append(parts, "ADD COLUMN "+c.name+" "+c.definition)
		}
		alter(parts...)
		return list, nil
	}
	var parts []string
	for _, c := range missing {
		if c.name != "failed" || !l.columns["status"] { // status becomes failed
			parts = append(parts, "ADD COLUMN "+c.name+" "+c.definition)
		}
	}
	if len(parts) > 0 {
		alter(parts...)
	}
	// In older tables a run had one connection, in its own row.
	err = each(ctx, db, t.sql("SELECT id, backend FROM {table} WHERE kind = 'run' AND outcome = 'running' AND backend <> ''"), func(rows *sql.Rows) error {
		var id, name string
		err := rows.Scan(&id, &name)
		list = append(list, t.adding(without(runPrefix, id), name))
		return err
	})
	// In older tables status was the lock, and 1 in the row of a failed step; name was a file or an environment; and outcome was
	// the direction of a step.
	set := []string{"backend = CASE WHEN kind = 'backend' THEN backend ELSE '' END"}
	move := func(to, from, kinds string) {
		set = append(set, fmt.Sprintf("%[1]s = CASE WHEN kind %[3]s AND %[1]s = '' THEN %[2]s ELSE %[1]s END", to, from, kinds))
	}
	if l.columns["name"] {
		move("source", "name", "<> 'environment'")
		move("environment", "name", "= 'environment'")
		move("direction", "outcome", "= 'dirty'")
	}
	last := ""
	switch {
	case l.columns["status"] && l.columns["failed"]:
		set, last = append(set, "failed = CASE WHEN failed = 0 THEN status ELSE failed END"), "DROP COLUMN status"
	case l.columns["status"]:
		last = "RENAME COLUMN status TO failed"
	}
	list = append(list, t.sql("DELETE FROM {table} WHERE id = 'mutex'"), t.sql("UPDATE {table} SET ")+strings.Join(set, ", "))
	if last != "" {
		alter(last)
	}
	if l.columns["name"] {
		alter("DROP COLUMN name")
	}
	return list, err
}
