// Package versions reads and writes the version table, which is goose's: its layout, its
// statements and its rows come from goose's own Store, so that goose tells the same story of the
// same database. What is added is what goose lacks: names that need quoting, a look that tells a
// missing table from a failed read, and a creation that may race.
package versions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Table is a version table, which need not exist yet.
type Table struct {
	store   database.Store
	dialect dialect.Dialect
	name    dialect.Name // where keyed is not ""
	located bool         // the server has said in which schema it is
	// exists asks for the table in a single boolean; "" leaves it to goose's store.
	exists string
	// history reads the rows, newest first, with their times; "" leaves it to goose's store.
	history string

	// These are of the run's own: goose's have no keys. keyed is "" for dialects that gooseplus
	// leaves to goose's store.
	keyed, insert, insertAgain, remove, settle string
	returning                                  bool // insert gives the key as a row
	// insertAny inserts without a condition, and others counts the rows of a version but one; ""
	// where insert costs no more than that.
	insertAny, others string
}

// New names a version table. name is what goose's WithTableName takes.
func New(d dialect.Dialect, name string) (*Table, error) {
	t := &Table{dialect: d}
	quoted := name
	if d.Quotes() {
		n, err := d.ParseName(name)
		if err != nil {
			return nil, err
		}
		quoted = d.Quote(n)
		t.exists = existence(d, n)
		t.history = historyQuery(d, n)
		t.keyedStatements(d, n)
	}
	store, err := database.NewStore(d.Goose, quoted)
	if err != nil {
		return nil, err
	}
	t.store = store
	return t, nil
}

// existence replaces goose's own check, which compares the name with its quotes, knows only the
// first schema of the search_path, and visits every table of that name in the database.
func existence(d dialect.Dialect, n dialect.Name) string {
	switch d.Goose {
	case goose.DialectPostgres:
		return `SELECT to_regclass(` + d.Literal(d.Quote(n)) + `) IS NOT NULL`
	case goose.DialectMySQL:
		return `SELECT count(*) > 0 FROM information_schema.tables
			WHERE table_schema = COALESCE(NULLIF(` + d.Literal(n.Schema) + `, ''), DATABASE()) AND table_name = ` + d.Literal(n.Table)
	default: // SQLite, where a schema is an attached database
		schema := n.Schema
		if schema == "" {
			schema = "main"
		}
		return `SELECT count(*) > 0 FROM ` + d.Quote(dialect.Name{Table: schema}) +
			`.sqlite_master WHERE type = 'table' AND name = ` + d.Literal(n.Table) + ` COLLATE NOCASE`
	}
}

// Name is the table's name as it stands in statements.
func (t *Table) Name() string { return t.store.Tablename() }

