package mutex

import (
	"database/sql"
	"fmt"
	"strings"
)

// NewPostgres returns a transaction-level advisory lock. Its transaction holds no lock on a row or a table, no transaction id
// and no snapshot, so that nothing waits for it, CREATE INDEX CONCURRENTLY included. Behind a pooler in transaction mode
// the transaction keeps its connection to the server. key is an SQL expression for the text that the lock's number is made
// of. The server keeps the lock no longer than the lease if its holder says nothing.
func NewPostgres(db *sql.DB, key string, lease Lease) *Server {
	return &Server{db, words{
		// Whatever the role, the database or the pooler has set, no limit ends the transaction while its holder gives signs of
		// life.
		begin: fmt.Sprintf("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; "+setIfKnown, fmt.Sprintf("('idle_in_transaction_session_timeout', '%d'), "+
			"('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'), ", lease.Idle.Milliseconds())+
			"('application_name', COALESCE(NULLIF(current_setting('application_name'), ''), '"+strings.ReplaceAll(lease.Name, "'", "''")+"')), "+keepAlive),
		// pg_locks is read only after the lock was taken.
		try: "WITH k AS (SELECT " + key + " AS name), t AS (SELECT name, hashtextextended(name, 0) AS k," +
			" pg_try_advisory_xact_lock(hashtextextended(name, 0)) AS mine FROM k) SELECT name, mine, CASE WHEN mine THEN" +
			" EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = pg_backend_pid() AND " + holds + "t.k) ELSE FALSE END, TRUE FROM t",
		check:  "SELECT 1",
		end:    "COMMIT",
		holder: "SELECT l.pid FROM pg_locks l, (SELECT hashtextextended(" + key + ", 0) AS k) AS k WHERE " + holds + "k.k LIMIT 1",
		number: "backend pid", takes: "pg_try_advisory_xact_lock", shows: "pg_locks",
	}}
}

// holds is a condition for the row in pg_locks of the lock, in this database, with the number that follows.
const holds = "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())" +
	" AND ((l.classid::bigint << 32) | l.objid::bigint) = "

// keepAlive are the settings by which PostgreSQL notices within some 20 seconds that a connection has lost its client, also
// in the middle of a statement, which would otherwise go on for hours. Any role may set them in its own session.
const keepAlive = "('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), " +
	"('tcp_user_timeout', '20000'), ('client_connection_check_interval', '2000')"

// setIfKnown changes settings until the transaction ends, except those that this version of the server doesn't have. Not
// every platform can have client_connection_check_interval.
const setIfKnown = "SELECT set_config(v.name, v.value, true) FROM (VALUES %s) AS v (name, value) WHERE current_setting(v.name, true) IS NOT NULL" +
	" AND (v.name <> 'client_connection_check_interval' OR version() LIKE '%%linux%%')"

// KeepTransaction is a statement that has the server look after the connection until the transaction ends. Behind a pooler,
// settings outside a transaction would stay on a connection that others use.
func KeepTransaction() string { return fmt.Sprintf(setIfKnown, keepAlive) }
