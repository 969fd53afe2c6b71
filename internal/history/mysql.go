package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/mutex"
)

// mysql is MySQL and MariaDB. A schema is a database of the server there.
type mysql struct {
	dialect.Dialect
	// autocommits says that a session commits each statement outside a transaction. Only the holder of the lock knows that:
	// see [State.Under].
	autocommits bool
}

func (m mysql) terms() terms {
	return terms{
		appliedAt:   "CAST(UNIX_TIMESTAMP(tstamp) * 1000000 AS SIGNED)",
		writers:     "SELECT count(*) FROM {table} LOCK IN SHARE MODE",
		text:        " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", // the database's own may confuse names, and may lack characters
		onDuplicate: " ON DUPLICATE KEY UPDATE ",
		assign:      "% = VALUES(%)",
		sums:        "CONCAT(COUNT(*), '/', COALESCE(SUM(checksum_key), 0), '/', COALESCE(MAX(requires), 0))",
		locks:       locks{row: " FOR UPDATE", read: " FORCE INDEX (PRIMARY)"},
		// The connection's number, and a lock that identifies the run: after a restart of the server, the number may belong to
		// another connection, and the list of connections shows a user only its own.
		connection: "SELECT CAST(CONNECTION_ID() AS CHAR), GET_LOCK(CONCAT('gooseplus:', ?, ':', CONNECTION_ID()), 0)",
		staysOpen:  !m.autocommits,
	}
}

// in is a condition for the catalog's rows of a table.
func (m mysql) in(n dialect.Name) string {
	return "table_schema = COALESCE(NULLIF(" + m.Literal(n.Schema) + ", ''), DATABASE()) AND table_name = " + m.Literal(n.Table)
}

func (m mysql) there(n dialect.Name) string {
	return "SELECT 1 FROM information_schema.tables WHERE " + m.in(n)
}

func (m mysql) columns(n dialect.Name) string {
	return "SELECT column_name, 0 FROM information_schema.columns WHERE " + m.in(n)
}

func (m mysql) unsafe(t *table) string {
	return fmt.Sprintf("SELECT %s, %d FROM information_schema.tables WHERE %s AND engine IN"+
		" (SELECT engine FROM information_schema.engines WHERE transactions = 'NO')", m.Literal(t.quoted), isUnsafe, m.in(t.name))
}

func (mysql) unsafeByDefault() string {
	return "SELECT 1 FROM information_schema.engines WHERE support = 'DEFAULT' AND transactions = 'NO'"
}

func (m mysql) schemas(names []string, first, second string) (string, []any) {
	var list []string
	for i, name := range names {
		list = append(list, fmt.Sprintf("SELECT %d AS i, %s AS name", i+1, m.Literal(name)))
	}
	table := "(SELECT count(*) FROM information_schema.tables WHERE table_schema = a.name AND table_name = "
	return `SELECT a.i, (SELECT count(*) FROM information_schema.schemata WHERE schema_name = a.name), ` + table + m.Literal(first) + `), ` +
		table + m.Literal(second) + `) FROM (` + strings.Join(list, " UNION ALL ") + `) AS a`, nil
}

func (m mysql) candidates(version dialect.Name, names, columns, own string) string {
	schema := "COALESCE(NULLIF(" + m.Literal(version.Schema) + ", ''), DATABASE())"
	return `SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema = ` + schema + `
			AND (LOWER(table_name) IN (` + names + `) OR table_name IN (SELECT table_name FROM information_schema.columns
				WHERE table_schema = ` + schema + ` AND LOWER(column_name) IN (` + columns + `)))
		UNION ALL SELECT table_schema, '', CAST(count(*) AS CHAR) FROM information_schema.tables
			WHERE table_schema = ` + schema + ` AND table_type = 'BASE TABLE' AND LOWER(table_name) NOT IN (` + own + `) GROUP BY 1
		ORDER BY 1, 2`
}

func (mysql) creating() string { return "SELECT DATABASE() FROM DUAL WHERE DATABASE() IS NOT NULL" }

func (m mysql) relations(schema string) string {
	return "SELECT table_name FROM information_schema.tables WHERE table_schema = " + m.Literal(schema)
}

func (m mysql) write(ctx context.Context, pool *sql.DB, statements []string) (affected int64, err error) {
	if m.autocommits && len(statements) == 1 {
		return executeAll(ctx, pool, statements)
	}
	err = m.explicitly(ctx, pool, func(conn *sql.Conn) error {
		affected, err = executeAll(ctx, conn, statements)
		return err
	})
	return affected, err
}

func (m mysql) read(ctx context.Context, pool *sql.DB, f func(Querier) error) error {
	if m.autocommits {
		return f(pool)
	}
	return m.explicitly(ctx, pool, func(conn *sql.Conn) error { return f(conn) })
}

