package state

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// KeepOpen gives the statements that let the server end the mutex's connection when it was idle for
// that long: before and after the transaction, and in it when it has the mutex. A holder whose network is cut would
// otherwise keep the mutex until the server's keepalives notice, which takes hours, or never do.
func (t *Table) KeepOpen(idle time.Duration) (before, after, locked []string) {
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		// The second one keeps nobody out: pg_locks is to show who has the lock under the table's own name.
		return nil, nil, []string{fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d; LOCK TABLE ONLY %s IN ROW SHARE MODE",
			idle.Milliseconds(), t.name)}
	case goose.DialectMySQL:
		return []string{
				"SET @gooseplus_wait_timeout = @@SESSION.wait_timeout",
				fmt.Sprintf("SET SESSION wait_timeout = %d", int(idle.Seconds())),
			}, []string{
				"SET SESSION wait_timeout = @gooseplus_wait_timeout",
			}, nil
	}
	return nil, nil, nil
}

// BackendQuery asks a connection what the server calls it, in the form that BackendWorks takes.
func (t *Table) BackendQuery() string {
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		return "SELECT pid::text || '/' || extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
	case goose.DialectMySQL:
		return "SELECT CONCAT(CONNECTION_ID(), '/', @@hostname, ':', @@port)"
	}
	return ""
}

// SetBackend records which connection a step outside a transaction runs on; "" when it has ended.
// false means that the run was declared dead.
func (t *Table) SetBackend(ctx context.Context, db Querier, id, backend string) (bool, error) {
	n, err := t.exec(ctx, db, "UPDATE {table} SET backend = ?, status = 1 - status WHERE id = ? AND outcome = ?",
		backend, runID(id), string(Running))
	return n > 0, err
}

// BackendWorks says whether the server still has that connection.
func (t *Table) BackendWorks(ctx context.Context, db Querier, backend string) (bool, error) {
	query := ""
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		query = "SELECT count(*) FROM pg_stat_activity WHERE pid::text || '/' || extract(epoch FROM backend_start)::text = ?"
	case goose.DialectMySQL:
		query = "SELECT count(*) FROM information_schema.processlist WHERE CONCAT(id, '/', @@hostname, ':', @@port) = ?"
	default:
		return false, nil
	}
	var n int
	err := db.QueryRowContext(ctx, t.rebind(query), backend).Scan(&n)
	return n > 0, err
}

// Orphans says whether the server goes on with a statement whose client is gone. MySQL's does, and its
// driver closes the connection when a context ends; those of PostgreSQL tell the server.
func (t *Table) Orphans() bool { return t.dialect.Goose == goose.DialectMySQL }

// Kill ends a connection, which every user may do with its own, if the server still has it.
func (t *Table) Kill(ctx context.Context, db *sql.DB, backend string) error {
	conn, err := db.Conn(ctx) // the same for both statements: another one may be on another server
	if err != nil {
		return err
	}
	defer conn.Close()
	if works, err := t.BackendWorks(ctx, conn, backend); err != nil || !works {
		return err
	}
	number, _, _ := strings.Cut(backend, "/")
	id, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, fmt.Sprintf("KILL %d", id))
	return err
}

// File is the path of the file to lock for an SQLite database: one for each state table, beside the
// database's own. "" means that the database is in memory.
func (t *Table) File(ctx context.Context, db Querier) (string, error) {
	schema := t.table.Schema
	if schema == "" {
		schema = "main"
	}
	var file string
	err := db.QueryRowContext(ctx, "SELECT COALESCE(file, '') FROM pragma_database_list WHERE name = ? COLLATE NOCASE", schema).Scan(&file)
	if err != nil || file == "" {
		return "", err
	}
	return file + "." + url.PathEscape(t.table.Table), nil
}
