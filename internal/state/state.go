// Package state reads and writes the state table of a version table: the mutex of the global lock,
// the runs and their outcomes, and what has to be remembered about versions and environments.
//
// All of it is in one table, so that what a run decides on is read in one place, and each kind of
// row is found by its primary key. That matters on MySQL, where a statement that has to scan locks
// every row it sees, the mutex included.
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Querier is a pool, a connection or a transaction.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Table is a state table, which need not exist.
type Table struct {
	dialect dialect.Dialect
	table   dialect.Name
	name    string // quoted, for statements
}

const (
	suffix = "_lock"
	// Those of the table's two partitions on PostgreSQL.
	mutexSuffix = "_mutex"
	rowsSuffix  = "_rows"
)

// New names the state table that belongs to a version table.
func New(d dialect.Dialect, versionTable string) (*Table, error) {
	n, err := d.ParseName(versionTable)
	if err != nil {
		return nil, err
	}
	n.Table += suffix
	t := &Table{dialect: d, table: n, name: d.Quote(n)}
	longest := t.name
	if t.partitioned() {
		longest = t.partition(mutexSuffix)
	}
	if _, err := d.ParseName(longest); err != nil { // longer than the server takes
		return nil, fmt.Errorf("the state table: %w", err)
	}
	return t, nil
}

// partitioned says whether the mutex has a partition of its own, which comes first. A replica of the
// original gooseplus deletes all rows, in the order in which it meets them, and waits at the mutex while
// that is held: what it has met before, its holder would wait for, for ever. Within a PostgreSQL table
// a row can end up anywhere. MySQL has them in the order of their keys: none is lower than the mutex's.
func (t *Table) partitioned() bool { return t.dialect.Goose == goose.DialectPostgres }

func (t *Table) partition(suffix string) string {
	n := t.table
	n.Table += suffix
	return t.dialect.Quote(n)
}

// mutex and rows are what holds the mutex and all other rows. To name the partition spares the server the
// plan of a partitioned table, for which a new connection reads the catalogs of three.
func (t *Table) mutex() string { return t.part(mutexSuffix) }
func (t *Table) rows() string  { return t.part(rowsSuffix) }

func (t *Table) part(suffix string) string {
	if t.partitioned() {
		return t.partition(suffix)
	}
	return t.name
}

// Name is the table's name as it stands in statements.
func (t *Table) Name() string { return t.name }

// Base is the table's name alone, as the server stores it.
func (t *Table) Base() string { return t.table.Table }

// Tables are the names alone of the version table, of the state table and of the state table's partitions, as the
// server stores them.
func (t *Table) Tables() []string {
	list := []string{strings.TrimSuffix(t.table.Table, suffix), t.table.Table}
	if t.partitioned() {
		list = append(list, t.table.Table+mutexSuffix, t.table.Table+rowsSuffix)
	}
	return list
}

type column struct{ name, definition string }

// idSize is how long the key of a row can be: an index of MySQL has its limits.
const idSize = 180

// columns are those of the table in the order they are created. The first is the only one of the
// original gooseplus, whose replicas delete all rows and insert one with nothing but a status: the
// default of id makes that row the mutex.
func (t *Table) columns() []column {
	set := ""
	if t.dialect.Goose == goose.DialectMySQL {
		// That of the database may take two names for the same, and may not have what an error says.
		set = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	}
	return []column{
		{"status", "INTEGER NOT NULL DEFAULT 0"},
		{"id", fmt.Sprintf("VARCHAR(%d)", idSize) + set + " NOT NULL DEFAULT 'mutex'"},
		{"kind", "VARCHAR(20)" + set + " NOT NULL DEFAULT 'mutex'"},
		{"namespace", "VARCHAR(255)" + set + " NOT NULL DEFAULT ''"},
		{"version_id", "BIGINT NOT NULL DEFAULT 0"},
		{"name", "VARCHAR(255)" + set + " NOT NULL DEFAULT ''"},
		{"holder", "VARCHAR(255)" + set + " NOT NULL DEFAULT ''"},
		{"started_at", "VARCHAR(40)" + set + " NOT NULL DEFAULT ''"},
		{"ended_at", "VARCHAR(40)" + set + " NOT NULL DEFAULT ''"},
		{"from_version", "BIGINT NOT NULL DEFAULT 0"},
		{"to_version", "BIGINT NOT NULL DEFAULT 0"},
		{"outcome", "VARCHAR(20)" + set + " NOT NULL DEFAULT ''"},
		{"backend", "VARCHAR(100)" + set + " NOT NULL DEFAULT ''"},
		{"start_set", "TEXT" + set},
		{"planned", "TEXT" + set},
		{"error_text", "TEXT" + set},
	}
}

