package session

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// A Kind says what a session knows of the database. The zero Kind knows nothing: connections go back as they are.
type Kind int

const (
	// Other is a database that nothing is known of.
	Other Kind = iota
	// PostgreSQL resets a connection in one round trip.
	PostgreSQL
	// MySQL has nothing of the sort that a driver offers, and new connections are cheap.
	MySQL
	// SQLite has connections that can't be replaced: that of a database in memory is the database.
	SQLite
)

// KindOf is the kind of a dialect.
func KindOf(d dialect.Dialect) Kind {
	switch d.Goose {
	case goose.DialectPostgres:
		return PostgreSQL
	case goose.DialectMySQL:
		return MySQL
	case goose.DialectSQLite3:
		return SQLite
	}
	return Other
}

// networked says whether a network is between here and the database, which may be cut.
func (k Kind) networked() bool { return k == PostgreSQL || k == MySQL }

// markName is a savepoint that is made at the beginning of a transaction: as long as it is there, that transaction is.
const markName = "gooseplus_step"

// resetSQL makes a connection of PostgreSQL new. Prepared statements stay, because the drivers use them again.
const resetSQL = "CLOSE ALL; " + resetSettingsSQL + "; UNLISTEN *; " +
	"SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"

const resetSettingsSQL = "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL"

// ownSettings reads what was set on a connection of PostgreSQL since it was made, as by a hook of the application's
// that is called on each new one, as statements that set it again. The server lists the settings of an
// extension only if that is loaded. It also reads the connection's number and name, and the statements that set it
// again for a transaction only. The settings are listed once for both, because that is what takes the server time. At last it
// says whether the database has functions of its own.
const ownSettings = `SELECT concat(s.stay, format('; SET SESSION AUTHORIZATION %I', session_user), '; SET ROLE ' || r.role),
	pg_catalog.pg_backend_pid()::text, pg_catalog.current_setting('application_name'),
	concat(s.pass, format('; SET LOCAL SESSION AUTHORIZATION %I', session_user), '; SET LOCAL ROLE ' || r.role), (` + hasFunctions + `)::text
	FROM (SELECT string_agg(format('SELECT pg_catalog.set_config(%L, %L, false)', name, setting), '; ') AS stay,
			string_agg(format('SELECT pg_catalog.set_config(%L, %L, true)', name, setting), '; ') AS pass
		FROM pg_catalog.pg_settings WHERE source = 'session' AND context IN ('user', 'superuser')
			AND name NOT LIKE 'transaction\_%' AND name NOT IN ('seed', 'is_superuser')) AS s,
		(SELECT quote_ident(NULLIF(pg_catalog.current_setting('role'), 'none')) AS role) AS r`

// hasFunctions says whether there are functions that are not the server's own, those of extensions too: a trigger, a default or a
// constraint may call them in any statement. Nobody is expected to have a default or a rule call what changes the session among
// the server's own, such as set_config.
const hasFunctions = `EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid >= 16384)`

// untouched says whether a connection of PostgreSQL is as it was when it was borrowed: every step on it was plain, and the
// database has no functions that could have changed it in passing. There is no other way to know. The server lists
// neither the settings of the application's own (SET app.tenant), which a reset would take away, nor what a function has left.
func (l *link) untouched(ctx context.Context) bool {
	if l.meddled || l.outside || l.functions {
		return false
	}
	return l.run(ctx, []Statement{{Query: "SELECT 1 WHERE " + hasFunctions, Check: func(rows int64) error {
		if rows > 0 { // since it was borrowed
			return errReplaced
		}
		return nil
	}}}) == nil
}

// openSQL fails, where nothing else is wrong, exactly if a transaction is open; or, of SQLite, opens one if none is.
func (k Kind) openSQL() string {
	switch k {
	case PostgreSQL: // the clocks of the transaction and of the statement are one where there is no other statement
		return "SELECT 1 / CASE WHEN pg_catalog.now() = pg_catalog.statement_timestamp() THEN 1 ELSE 0 END"
	case MySQL:
		return "SET TRANSACTION READ WRITE"
	default:
		return "BEGIN"
	}
}

