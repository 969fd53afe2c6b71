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
	return &Server{db: db, words: words{
		// Whatever the role, the database or the pooler has set, no limit ends the transaction while its holder gives signs of
		// life.
		begin: "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; " + setIfKnown(append([]setting{
			{"idle_in_transaction_session_timeout", fmt.Sprintf("'%d'", lease.Idle.Milliseconds())},
			{"statement_timeout", "'0'"}, {"lock_timeout", "'0'"}, {"transaction_timeout", "'0'"},
			{"application_name", "COALESCE(NULLIF(current_setting('application_name'), ''), '" + strings.ReplaceAll(lease.Name, "'", "''") + "')"},
		}, keepAlive...)...) + "; SAVEPOINT gooseplus_lock",
		// pg_locks is read only after the lock was taken.
		try: "WITH k AS (SELECT " + key + " AS name), t AS (SELECT name, hashtextextended(name, 0) AS k," +
			" pg_try_advisory_xact_lock(hashtextextended(name, 0)) AS mine FROM k) SELECT name, k::text, mine, CASE WHEN mine THEN" +
			" EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = pg_backend_pid() AND " + holds + "t.k) ELSE FALSE END, TRUE FROM t",
		// The transaction keeps the locks on the catalogs that it has read, for which VACUUM FULL and REINDEX SYSTEM would wait.
		// So it takes the lock again, without reading anything.
		again:  "ROLLBACK TO SAVEPOINT gooseplus_lock; RELEASE SAVEPOINT gooseplus_lock; SELECT 1 / pg_try_advisory_xact_lock({lock})::int",
		lock:   "(SELECT hashtextextended(" + key + ", 0))",
		check:  "SELECT 1",
		end:    "COMMIT",
		holder: "SELECT l.pid FROM pg_locks l WHERE " + holds + "{lock} LIMIT 1",
		number: "backend pid", takes: "pg_try_advisory_xact_lock", shows: "pg_locks",
	}}
}

// holds is a condition for the row in pg_locks of the lock, in this database, with the number that follows.
const holds = "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())" +
	" AND ((l.classid::bigint << 32) | l.objid::bigint) = "

// setting is a setting of the server, up to the end of the transaction.
type setting struct{ name, value string } // value is an expression

// keepAlive are the settings by which PostgreSQL notices within some 20 seconds that a connection has lost its client, also
// in the middle of a statement, which would otherwise go on for hours. Any role may set them in its own session.
var keepAlive = []setting{{"tcp_keepalives_idle", "'5'"}, {"tcp_keepalives_interval", "'5'"}, {"tcp_keepalives_count", "'3'"},
	{"tcp_user_timeout", "'20000'"}, {"client_connection_check_interval", "'2000'"}}

// newer are the settings that not every version of the server has. Not every platform can have client_connection_check_interval.
var newer = map[string]string{
	"tcp_user_timeout": "", "transaction_timeout": "", "client_connection_check_interval": " AND version() LIKE '%linux%'",
}

// setIfKnown is a query that changes settings until the transaction ends, except those that the server doesn't have. Each
// transaction of a run begins with one, so it has neither FROM nor WHERE, which cost the server several times as much.
func setIfKnown(settings ...setting) string {
	var list []string
	for _, s := range settings {
		set := fmt.Sprintf("set_config('%s', %s, true)", s.name, s.value)
		if also, sometimes := newer[s.name]; sometimes {
			set = fmt.Sprintf("CASE WHEN current_setting('%s', true) IS NOT NULL%s THEN %s END", s.name, also, set)
		}
		list = append(list, set)
	}
	return "SELECT " + strings.Join(list, ", ")
}

// KeepTransaction is a statement that has the server look after the connection until the transaction ends. Behind a pooler,
// settings outside a transaction would stay on a connection that others use.
func KeepTransaction() string { return setIfKnown(keepAlive...) }