// ErrBusy is returned by Ensure while a replica of the original gooseplus holds its lock, which is a
// row of the table that is to be upgraded, and on MySQL to all but one of those that upgrade it at the same
// moment. A moment later it may succeed.
var ErrBusy = errors.New("the state table is locked by a replica of an older version, or being upgraded by another one")

// ErrCreating is returned by TryEnsure while somebody else creates the table.
var ErrCreating = errors.New("the state table is being created by another process")

// TryEnsure is Ensure for somebody who is about to try the mutex: it takes less, because TryLock tells that
// the row is missing, and on PostgreSQL it waits for nobody who creates the table, whom the others would
// keep from it.
func (t *Table) TryEnsure(ctx context.Context, db *sql.DB) error {
	if !t.partitioned() {
		return t.Ensure(ctx, db)
	}
	if there, err := t.mutexPartitionThere(ctx, db); err != nil || there {
		return err
	}
	created, err := t.tryCreate(ctx, db)
	if created && err == nil || errors.Is(err, ErrCreating) {
		return err
	}
	return t.Ensure(ctx, db)
}

func (t *Table) mutexPartitionThere(ctx context.Context, db Querier) (there bool, err error) {
	err = db.QueryRowContext(ctx, "SELECT to_regclass("+t.dialect.Literal(t.mutex())+") IS NOT NULL").Scan(&there)
	return there, err
}

// tryCreate creates the table where there is none. Who does so keeps an advisory lock for that long.
func (t *Table) tryCreate(ctx context.Context, db *sql.DB) (created bool, err error) {
	err = inTransaction(ctx, db, func(tx *sql.Tx) error {
		mine, there, err := t.claim(ctx, tx)
		switch {
		case err != nil:
			return err
		case !mine:
			return ErrCreating
		case there:
			return nil
		}
		created = true
		return t.createIn(ctx, tx)
	})
	return created, err
}

// createIdle is how long the server keeps the transaction of somebody who creates the table and says nothing:
// a network that is cut would otherwise keep everybody else from it for hours.
const createIdle = "30s"

// claim takes the advisory lock, if nobody has it, and says whether there is a table.
func (t *Table) claim(ctx context.Context, tx *sql.Tx) (mine, there bool, err error) {
	name := t.dialect.Literal(t.name)
	err = tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock(hashtextextended("+name+", 0)), to_regclass("+name+") IS NOT NULL"+
		" FROM set_config('idle_in_transaction_session_timeout', '"+createIdle+"', true)").Scan(&mine, &there)
	return mine, there, err
}

// Ensure makes the table what this version expects: it creates it, upgrades the one-column table of
// the original gooseplus, and puts back a mutex row that is missing. Others may do the same at the same
// moment: it is [ErrBusy] at worst.
func (t *Table) Ensure(ctx context.Context, db *sql.DB) error {
	var last error
	for range ensureAttempts {
		there, err := t.there(ctx, db)
		if err != nil {
			return err
		}
		switch {
		case !there && last != nil:
			return last // nobody else was faster
		case !there:
			if last = t.create(ctx, db); last == nil {
				return nil
			}
		default:
			if mutex, err := t.mutexThere(ctx, db); err == nil && mutex {
				return nil // the columns come and go together
			}
			have, err := t.have(ctx, db)
			if err != nil {
				return err
			}
			if missing := t.missing(have); len(missing) > 0 {
				last = t.upgrade(ctx, db, missing)
			} else if last = t.ensureMutex(ctx, db); last == nil || t.dialect.Goose != goose.DialectMySQL {
				return last
			}
		}
		// InnoDB ends one of several transactions that upgrade at the same moment, or put back the row.
		if t.dialect.Deadlock(last) {
			return fmt.Errorf("%w: %w", ErrBusy, last)
		}
		if errors.Is(last, ErrBusy) || ctx.Err() != nil {
			return last
		}
	}
	return last
}

// IsThere says whether the table is there.
func (t *Table) IsThere(ctx context.Context, db Querier) (bool, error) { return t.there(ctx, db) }

func (t *Table) there(ctx context.Context, db Querier) (bool, error) {
	var one int
	err := db.QueryRowContext(ctx, t.There()).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// ensureAttempts is how often the table is looked at again after somebody else was faster.
const ensureAttempts = 5

func (t *Table) missing(have map[string]bool) []column {
	var missing []column
	for _, c := range t.columns() {
		if !have[c.name] {
			missing = append(missing, c)
		}
	}
	return missing
}

// have lists the table's columns; none means that it isn't there.
func (t *Table) have(ctx context.Context, db Querier) (map[string]bool, error) {
	query, args := t.columnsQuery()
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	have := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		have[strings.ToLower(name)] = true
	}
	return have, rows.Err()
}