// explicitly calls f between statements that begin and end a transaction: a session may be without autocommit, or read-only.
func (mysql) explicitly(ctx context.Context, pool *sql.DB, f func(*sql.Conn) error) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	if _, err = conn.ExecContext(ctx, "START TRANSACTION READ WRITE"); err == nil {
		if err = f(conn); err == nil {
			_, err = conn.ExecContext(ctx, "COMMIT")
		}
		if err != nil {
			rollBack(ctx, conn)
		}
	}
	if closed := conn.Close(); closed != nil && !errors.Is(closed, sql.ErrConnDone) {
		err = errors.Join(err, closed)
	}
	return err
}

// rollBack ends the transaction of a connection. If the server doesn't answer within a second, it closes the connection, which
// ends the transaction too: no other user of the pool must get an open transaction.
func rollBack(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		mutex.Discard(conn)
	}
}

// upgrade waits a second at most for other users of the table. DDL commits by itself: a later attempt goes on where this one
// fails, and a statement fails if another process has executed it meanwhile.
func (m mysql) upgrade(ctx context.Context, pool *sql.DB, t *table, old layout) (err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "SET @gooseplus_lock_wait = @@SESSION.lock_wait_timeout, @gooseplus_row_wait = @@SESSION.innodb_lock_wait_timeout,"+
		" SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1"); err != nil {
		return err
	}
	defer func() {
		_, restored := conn.ExecContext(context.WithoutCancel(ctx), "SET SESSION lock_wait_timeout = @gooseplus_lock_wait,"+
			" SESSION innodb_lock_wait_timeout = @gooseplus_row_wait")
		err = errors.Join(err, restored)
	}()
	statements, err := t.upgrade(ctx, conn, old)
	if err == nil {
		_, err = executeAll(ctx, conn, statements)
	}
	return err
}

// mutex has a name of 64 characters, made of the database and the table that the server finds at the time of the try.
func (m mysql) mutex(_ context.Context, s *State, db, _ *sql.DB, lease mutex.Lease) (mutex.Mutex, error) {
	name := "CONCAT(COALESCE(NULLIF(" + m.Literal(s.name.Schema) + ", ''), DATABASE(), ''), '.', " + m.Literal(s.name.Table) + ")"
	return mutex.NewMySQL(db, "CONCAT('gooseplus:', LEFT(SHA2(CONVERT(IF(@@lower_case_table_names = 0, "+name+
		", LOWER("+name+")) USING utf8mb4), 256), 48))", lease.Idle), nil
}

// locked is an expression for whether the connection with this number still is the connection of the run: it has the run's lock.
func (m mysql) locked(c Connection, id string) string {
	return "COALESCE(IS_USED_LOCK(" + m.Literal("gooseplus:"+c.Run+":"+id) + ") = " + id + ", FALSE)"
}

func (m mysql) activity(ctx context.Context, pool *sql.DB, c Connection) (Activity, error) {
	id, rest, _ := c.number()
	a := Activity{pid: id, What: id, Who: fmt.Sprintf("connection id %s, which its user ends with KILL %s", id, id)}
	query := "SELECT " + m.locked(c, id)
	if rest != "" { // an earlier version has written the name
		query = "SELECT count(*) > 0 FROM information_schema.processlist WHERE CONCAT(id, '/', @@hostname, ':', @@port) = " + m.Literal(c.Name)
	}
	var alive bool
	if err := pool.QueryRowContext(ctx, query).Scan(&alive); err != nil || !alive {
		return Activity{Gone: err == nil}, err
	}
	var command string
	err := pool.QueryRowContext(ctx, "SELECT command, user = SUBSTRING_INDEX(USER(), '@', 1) FROM information_schema.processlist WHERE id = "+id).
		Scan(&command, &a.Own)
	if errors.Is(err, sql.ErrNoRows) { // another user's connection
		return a, nil
	}
	a.Idle = command == "Sleep"
	a.InTransaction = a.Idle // the server doesn't tell
	return a, err
}

// blocker doesn't know: the server shows its transactions and locks to few users.
func (mysql) blocker(context.Context, *sql.DB, *table, string, string) (Activity, error) {
	return Activity{Gone: true}, nil
}

// end asks and kills on one connection, because another connection may lead to another server.
func (m mysql) end(ctx context.Context, pool *sql.DB, c Connection, a Activity) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var same bool
	if err := conn.QueryRowContext(ctx, "SELECT "+m.locked(c, a.pid)).Scan(&same); err != nil || !same {
		return err
	}
	_, err = conn.ExecContext(ctx, "KILL "+a.pid)
	return err
}

// Transactional says whether all tables that this user sees on a MySQL or MariaDB server have an engine with transactions. Only
// then a failed DML statement has left nothing. Without an answer from the server it is false.
func (v *Versions) Transactional(ctx context.Context, db Querier) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var others int
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM information_schema.tables WHERE engine <> 'InnoDB'
		AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')`).Scan(&others)
	return err == nil && others == 0
}

