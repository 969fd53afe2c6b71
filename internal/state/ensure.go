package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// ErrBusy is returned by Ensure while a replica of an older version uses the table that is to be upgraded: the
// original gooseplus and the versions before this one hold a lock in it for as long as they run. A moment later it
// may succeed.
var ErrBusy = errors.New("the state table is used by a replica of an older version of gooseplus")

// ensureAttempts is how often the table is looked at again after somebody else was faster.
const ensureAttempts = 5

// Ensure makes the table what this version expects: it creates it, or upgrades the table of an older version. Runs
// without the lock may do the same at the same moment: it is [ErrBusy] at worst, and on SQLite, where any writer is in
// the way, the database's own error.
func (t *Table) Ensure(ctx context.Context, db *sql.DB) error {
	var last error
	for range ensureAttempts {
		l, err := t.layout(ctx, db)
		if err != nil {
			return err
		}
		missing := l.missing(t)
		switch {
		case len(missing) == 0 && !l.partitioned:
			return nil
		case !l.there() && last != nil:
			return last // nobody else was faster
		case !l.there():
			_, last = t.script(ctx, db, statement{query: t.creation()})
		default:
			last = t.upgrade(ctx, db, l)
		}
		switch {
		case last == nil:
			return nil
		case t.dialect.Goose == goose.DialectSQLite3 && t.dialect.Contention(last):
			continue // any writer keeps the whole database, and the other one may have made this table
		case t.dialect.Contention(last):
			return fmt.Errorf("%w: %w", ErrBusy, last)
		case ctx.Err() != nil:
			return last
		}
	}
	return last
}

func (t *Table) creation() string {
	var columns []string
	for _, c := range t.columns() {
		columns = append(columns, c.name+" "+c.definition)
	}
	return "CREATE TABLE {table} (" + strings.Join(columns, ", ") + ", PRIMARY KEY (id))"
}

// upgrade makes the table of an older version this one's. Old replicas hold a lock on a row of it while they
// run, and what they have told the server to do may hold others: all of them keep the table from being changed.
func (t *Table) upgrade(ctx context.Context, db *sql.DB, l layout) error {
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		return t.upgradePostgres(ctx, db, l)
	case goose.DialectMySQL:
		return t.upgradeMySQL(ctx, db, l)
	}
	if l.original(t) { // no column can be made the key of a table that is there
		_, err := t.script(ctx, db, statement{query: "DROP TABLE " + t.name}, statement{query: t.creation()})
		return err
	}
	var list []statement
	for _, c := range l.missing(t) {
		list = append(list, statement{query: "ALTER TABLE " + t.name + " ADD COLUMN " + c.name + " " + c.definition})
	}
	_, err := t.script(ctx, db, list...)
	return err
}

func (t *Table) upgradePostgres(ctx context.Context, db *sql.DB, l layout) error {
	list := []statement{{query: "LOCK TABLE " + t.name + " IN ACCESS EXCLUSIVE MODE NOWAIT"}}
	then := func(query string) { list = append(list, statement{query: query}) }
	if l.original(t) { // there is nothing in it but its lock
		then("DROP TABLE " + t.name)
		then(t.creation())
		_, err := t.script(ctx, db, list...)
		return err
	}
	if l.partitioned {
		grants, err := t.grants(ctx, db)
		if err != nil {
			return err
		}
		n := t.table
		n.Table += rowsSuffix
		rows := t.dialect.Quote(n)
		then("ALTER TABLE " + t.name + " DETACH PARTITION " + rows)
		then("DROP TABLE " + t.name)
		n.Schema = ""
		n.Table = t.table.Table
		then("ALTER TABLE " + rows + " RENAME TO " + t.dialect.Quote(n))
		for _, grant := range grants {
			then(grant)
		}
	}
	for _, c := range l.missing(t) {
		then("ALTER TABLE " + t.name + " ADD COLUMN " + c.name + " " + c.definition)
	}
	then("ALTER TABLE " + t.name + " ALTER COLUMN id DROP DEFAULT, ALTER COLUMN kind SET DEFAULT ''")
	then("DELETE FROM " + t.name + " WHERE id = 'mutex'")
	_, err := t.script(ctx, db, list...)
	return err
}

// grants are the statements that give others the privileges that they have on a partitioned table, of which its
// partitions know nothing.
func (t *Table) grants(ctx context.Context, db Querier) (list []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT 'GRANT ' || a.privilege_type || ' ON ' || "+t.dialect.Literal(t.name)+" || ' TO ' ||"+
		" CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END"+
		" FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = to_regclass("+t.dialect.Literal(t.name)+") AND a.grantee <> c.relowner")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var grant string
		if err := rows.Scan(&grant); err != nil {
			return nil, err
		}
		list = append(list, grant)
	}
	return list, rows.Err()
}

// upgradeMySQL changes the table in one statement, which waits for nobody for longer than a second: DDL ends the
// transaction in which anything else could be locked before.
func (t *Table) upgradeMySQL(ctx context.Context, db *sql.DB, l layout) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "SET @gooseplus_lock_wait = @@SESSION.lock_wait_timeout, SESSION lock_wait_timeout = 1"); err != nil {
		return err
	}
	defer func() {
		_, restored := conn.ExecContext(context.WithoutCancel(ctx), "SET SESSION lock_wait_timeout = @gooseplus_lock_wait")
		err = errors.Join(err, restored)
	}()
	exec := func(statements ...string) error {
		for _, statement := range statements {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
	var changes []string
	for _, c := range l.missing(t) {
		if c.name == "id" { // the original's table has no key, and may have two rows after a race
			if err := exec("ALTER TABLE "+t.name+" ADD COLUMN id "+strings.Replace(c.definition, "NOT NULL", "NOT NULL DEFAULT ''", 1),
				"DELETE FROM "+t.name+" WHERE id = ''"); err != nil {
				return err
			}
			continue
		}
		changes = append(changes, "ADD COLUMN "+c.name+" "+c.definition)
	}
	if l.original(t) {
		changes = append(changes, "ADD PRIMARY KEY (id)")
	}
	if l.columns["kind"] {
		changes = append(changes, "ALTER COLUMN kind SET DEFAULT ''")
	}
	changes = append(changes, "ALTER COLUMN id DROP DEFAULT")
	return exec("ALTER TABLE "+t.name+" "+strings.Join(changes, ", "), "DELETE FROM "+t.name+" WHERE id = 'mutex'")
}