func (t *Table) columnsQuery() (string, []any) {
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		return `SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, []any{t.name}
	case goose.DialectMySQL:
		return `SELECT column_name FROM information_schema.columns
			WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?`, []any{t.table.Schema, t.table.Table}
	default:
		schema := t.table.Schema
		if schema == "" {
			schema = "main"
		}
		return `SELECT name FROM pragma_table_info(?, ?)`, []any{t.table.Table, schema}
	}
}

func (t *Table) create(ctx context.Context, db *sql.DB) error {
	return inTransaction(ctx, db, func(tx *sql.Tx) error { return t.createIn(ctx, tx) })
}

func (t *Table) createIn(ctx context.Context, tx *sql.Tx) error {
	var columns []string
	for _, c := range t.columns() {
		columns = append(columns, c.name+" "+c.definition)
	}
	statements := []string{"CREATE TABLE " + t.name + " (" + strings.Join(columns, ", ") + ", PRIMARY KEY (id))"}
	if t.partitioned() {
		statements[0] += " PARTITION BY LIST (id)"
		statements = append(statements,
			"CREATE TABLE "+t.partition(mutexSuffix)+" PARTITION OF "+t.name+" FOR VALUES IN ('mutex')",
			"CREATE TABLE "+t.partition(rowsSuffix)+" PARTITION OF "+t.name+" DEFAULT")
	}
	statements = append(statements, "INSERT INTO "+t.mutex()+" (status) VALUES (0)")
	if t.dialect.Goose == goose.DialectPostgres { // in one round trip
		statements = []string{strings.Join(statements, "; ")}
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// upgrade adds columns to the table of an older version. It does so under the lock that the
// original gooseplus takes, all rows of its table; where it keeps that lock, nothing is waited for.
func (t *Table) upgrade(ctx context.Context, db *sql.DB, missing []column) error {
	return inTransaction(ctx, db, func(tx *sql.Tx) error {
		if t.dialect.Goose != goose.DialectSQLite3 {
			free, err := t.allFree(ctx, tx)
			if err != nil {
				return err
			}
			if !free {
				return ErrBusy
			}
		}
		if t.dialect.Goose != goose.DialectMySQL {
			return t.rebuild(ctx, tx, missing)
		}
		var changes []string
		for _, c := range missing {
			changes = append(changes, "ADD COLUMN "+c.name+" "+c.definition)
			if c.name == "id" { // the original's table: it has no key, and may have two rows after a race
				if _, err := tx.ExecContext(ctx, "DELETE FROM "+t.name); err != nil {
					return err
				}
				changes = append(changes, "ADD PRIMARY KEY (id)")
			}
		}
		_, err := tx.ExecContext(ctx, "ALTER TABLE "+t.name+" "+strings.Join(changes, ", "))
		return err
	})
}

// allFree says whether nobody locks a row of the table, and locks them all.
func (t *Table) allFree(ctx context.Context, tx *sql.Tx) (bool, error) {
	var all int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&all); err != nil {
		return false, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT status FROM "+t.name+" FOR UPDATE SKIP LOCKED")
	if err != nil {
		return false, err
	}
	defer rows.Close()
	free := 0
	for rows.Next() {
		free++
	}
	return free >= all, rows.Err()
}

// rebuild is upgrade where a table that is there can't be given a key (SQLite) or partitions
// (PostgreSQL). There is nothing in the original's table but its lock.
func (t *Table) rebuild(ctx context.Context, tx *sql.Tx, missing []column) error {
	if len(missing) != len(t.columns())-1 {
		for _, c := range missing {
			if _, err := tx.ExecContext(ctx, "ALTER TABLE "+t.name+" ADD COLUMN "+c.name+" "+c.definition); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := tx.ExecContext(ctx, "DROP TABLE "+t.name); err != nil {
		return err
	}
	return t.createIn(ctx, tx)
}

// ensureMutex puts the mutex row back if it is missing.
func (t *Table) ensureMutex(ctx context.Context, db Querier) error {
	there, err := t.mutexThere(ctx, db)
	if err != nil || there {
		return err
	}
	_, err = db.ExecContext(ctx, "INSERT INTO "+t.name+" (status) VALUES (0)")
	if err == nil {
		return nil
	}
	if there, checkErr := t.mutexThere(ctx, db); checkErr == nil && there {
		return nil // somebody else was faster
	}
	return err
}

func (t *Table) mutexThere(ctx context.Context, db Querier) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+t.mutex()+" WHERE id = 'mutex'").Scan(&n)
	return n > 0, err
}

func inTransaction(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		if rollbackErr := ignoreDone(tx.Rollback()); rollbackErr != nil {
			return errors.Join(err, rollbackErr)
		}
		return err
	}
	return tx.Commit()
}

// ignoreDone drops the error of a transaction that its context has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
