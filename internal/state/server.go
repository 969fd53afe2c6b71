package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// MutexKey is an SQL expression for the text that the lock of this table is made of: on PostgreSQL the quoted and
// qualified name, on MySQL the name of the lock. It is resolved by the server at the time of the try, so that
// processes which name the table in different ways have the same lock, whatever their search_path is for otherwise:
// it is in the schema in which the version table is, or would be created.
func (t *Table) MutexKey() string {
	literal := t.dialect.Literal
	if t.dialect.Goose == goose.DialectMySQL {
		name := "CONCAT(COALESCE(NULLIF(" + literal(t.table.Schema) + ", ''), DATABASE(), ''), '.', " + literal(t.table.Table) + ")"
		return "CONCAT('gooseplus:', LEFT(SHA2(CONVERT(IF(@@lower_case_table_names = 0, " + name + ", LOWER(" + name + ")) USING utf8mb4), 256), 48))"
	}
	if t.table.Schema != "" {
		return literal(t.name) + "::text"
	}
	in := func(n string) string {
		return "(SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(" + literal(n) + "))"
	}
	schema := "COALESCE(" + in(t.dialect.Quote(t.version)) + ", " + in(t.name) + ", current_schema()::text)"
	return "COALESCE('\"' || replace(" + schema + ", '\"', '\"\"') || '\".', '') || " + literal(t.name)
}

// Located is the table under the name that the server has found for it.
func (t *Table) Located(key string) *Table {
	located := *t
	if n, err := t.dialect.ParseName(key); err == nil && n.Schema != "" {
		located.table, located.name = n, t.dialect.Quote(n)
	}
	return &located
}

// Autocommitting is the table for sessions that commit each statement by itself.
func (t *Table) Autocommitting() *Table {
	u := *t
	u.autocommits = true
	return &u
}

// reading calls f, which locks rows perhaps and writes nothing, and leaves no transaction open, whatever the session
// is set to.
func (t *Table) reading(ctx context.Context, db *sql.DB, f func(Querier) error) error {
	switch {
	case t.dialect.Goose == goose.DialectPostgres:
		return inTransaction(ctx, db, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, own); err != nil {
				return err
			}
			return f(tx)
		})
	case t.dialect.Goose == goose.DialectMySQL && !t.autocommits:
		return t.explicitly(ctx, db, "READ WRITE", func(conn *sql.Conn) error { return f(conn) })
	}
	return f(db)
}

// File is the path of the file to lock for an SQLite database, one for each state table, beside the
// database's own, which is the second. "" means that the database is in memory.
func (t *Table) File(ctx context.Context, db Querier) (lock, database string, err error) {
	schema := t.table.Schema
	if schema == "" {
		schema = "main"
	}
	err = db.QueryRowContext(ctx, "SELECT COALESCE(file, '') FROM pragma_database_list WHERE name = ? COLLATE NOCASE", schema).Scan(&database)
	if err != nil || database == "" {
		return "", "", err
	}
	return database + "." + url.PathEscape(t.table.Table), database, nil
}

// BackendQuery asks a connection what the server calls it, for a run's steps outside a transaction.
//
// On PostgreSQL that is the process id with its start, which is left out where the session's role may not see it: one
// that was set to another role. On MySQL it is the connection's number, and a lock of the run's own on it: a number
// alone may be another connection's after a restart of the server, and the list of connections shows a user only
// its own.
func (t *Table) BackendQuery(run string) string {
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		return "SELECT pid::text || '/' || COALESCE(extract(epoch FROM backend_start)::text, '') FROM pg_stat_activity WHERE pid = pg_backend_pid()"
	case goose.DialectMySQL:
		return "SELECT CAST(CONNECTION_ID() AS CHAR), GET_LOCK(CONCAT(" + t.dialect.Literal(lockOf(run)) + ", CONNECTION_ID()), 0)"
	}
	return ""
}

// lockOf and the number of a connection are the name of the lock on it.
func lockOf(run string) string { return "gooseplus:" + run + ":" }

// Backend is a connection on which a run was outside a transaction.
type Backend struct {
	Run    string // the run's id
	Name   string // as BackendQuery says
	Holder string // of the run, "" if it is not known
}

func backendID(run, name string) string { return "backend:" + run + ":" + name }