func (mysql) unlessGone(statement string) string { return statement }

// waitsForMetadata are the states of a connection that waits for a lock that isn't of a row.
const waitsForMetadata = "w.STATE LIKE 'Waiting for % lock'"

// blockedBy are queries for the numbers of the connections for which others wait, {ids}. Which of them the server executes
// depends on its brand, its plugins and the user's privileges: the others fail. The plugin metadata_lock_info shows no
// waiting locks: there, a connection blocks that has a lock on a table that the waiting statement names.
var blockedBy = []string{
	// Rows, on MariaDB and MySQL.
	"SELECT b.trx_mysql_thread_id FROM information_schema.INNODB_LOCK_WAITS AS l JOIN information_schema.INNODB_TRX AS w ON w.trx_id = l.requesting_trx_id" +
		" JOIN information_schema.INNODB_TRX AS b ON b.trx_id = l.blocking_trx_id WHERE w.trx_mysql_thread_id IN ({ids})",
	"SELECT b.PROCESSLIST_ID FROM performance_schema.data_lock_waits AS l JOIN performance_schema.threads AS w ON w.THREAD_ID = l.REQUESTING_THREAD_ID" +
		" JOIN performance_schema.threads AS b ON b.THREAD_ID = l.BLOCKING_THREAD_ID WHERE w.PROCESSLIST_ID IN ({ids})",
	// Metadata.
	"SELECT b.PROCESSLIST_ID FROM performance_schema.threads AS w JOIN performance_schema.metadata_locks AS r ON r.OWNER_THREAD_ID = w.THREAD_ID" +
		" JOIN performance_schema.metadata_locks AS g ON g.OBJECT_TYPE = r.OBJECT_TYPE AND g.OBJECT_SCHEMA = r.OBJECT_SCHEMA AND g.OBJECT_NAME = r.OBJECT_NAME" +
		" JOIN performance_schema.threads AS b ON b.THREAD_ID = g.OWNER_THREAD_ID" +
		" WHERE w.PROCESSLIST_ID IN ({ids}) AND r.LOCK_STATUS = 'PENDING' AND g.LOCK_STATUS = 'GRANTED' AND b.THREAD_ID <> w.THREAD_ID",
	"SELECT m.THREAD_ID FROM information_schema.PROCESSLIST AS w JOIN information_schema.METADATA_LOCK_INFO AS m" +
		" ON m.THREAD_ID <> w.ID AND m.LOCK_TYPE = 'Table metadata lock' AND INSTR(LOWER(w.INFO), LOWER(m.TABLE_NAME)) > 0" +
		" AND (m.TABLE_SCHEMA = w.DB OR INSTR(LOWER(w.INFO), LOWER(m.TABLE_SCHEMA)) > 0)" +
		" WHERE w.ID IN ({ids}) AND " + waitsForMetadata,
}

// suspects are the transactions that are open in the same database, where a connection waits for metadata and the server
// doesn't tell for whom.
const suspects = "SELECT t.trx_mysql_thread_id FROM information_schema.PROCESSLIST AS w JOIN information_schema.PROCESSLIST AS s ON s.DB = w.DB AND s.ID <> w.ID" +
	" JOIN information_schema.INNODB_TRX AS t ON t.trx_mysql_thread_id = s.ID WHERE w.ID IN ({ids}) AND " + waitsForMetadata

func (m mysql) blockers(ctx context.Context, pool *sql.DB, waiting []Waiting) (list []Blocker, err error) {
	quoting, _ := m.Quoting()
	for i, query := range append(slices.Clone(blockedBy), suspects) {
		found, failed := readBlockers(ctx, pool, quoting, "SELECT p.ID, p.USER, NULL, CASE WHEN p.COMMAND = 'Sleep' AND t.trx_started IS NOT NULL THEN 'idle in transaction'"+
			" WHEN p.COMMAND = 'Sleep' THEN 'idle' ELSE COALESCE(NULLIF(p.STATE, ''), p.COMMAND) END,"+
			" COALESCE(TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), p.TIME), p.INFO"+
			" FROM information_schema.PROCESSLIST AS p LEFT JOIN information_schema.INNODB_TRX AS t ON t.trx_mysql_thread_id = p.ID"+
			" WHERE p.ID IN ("+strings.ReplaceAll(query, "{ids}", quotedIDs(waiting))+") ORDER BY t.trx_started IS NULL, t.trx_started, p.ID LIMIT "+fmt.Sprint(blockersShown))
		if failed == nil && len(found) > 0 {
			for n := range found {
				found[n].Suspected = i == len(blockedBy)
			}
			return found, nil
		}
		if ctx.Err() != nil {
			return nil, failed
		}
	}
	return nil, nil
}