// Applied reads the applied versions, in one statement if the table is there, in the order in which
// they were applied. A table that is not there is no error: ready is false then, as it is for a
// table without any row, which a creation that was cut off leaves on databases where DDL commits by
// itself. The zero version, which goose records when it creates the table, is left out.
func (t *Table) Applied(ctx context.Context, db database.DBTxConn) (applied []int64, ready bool, err error) {
	var rows []entry
	err = t.read(ctx, db, func() error {
		list, err := t.store.ListMigrations(ctx, db)
		rows = make([]entry, len(list))
		for i, row := range list {
			rows[i] = entry{row.Version, row.IsApplied}
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return newest(rows), len(rows) > 0, nil
}

// entry is a row that says of a version that it was applied, or taken back.
type entry struct {
	version int64
	applied bool
}

// newest reduces rows, newest first, to the applied versions, oldest first. A version may have
// several rows where goose before v3 kept its history in the table: the newest row counts.
func newest(rows []entry) (applied []int64) {
	applied = make([]int64, 0, len(rows))
	descending := true
	for i, row := range rows {
		descending = descending && (i == 0 || row.version < rows[i-1].version)
		if row.applied && row.version != 0 {
			applied = append(applied, row.version)
		}
	}
	if !descending { // as they are as long as nothing came late
		seen := make(map[int64]bool, len(rows))
		applied = applied[:0]
		for _, row := range rows {
			if row.applied && row.version != 0 && !seen[row.version] {
				applied = append(applied, row.version)
			}
			seen[row.version] = true
		}
	}
	slices.Reverse(applied)
	return applied
}

// Flag is a question that is asked of another table in the statement that reads the versions.
type Flag struct {
	Query string // finds a row, or none
	// Missing says whether the table of Query is not there, so that there is no row; nil if Query needs none.
	Missing func(context.Context) (bool, error)
}

// AppliedAndFlag is Applied and, in the same statement, whether the flag's query finds a row. The query is left
// out only if its table is found to be missing: any other error may hide a row. absent says that the version table
// was missing a moment ago: what would fail, and stand in the server's log, is not tried then.
func (t *Table) AppliedAndFlag(ctx context.Context, db database.DBTxConn, flag Flag, absent bool) (applied []int64, flagged, ready bool, err error) {
	if absent {
		if there, err := t.exist(ctx, db); err == nil && !there {
			return nil, false, false, nil
		}
	}
	rows, flagged, err := t.listWith(ctx, db, flag.Query)
	if err != nil {
		if gone, checkErr := t.gone(ctx, db, err); checkErr != nil || gone {
			return nil, false, false, checkErr
		}
		if flag.Missing != nil {
			if missing, checkErr := flag.Missing(ctx); checkErr != nil {
				return nil, false, false, err
			} else if missing && !t.dialect.Denied(err) {
				applied, ready, err = t.Applied(ctx, db)
				return applied, false, ready, err
			}
		}
		// Another process may have created one of them after the first try.
		if rows, flagged, err = t.listWith(ctx, db, flag.Query); err != nil {
			return nil, false, false, err
		}
	}
	return newest(rows), flagged, len(rows) > 0, nil
}

// listWith lists the rows, newest first. The flag is in each of them, beside is_applied in one number: that costs
// the server nothing but the flag's query, once, and keeps the order that its index has.
func (t *Table) listWith(ctx context.Context, db database.DBTxConn, flag string) (list []entry, flagged bool, err error) {
	rows, err := db.QueryContext(ctx, "SELECT version_id, CASE WHEN is_applied THEN 1 ELSE 0 END + (SELECT CASE WHEN EXISTS ("+
		flag+") THEN 2 ELSE 0 END) FROM "+t.Name()+" ORDER BY id DESC")
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var version int64
	var bits int
	for rows.Next() {
		if err := rows.Scan(&version, &bits); err != nil {
			return nil, false, err
		}
		list, flagged = append(list, entry{version, bits&1 != 0}), bits&2 != 0
	}
	return list, flagged, rows.Err()
}

// read calls query, which reads the table. That there is no table is no error.
func (t *Table) read(ctx context.Context, db database.DBTxConn, query func() error) error {
	err := query()
	if err == nil {
		return nil
	}
	if gone, err := t.gone(ctx, db, err); err != nil || gone {
		return err
	}
	return query() // another process may have created it after the first look
}

// gone says whether there is no table, which may be why a statement failed with cause. That it can't be told is
// cause.
func (t *Table) gone(ctx context.Context, db database.DBTxConn, cause error) (bool, error) {
	there, err := t.exist(ctx, db)
	if err != nil || !there && t.dialect.Denied(cause) { // MySQL hides what a user may not read
		return false, cause
	}
	return !there, nil
}

// Missing says whether what could not be read, by cause, is not there.
func (t *Table) Missing(ctx context.Context, db database.DBTxConn, cause error) bool {
	missing, err := t.gone(ctx, db, cause)
	return err == nil && missing
}

// exist says whether the table is there. A dialect for which nobody can tell is taken to have
// none, if it answers at all: creating it then gives the server's own answer.
func (t *Table) exist(ctx context.Context, db database.DBTxConn) (exists bool, err error) {
	if t.exists != "" {
		err = db.QueryRowContext(ctx, t.exists).Scan(&exists)
		return exists, err
	}
	err = errors.ErrUnsupported
	if store, ok := t.store.(interface {
		TableExists(context.Context, database.DBTxConn) (bool, error)
	}); ok {
		exists, err = store.TableExists(ctx, db)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		var one int
		return false, db.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
	}
	return exists, err
}

// Create creates the table with its zero version, as goose does. That another process creates it
// at the same moment is no error: PostgreSQL fails one of the two even with IF NOT EXISTS.
func (t *Table) Create(ctx context.Context, db *sql.DB) error {
	err := t.create(ctx, db)
	if err == nil {
		return nil
	}
	rows, readErr := t.store.ListMigrations(ctx, db)
	if readErr != nil {
		if there, checkErr := t.exist(ctx, db); checkErr == nil && there {
			return readErr // there is a table of that name that is no version table
		}
		return err
	}
	if len(rows) > 0 {
		return nil
	}
	return t.insertZero(ctx, db)
}

func (t *Table) create(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	if err := t.store.CreateVersionTable(ctx, tx); err != nil {
		return err
	}
	if err := t.insertZero(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Rewrite records and takes back versions without executing anything.
func (t *Table) Rewrite(ctx context.Context, tx *sql.Tx, add, remove []int64) error {
	for _, v := range remove {
		if err := t.store.Delete(ctx, tx, v); err != nil {
			return err
		}
	}
	for _, v := range add {
		if err := t.store.Insert(ctx, tx, database.InsertRequest{Version: v}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) insertZero(ctx context.Context, db database.DBTxConn) error {
	return t.store.Insert(ctx, db, database.InsertRequest{Version: 0})
}

// ignoreDone drops the error of a transaction that its context has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