// AddBackend records on which connection a step outside a transaction runs. false means that the run was
// declared dead. The row comes first: whoever declares a run dead closes its fence and looks at these rows then.
func (t *Table) AddBackend(ctx context.Context, db *sql.DB, run, name string) (ours bool, err error) {
	again := " ON CONFLICT (id) DO NOTHING"
	if t.dialect.Goose == goose.DialectMySQL {
		again = " ON DUPLICATE KEY UPDATE backend = VALUES(backend)"
	}
	_, err = t.script(ctx, db, statement{"INSERT INTO {table} (id, kind, run_id, backend) VALUES (?, 'backend', ?, ?)" + again,
		[]any{backendID(run, name), runID(run), name}})
	if err != nil {
		return false, err
	}
	return t.fenced(ctx, db, run)
}

// fenced says whether the fence of a run is there: it was not declared dead.
func (t *Table) fenced(ctx context.Context, db *sql.DB, run string) (ours bool, err error) {
	ask := func(q Querier) error {
		n, err := t.count(ctx, q, "SELECT id FROM {table} WHERE id = "+t.dialect.Literal(fenceID(run)))
		ours = n > 0
		return err
	}
	if t.dialect.Goose == goose.DialectMySQL && !t.autocommits {
		return ours, t.reading(ctx, db, ask)
	}
	err = ask(db)
	return ours, err
}

// DropBackends forgets connections of a run.
func (t *Table) DropBackends(ctx context.Context, db Querier, run string, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	_, err := t.script(ctx, db, dropping(run, names)...)
	return err
}

func dropping(run string, names []string) (list []statement) {
	for _, name := range names {
		list = append(list, statement{"DELETE FROM {table} WHERE id = ?", []any{backendID(run, name)}})
	}
	return list
}

// Backends are all that are recorded, of runs that are under way or were cut off.
func (t *Table) Backends(ctx context.Context, db Querier) (list []Backend, err error) {
	rows, err := db.QueryContext(ctx, "SELECT b.run_id, b.backend, COALESCE((SELECT r.holder FROM "+t.name+" AS r WHERE r.id = b.run_id), '')"+
		" FROM "+t.name+" AS b WHERE b.kind = 'backend' ORDER BY b.id")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b Backend
		if err := rows.Scan(&b.Run, &b.Name, &b.Holder); err != nil {
			return nil, err
		}
		b.Run = strings.TrimPrefix(b.Run, runPrefix)
		list = append(list, b)
	}
	return list, rows.Err()
}

// Activity is what the server does on a connection.
type Activity struct {
	Gone bool
	// Idle says that it waits for its client, and InTransaction that it does so within a transaction.
	Idle, InTransaction bool
	// What changes when it does something else: behind a pooler it may be for somebody else.
	What string
	Own  bool   // it is certain which one it is, and that it is this user's
	Who  string // what it is called, for people, and how somebody else may end it
	pid  string
	born string
}

// Activity says what the server does on a connection of a run. What it hides of another user's connection counts as
// being at work.
func (t *Table) Activity(ctx context.Context, db *sql.DB, b Backend) (a Activity, err error) {
	number, born, _ := strings.Cut(b.Name, "/")
	if _, err := strconv.ParseUint(number, 10, 64); err != nil {
		return Activity{Gone: true}, nil // earlier versions could write a name that is none
	}
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		err = t.reading(ctx, db, func(q Querier) (err error) {
			a, err = t.process(ctx, q, number)
			return err
		})
		switch {
		case a.Gone || err != nil:
		case born != "" && a.born != "" && born != a.born:
			a.Gone = true
		default:
			a.Own = a.Own && born == a.born
		}
	case goose.DialectMySQL:
		a, err = t.thread(ctx, db, b, number)
	default:
		a.Gone = true
	}
	return a, err
}

// process reads what PostgreSQL tells of one of its processes.
func (t *Table) process(ctx context.Context, db Querier, pid string) (Activity, error) {
	a := Activity{pid: pid}
	var role, state string
	// What one's own role may see is not what a role may that the session was set to.
	if _, err := db.ExecContext(ctx, "SET LOCAL ROLE NONE"); err != nil {
		return a, err
	}
	err := db.QueryRowContext(ctx, "SELECT COALESCE(usename::text, ''), COALESCE(usename = session_user, FALSE) AND state IS NOT NULL, COALESCE(state, ''),"+
		" COALESCE(extract(epoch FROM backend_start)::text, ''), COALESCE(state || ' since ' || state_change::text, '')"+
		" FROM pg_stat_activity WHERE pid = "+pid).Scan(&role, &a.Own, &state, &a.born, &a.What)
	if err == sql.ErrNoRows {
		return Activity{Gone: true}, nil
	}
	a.Idle = strings.HasPrefix(state, "idle")
	a.InTransaction = a.Idle && state != "idle"
	a.Who = fmt.Sprintf("backend pid %s of role %q, which that role or a superuser ends with SELECT pg_terminate_backend(%s)", pid, role, pid)
	return a, err
}