// leftOpen asks a connection on which no transaction of the session's is open whether another one is.
func (k Kind) leftOpen(ctx context.Context, l *link) (bool, error) {
	if k == Other {
		return false, nil
	}
	err := l.exec(ctx, k.openSQL())
	if err == nil {
		if k == SQLite {
			err = l.exec(ctx, "ROLLBACK")
		}
		return false, err
	}
	state, text := dialect.SQLState(err), err.Error()
	if k == PostgreSQL && (state == "22012" || state == "25P02") || k == MySQL && strings.Contains(text, "1568") ||
		k == SQLite && strings.Contains(text, "within a transaction") {
		return true, nil
	}
	return false, err
}

// markGone says whether err, of a statement about a savepoint, means that there is no such one.
func (k Kind) markGone(err error) bool {
	switch k {
	case PostgreSQL:
		state := dialect.SQLState(err)
		return state == "3B001" || state == "25P01"
	case SQLite:
		return err != nil && strings.Contains(err.Error(), "no such savepoint")
	}
	return false
}

// pragmas are the settings of a connection of SQLite that statements can change and read.
var pragmas = []string{"foreign_keys", "ignore_check_constraints", "recursive_triggers", "locking_mode", "busy_timeout", "cache_size",
	"synchronous", "temp_store", "legacy_alter_table", "query_only", "read_uncommitted", "writable_schema", "trusted_schema",
	"automatic_index", "secure_delete", "cell_size_check", "reverse_unordered_selects", "threads",
	"journal_size_limit", "fullfsync", "checkpoint_fullfsync", "defer_foreign_keys"}

// lastingPragmas are those of which clean can't take back what they have set: it can't be read, or can't be set back, as where an
// exclusive connection has entered WAL.
var lastingPragmas = []string{"locking_mode", "journal_mode", "case_sensitive_like", "max_page_count", "wal_autocheckpoint", "cache_spill",
	"analysis_limit", "mmap_size", "full_column_names", "short_column_names", "count_changes", "empty_result_callbacks"}

// lasts says whether what a statement does may outlast clean.
func (k Kind) lasts(query string) bool {
	switch k {
	case PostgreSQL:
		return sqltext.Lasts(query)
	case SQLite:
		return slices.ContainsFunc(sqltext.PragmasSet(query), func(name string) bool { return slices.Contains(lastingPragmas, name) })
	}
	return false
}

// remember reads how a connection is made, so that clean can make it so again.
func (l *link) remember(ctx context.Context, k Kind, backend Backend) (err error) {
	switch {
	case k == PostgreSQL:
		row, err := l.queryRow(ctx, ownSettings)
		if dialect.SQLState(err) == "42501" { // somebody has taken pg_settings or pg_proc away from PUBLIC
			l.erred, l.lasting = false, true // what nobody knows can't be put back, so the connection is replaced
			row, err = l.queryRow(ctx, "SELECT '', pg_catalog.pg_backend_pid()::text, pg_catalog.current_setting('application_name'), '', 'true'")
		}
		if err != nil {
			return err
		}
		l.own, l.name = own{fmt.Sprint(row[0]), fmt.Sprint(row[3])}, Named{fmt.Sprint(row[1]), fmt.Sprint(row[2])}
		l.functions = fmt.Sprint(row[4]) != "false"
	case k == MySQL: // and what backend asks, in the same round trip
		query := "SELECT " + unusualSQL + ", CAST(CONNECTION_ID() AS CHAR)"
		asked, both := strings.CutPrefix(backend.Query, "SELECT ")
		if both {
			asked = ", " + asked
		} else {
			asked = ""
		}
		row, err := l.queryRow(ctx, query+asked+oneRow)
		if err != nil && both && backend.Optional && ctx.Err() == nil {
			both = false
			row, err = l.queryRow(ctx, query+oneRow)
		}
		if err != nil {
			return err
		}
		if l.name.ID = fmt.Sprint(row[1]); both {
			l.backend = row[2:]
		}
		_, err = l.makeUsual(ctx, row[0]) // the migrations find it so too; the connection is closed afterwards
		return err
	case k == SQLite:
		before, err := l.sqlite(ctx)
		if err == nil {
			l.before, l.memory = before, before.file == ""
			return nil
		}
		// The library has been built without something: the connection is replaced, if it can be.
		row, err := l.queryRow(ctx, "SELECT COALESCE(file, '') FROM pragma_database_list WHERE name = 'main'")
		if err != nil {
			return err
		}
		l.memory = row[0] == ""
	}
	return nil
}

