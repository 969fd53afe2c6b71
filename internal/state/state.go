// Package state reads and writes the state table of a version table: the runs and their outcomes, and what has
// to be remembered about versions and environments. It excludes nobody: that is what the mutex does (package
// mutex), which needs no table.
//
// All of it is in one table, so that what a run decides on is read in one place, and each kind of
// row is found by its primary key. That matters on MySQL, where a statement that has to scan locks
// every row it sees.
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
	version dialect.Name // the version table
	name    string       // quoted, for statements
	// autocommits says that every statement outside a transaction is one of its own. It is a setting of the
	// session, which only [Table.Locate] asks for.
	autocommits bool
}

const (
	suffix = "_lock"
	// Those of the two partitions that earlier versions had on PostgreSQL.
	mutexSuffix = "_mutex"
	rowsSuffix  = "_rows"
)

// New names the state table that belongs to a version table.
func New(d dialect.Dialect, versionTable string) (*Table, error) {
	n, err := d.ParseName(versionTable)
	if err != nil {
		return nil, err
	}
	version := n
	n.Table += suffix
	t := &Table{dialect: d, table: n, version: version, name: d.Quote(n)}
	if _, err := d.ParseName(t.name); err != nil { // longer than the server takes
		return nil, fmt.Errorf("the state table: %w", err)
	}
	return t, nil
}

// Name is the table's name as it stands in statements.
func (t *Table) Name() string { return t.name }

// Base is the table's name alone, as the server stores it.
func (t *Table) Base() string { return t.table.Table }

// Tables are the names alone of the version table and of the state table, as the server stores them.
func (t *Table) Tables() []string { return []string{t.version.Table, t.table.Table} }

type column struct{ name, definition string }

// idSize is how long the key of a row can be: an index of MySQL has its limits.
const idSize = 180

// columns are those of the table in the order they are created. The first is the only one of the
// original gooseplus, and the last two came last.
func (t *Table) columns() []column {
	set := ""
	if t.dialect.Goose == goose.DialectMySQL {
		// That of the database may take two names for the same, and may not have what an error says.
		set = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	}
	return []column{
		{"status", "INTEGER NOT NULL DEFAULT 0"},
		{"id", fmt.Sprintf("VARCHAR(%d)", idSize) + set + " NOT NULL"},
		{"kind", "VARCHAR(20)" + set + " NOT NULL DEFAULT ''"},
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
		{"run_id", "VARCHAR(100)" + set + " NOT NULL DEFAULT ''"},
		{"transactions", "BIGINT NOT NULL DEFAULT -1"},
	}
}

// newColumns is how many of the columns came last: a table without them is read all the same.
const newColumns = 2

// layout is what a table of that name looks like.
type layout struct {
	columns     map[string]bool // none means that it isn't there
	partitioned bool
}

// there says whether there is a table.
func (l layout) there() bool { return len(l.columns) > 0 }

func (l layout) missing(t *Table) []column {
	var missing []column
	for _, c := range t.columns() {
		if !l.columns[c.name] {
			missing = append(missing, c)
		}
	}
	return missing
}

// original says whether it is the original gooseplus's table, which remembers nothing.
func (l layout) original(t *Table) bool { return len(l.missing(t)) > newColumns }

func (t *Table) layout(ctx context.Context, db Querier) (l layout, err error) {
	query, args := t.columnsQuery()
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return layout{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	l.columns = make(map[string]bool)
	for rows.Next() {
		var name string
		var partitioned int
		if err := rows.Scan(&name, &partitioned); err != nil {
			return layout{}, err
		}
		l.columns[strings.ToLower(name)], l.partitioned = true, partitioned > 0
	}
	return l, rows.Err()
}

func (t *Table) columnsQuery() (string, []any) {
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		return "SELECT a.attname, CASE c.relkind WHEN 'p' THEN 1 ELSE 0 END FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid" +
			" WHERE a.attrelid = to_regclass(" + t.dialect.Literal(t.name) + ") AND a.attnum > 0 AND NOT a.attisdropped", nil
	case goose.DialectMySQL:
		return `SELECT column_name, 0 FROM information_schema.columns
			WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?`, []any{t.table.Schema, t.table.Table}
	default:
		schema := t.table.Schema
		if schema == "" {
			schema = "main"
		}
		return `SELECT name, 0 FROM pragma_table_info(?, ?)`, []any{t.table.Table, schema}
	}
}

// IsThere says whether the table is there.
func (t *Table) IsThere(ctx context.Context, db Querier) (bool, error) {
	var one int
	err := db.QueryRowContext(ctx, t.There()).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Hidden is the server's refusal to read the table, where the catalog says that there is none. MySQL's catalog has only
// what the user may use, and it refuses to read a table that isn't there in the same words: the user has to be allowed to
// know.
func (t *Table) Hidden(ctx context.Context, db Querier) error {
	if t.dialect.Goose != goose.DialectMySQL {
		return nil
	}
	rows, err := db.QueryContext(ctx, "SELECT 1 FROM "+t.name+" LIMIT 0")
	switch {
	case err == nil: // another process has created it since
		return rows.Close()
	case t.dialect.Denied(err):
		return err
	}
	return nil
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