// thread reads what MySQL tells of a connection: that it has the run's lock shows that it is the one that is meant.
func (t *Table) thread(ctx context.Context, db *sql.DB, b Backend, id string) (Activity, error) {
	a := Activity{pid: id, What: id, Who: fmt.Sprintf("connection id %s, which its user ends with KILL %s", id, id)}
	var alive bool
	query := "SELECT COALESCE(IS_USED_LOCK(" + t.dialect.Literal(lockOf(b.Run)+id) + ") = " + id + ", FALSE)"
	if strings.Contains(b.Name, "/") { // of an earlier version
		query = "SELECT count(*) > 0 FROM information_schema.processlist WHERE CONCAT(id, '/', @@hostname, ':', @@port) = " + t.dialect.Literal(b.Name)
	}
	if err := db.QueryRowContext(ctx, query).Scan(&alive); err != nil || !alive {
		return Activity{Gone: err == nil}, err
	}
	var command string
	err := db.QueryRowContext(ctx, "SELECT command, user = SUBSTRING_INDEX(USER(), '@', 1) FROM information_schema.processlist WHERE id = "+id).
		Scan(&command, &a.Own)
	if err == sql.ErrNoRows { // it is another user's
		return a, nil
	}
	a.Idle = command == "Sleep"
	return a, err
}

// Blocker is the connection that keeps a run from being declared dead, where the server can tell: the one whose
// transaction has locked the run's fence, or that keeps everybody from the table. nil means that nobody does.
func (t *Table) Blocker(ctx context.Context, db *sql.DB, run string) (*Activity, error) {
	if t.dialect.Goose != goose.DialectPostgres {
		return nil, nil
	}
	var a Activity
	err := t.reading(ctx, db, func(q Querier) error {
		var pid string
		err := q.QueryRowContext(ctx, "SELECT pid FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted"+
			" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"+
			" AND relation = to_regclass("+t.dialect.Literal(t.name)+") AND pid <> pg_backend_pid() LIMIT 1").Scan(&pid)
		if err == sql.ErrNoRows {
			if there, err := t.IsThere(ctx, q); err != nil || !there {
				a.Gone = true
				return err
			}
			err = q.QueryRowContext(ctx, "SELECT l.pid FROM "+t.name+" AS f JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.transactionid = f.xmax"+
				" AND l.mode = 'ExclusiveLock' AND l.granted WHERE f.id IN ("+t.dialect.Literal(fenceID(run))+", "+t.dialect.Literal(runID(run))+")"+
				" AND l.pid <> pg_backend_pid() LIMIT 1").Scan(&pid)
		}
		if err == sql.ErrNoRows {
			a.Gone = true
			return nil
		}
		if err == nil {
			a, err = t.process(ctx, q, pid)
		}
		return err
	})
	if err != nil || a.Gone {
		return nil, err
	}
	return &a, nil
}

// End ends a connection, if it is still the one that was found. Every user may do that with its own.
func (t *Table) End(ctx context.Context, db *sql.DB, b Backend, a Activity) error {
	if t.dialect.Goose == goose.DialectPostgres {
		_, err := t.script(ctx, db, statement{query: "SET LOCAL ROLE NONE"},
			statement{query: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = " + a.pid +
				" AND extract(epoch FROM backend_start)::text = " + t.dialect.Literal(a.born)})
		return err
	}
	conn, err := db.Conn(ctx) // the same for both statements: another one may be on another server
	if err != nil {
		return err
	}
	defer conn.Close()
	var same bool
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(IS_USED_LOCK("+t.dialect.Literal(lockOf(b.Run)+a.pid)+") = "+a.pid+", FALSE)").Scan(&same); err != nil || !same {
		return err
	}
	_, err = conn.ExecContext(ctx, "KILL "+a.pid)
	return err
}