// sqliteState is what a statement can change of a connection of SQLite.
type sqliteState struct {
	file      string // "" of a database in memory
	pragmas   map[string]string
	attached  []string
	temporary []string // the statements that drop what is temporary
	made      []string // what is attached and what is temporary, each with what it is made of
}

// sqliteQuery reads it all at once.
var sqliteQuery = func() string {
	var parts []string
	for _, name := range pragmas {
		parts = append(parts, "SELECT '"+name+"', p.* FROM pragma_"+name+" AS p")
	}
	return strings.Join(append(parts,
		"SELECT 'file', COALESCE(file, '') FROM pragma_database_list WHERE name = 'main'",
		"SELECT 'attached', name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')",
		"SELECT 'made', name || ' ' || COALESCE(file, '') FROM pragma_database_list WHERE name NOT IN ('main', 'temp')",
		"SELECT 'made', type || ' ' || name || ' ' || COALESCE(sql, '') FROM temp.sqlite_master",
		"SELECT 'temporary', 'DROP ' || type || ' IF EXISTS temp.\"' || replace(name, '\"', '\"\"') || '\"' FROM temp.sqlite_master "+
			"WHERE type IN ('table', 'view', 'trigger') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"), " UNION ALL ")
}()

func (l *link) sqlite(ctx context.Context) (*sqliteState, error) {
	rows, err := call(ctx, l, func(dc driver.Conn) ([][]driver.Value, error) { return queryAll(ctx, dc, sqliteQuery) })
	if err != nil {
		return nil, err
	}
	now := &sqliteState{pragmas: make(map[string]string)}
	for _, row := range rows {
		value := fmt.Sprint(row[1])
		switch what := fmt.Sprint(row[0]); what {
		case "file":
			now.file = value
		case "attached":
			now.attached = append(now.attached, value)
		case "temporary":
			now.temporary = append(now.temporary, value)
		case "made":
			now.made = append(now.made, value)
		default:
			now.pragmas[what] = value
		}
	}
	return now, nil
}

// clean makes a connection as it was when it was borrowed. If it can't be done, the connection has to be closed.
func (l *link) clean(k Kind) error {
	ctx, cancel := l.after(background)
	defer cancel()
	if err := l.undo(ctx, k); err != nil {
		return err
	}
	l.stale, l.outside, l.settings = false, false, settings{}
	return nil
}

func (l *link) undo(ctx context.Context, k Kind) error {
	switch {
	case k == PostgreSQL:
		if l.lasting {
			return errReplaced
		}
		if l.untouched(ctx) {
			return nil
		}
		reset := resetSQL + "; " + l.own.session
		if l.outside {
			reset = "ROLLBACK; " + reset // if there is nothing to roll back, that is no error
		}
		return l.exec(ctx, reset)
	case k == SQLite && l.before != nil:
		return l.cleanSQLite(ctx)
	}
	return errReplaced
}

var errReplaced = fmt.Errorf("session: such a connection is replaced")

// cleanSQLite rolls back what is open, and drops, detaches and sets what is not as it was.
func (l *link) cleanSQLite(ctx context.Context) error {
	if l.lasting && !l.memory {
		return errReplaced
	}
	if l.outside || l.stale {
		_ = l.exec(ctx, "ROLLBACK") // an error, as a rule: there is none
	}
	now, err := l.sqlite(ctx)
	if err != nil {
		return err
	}
	if !l.memory && slices.ContainsFunc(l.before.made, func(was string) bool { return !slices.Contains(now.made, was) }) {
		return errReplaced // a step has taken away or altered what only the application can make again
	}
	var statements []string
	for _, name := range pragmas {
		if was := l.before.pragmas[name]; now.pragmas[name] != was {
			statements = append(statements, "PRAGMA "+name+" = "+was)
		}
	}
	for _, name := range now.attached {
		if !slices.Contains(l.before.attached, name) {
			statements = append(statements, `DETACH DATABASE "`+strings.ReplaceAll(name, `"`, `""`)+`"`)
		}
	}
	for _, drop := range now.temporary {
		if !slices.Contains(l.before.temporary, drop) {
			statements = append(statements, drop)
		}
	}
	if now.pragmas["locking_mode"] != l.before.pragmas["locking_mode"] {
		statements = append(statements, "SELECT count(*) FROM main.sqlite_master") // which lets go of the file
	}
	for _, statement := range statements {
		if err := l.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
