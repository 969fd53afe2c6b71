package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/mutex"
)

// postgres is PostgreSQL.
type postgres struct{ dialect.Dialect }

func (postgres) terms() terms {
	return terms{
		appliedAt:   "CAST(EXTRACT(EPOCH FROM CAST(tstamp AS timestamptz)) * 1000000 AS bigint)",
		leadsTo:     schemaOf("?"), // costs the server one look in its catalog
		hides:       "SELECT CASE WHEN row_security_active(to_regclass(?)) THEN 1 ELSE 0 END",
		unusable:    unusable,
		writers:     "LOCK TABLE {table} IN SHARE MODE",
		onDuplicate: " ON CONFLICT (id) DO UPDATE SET ",
		assign:      "% = excluded.%",
		sums:        "CAST(COUNT(*) AS TEXT) || '/' || CAST(COALESCE(SUM(checksum_key), 0) AS TEXT) || '/' || CAST(COALESCE(MAX(requires), 0) AS TEXT)",
		returning:   " RETURNING id",
		cursor:      "DECLARE {cursor} NO SCROLL CURSOR FOR ",
		soon:        "SET LOCAL synchronous_commit = off",
		begin:       mutex.KeepTransaction() + "; ",
		locks:       locks{row: " FOR UPDATE", claims: "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))"},
		together:    true,
		// The process id and the start of the process. The start is missing if the session was set to a role that may not see it.
		connection: "SELECT pid::text || '/' || COALESCE(extract(epoch FROM backend_start)::text, '') FROM pg_stat_get_activity(pg_backend_pid())",
	}
}

// there costs the server much less than a look at the columns.
func (p postgres) there(n dialect.Name) string {
	return "SELECT 1 WHERE to_regclass(" + p.Literal(p.Quote(n)) + ") IS NOT NULL"
}

// unusable reads the search_path, because current_schemas leaves out the schemas that the user may not use.
const unusable = `SELECT format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user)
	FROM (SELECT array_agg(CASE trim(s, ' "') WHEN '$user' THEN current_user::text ELSE trim(s, ' "') END)
		FROM unnest(string_to_array(current_setting('search_path'), ',')) AS s) AS p (path)
	JOIN pg_namespace n ON n.nspname::text = ANY (p.path) JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = ?
	WHERE NOT has_schema_privilege(n.oid, 'USAGE')
		AND array_position(p.path, n.nspname::text) < COALESCE(array_position(p.path, current_schema()::text), 2147483647) LIMIT 1`

// invalidIndexes are those that a statement outside a transaction has left unusable.
const invalidIndexes = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1 LIMIT 10"

// unlessGone has a subtransaction: an error would end the whole transaction.
func (postgres) unlessGone(statement string) string {
	quote := "$gooseplus$"
	for strings.Contains(statement, quote) {
		quote = quote[:len(quote)-1] + "_$"
	}
	return "DO " + quote + " BEGIN " + statement + "; EXCEPTION WHEN undefined_table THEN NULL; END " + quote
}

func (postgres) unsafe(*table) string    { return "" }
func (postgres) unsafeByDefault() string { return "" }

func (p postgres) columns(n dialect.Name) string {
	return "SELECT a.attname, CASE c.relkind WHEN 'p' THEN 1 ELSE 0 END FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid" +
		" WHERE a.attrelid = to_regclass(" + p.Literal(p.Quote(n)) + ") AND a.attnum > 0 AND NOT a.attisdropped"
}

func schemaOf(name string) string {
	return "(SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace" +
		" WHERE c.oid = pg_catalog.to_regclass(" + name + "))"
}

// schemas takes the names as JSON, because no other list works with every driver. It has subqueries, because a join may read
// the tables of that name in all schemas for each name.
func (postgres) schemas(names []string, first, second string) (string, []any) {
	list, _ := json.Marshal(names) // strings can always be JSON
	return `SELECT a.i, CASE WHEN n.oid IS NULL THEN 0 ELSE 1 END,
		(SELECT count(*) FROM pg_class v WHERE v.relname = $2 AND v.relnamespace = n.oid),
		(SELECT count(*) FROM pg_class l WHERE l.relname = $3 AND l.relnamespace = n.oid)
		FROM json_array_elements_text($1::json) WITH ORDINALITY AS a (name, i)
		LEFT JOIN pg_namespace n ON n.nspname = a.name`, []any{string(list), first, second}
}

func (p postgres) candidates(version dialect.Name, names, columns, own string) string {
	schema, atlas := "(SELECT oid FROM pg_namespace WHERE nspname = "+p.Literal(version.Schema)+")", "FALSE"
	if version.Schema == "" {
		schema = "COALESCE((SELECT relnamespace FROM pg_class WHERE oid = to_regclass(" + p.Literal(p.Quote(version)) + "))," +
			" (SELECT oid FROM pg_namespace WHERE nspname = current_schema()))"
		atlas = "refobjid = (SELECT oid FROM pg_namespace WHERE nspname = 'atlas_schema_revisions')"
	}
	// pg_depend is the catalog with an index by schema: there may be thousands of schemas. Tables of extensions don't count.
	return `SELECT * FROM (WITH t AS (SELECT n.nspname, c.relname, c.oid
			FROM (SELECT DISTINCT objid, refobjid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_namespace'::regclass
				AND (refobjid = ` + schema + ` OR ` + atlas + `)) AS d
			JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p') JOIN pg_namespace n ON n.oid = c.relnamespace)
		SELECT t.nspname, t.relname, a.attname FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE lower(t.relname) IN (` + names + `)
			OR EXISTS (SELECT 1 FROM pg_attribute v WHERE v.attrelid = t.oid AND v.attname IN (` + columns + `))
		UNION ALL SELECT t.nspname, '', count(*)::text FROM t WHERE t.nspname <> 'atlas_schema_revisions' AND lower(t.relname) NOT IN (` + own + `)
			AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = t.oid AND e.deptype = 'e') GROUP BY 1) AS found
		ORDER BY 1, 2`
}

func (postgres) creating() string {
	return "SELECT current_schema() WHERE has_schema_privilege(current_schema(), 'CREATE')"
}

func (p postgres) relations(schema string) string {
	return "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = " +
		p.Literal(schema) + ")"
}

// ownSettings make this package's writes independent of the session's settings. They end with their text, which the server
// executes in a transaction of its own.
const ownSettings = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE"

// write sends one text in one round trip, so that no lost connection leaves a transaction half-way.
func (postgres) write(ctx context.Context, pool *sql.DB, statements []string) (int64, error) {
	return rowsAffected(pool.ExecContext(ctx, ownSettings+"; "+strings.Join(statements, "; ")))
}

func (postgres) read(ctx context.Context, pool *sql.DB, f func(Querier) error) error {
	return inTransaction(ctx, pool, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, ownSettings); err != nil {
			return err
		}
		return f(tx)
	})
}

// upgrade is one transaction, which fails if another process has upgraded the table since the look at it.
func (p postgres) upgrade(ctx context.Context, pool *sql.DB, t *table, old layout) (err error) {
	list := []string{t.sql("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT")}
	if old.partitioned {
		whole, err := p.unpartition(ctx, pool, t)
		if err != nil {
			return err
		}
		list = append(list, whole...)
	}
	statements, err := t.upgrade(ctx, pool, old)
	if err != nil {
		return err
	}
	_, err = p.write(ctx, pool, append(list, statements...))
	return err
}

// unpartition returns the statements that make the partition with the rows the whole table. A partition doesn't have the
// privileges that other roles have on the partitioned table, so they are granted again.
func (p postgres) unpartition(ctx context.Context, pool *sql.DB, t *table) (list []string, err error) {
	name := t.name
	name.Table += "_rows"
	rows := p.Quote(name)
	list = []string{t.sql("ALTER TABLE {table} DETACH PARTITION ") + rows, t.sql("DROP TABLE {table}"),
		"ALTER TABLE " + rows + " RENAME TO " + p.Quote(dialect.Name{Table: t.name.Table})}
	err = each(ctx, pool, "SELECT 'GRANT ' || a.privilege_type || ' ON ' || "+p.Literal(t.quoted)+" || ' TO ' ||"+
		" CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END"+
		" FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = to_regclass("+p.Literal(t.quoted)+") AND a.grantee <> c.relowner",
		func(rows *sql.Rows) error {
			var grant string
			err := rows.Scan(&grant)
			list = append(list, grant)
			return err
		})
	return list, err
}

// mutex is made of the quoted and qualified name, so that the search_path of a process doesn't matter. The state table is in the
// schema in which the version table is, or would be created. The server finds that schema at the time of the try.
func (p postgres) mutex(_ context.Context, s *State, db, _ *sql.DB, lease mutex.Lease) (mutex.Mutex, error) {
	key := p.Literal(s.quoted) + "::text"
	if s.name.Schema == "" {
		schema := "COALESCE(" + schemaOf(p.Literal(p.Quote(s.version))) + ", " + schemaOf(p.Literal(s.quoted)) + ", current_schema()::text)"
		key = "COALESCE('\"' || replace(" + schema + ", '\"', '\"\"') || '\".', '') || " + p.Literal(s.quoted)
	}
	return mutex.NewPostgres(db, key, lease), nil
}

func (p postgres) activity(ctx context.Context, pool *sql.DB, c Connection) (a Activity, err error) {
	pid, born, _ := c.number()
	err = p.read(ctx, pool, func(q Querier) (err error) {
		a, err = p.process(ctx, q, pid)
		return err
	})
	if born != "" && a.born != "" && born != a.born {
		a.Gone = true
	}
	a.Own = a.Own && born == a.born
	return a, err
}

// process reads what the server tells about one of its processes, with the rights of the role that the session began with.
func (postgres) process(ctx context.Context, q Querier, pid string) (Activity, error) {
	a := Activity{pid: pid}
	var role, state string
	if _, err := q.ExecContext(ctx, "SET LOCAL ROLE NONE"); err != nil {
		return a, err
	}
	err := q.QueryRowContext(ctx, "SELECT COALESCE(usename::text, ''), COALESCE(usename = session_user, FALSE) AND state IS NOT NULL, COALESCE(state, ''),"+
		" COALESCE(extract(epoch FROM backend_start)::text, ''), COALESCE(state || ' since ' || state_change::text, '')"+
		" FROM pg_stat_activity WHERE pid = "+pid).Scan(&role, &a.Own, &state, &a.born, &a.What)
	if errors.Is(err, sql.ErrNoRows) {
		return Activity{Gone: true}, nil
	}
	a.Idle = strings.HasPrefix(state, "idle")
	a.InTransaction = a.Idle && state != "idle"
	a.Who = fmt.Sprintf("backend pid %s of role %q, which that role or a superuser ends with SELECT pg_terminate_backend(%s)", pid, role, pid)
	return a, err
}

func (p postgres) blocker(ctx context.Context, pool *sql.DB, t *table, id, or string) (a Activity, err error) {
	err = p.read(ctx, pool, func(q Querier) error {
		var pid string
		err := q.QueryRowContext(ctx, t.sql("SELECT pid FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted"+
			" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"+
			" AND relation = to_regclass(?) AND pid <> pg_backend_pid() LIMIT 1", t.quoted)).Scan(&pid)
		if errors.Is(err, sql.ErrNoRows) {
			if there, err := t.IsThere(ctx, q); err != nil || !there {
				a.Gone = true
				return err
			}
			err = q.QueryRowContext(ctx, t.sql("SELECT l.pid FROM {table} AS f JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.transactionid = f.xmax"+
				" AND l.mode = 'ExclusiveLock' AND l.granted WHERE f.id IN (?, ?) AND l.pid <> pg_backend_pid() LIMIT 1", id, or)).Scan(&pid)
		}
		if err == nil {
			a, err = p.process(ctx, q, pid)
		}
		if errors.Is(err, sql.ErrNoRows) {
			a.Gone, err = true, nil
		}
		return err
	})
	return a, err
}

func (p postgres) end(ctx context.Context, pool *sql.DB, _ Connection, a Activity) error {
	_, err := p.write(ctx, pool, []string{"SET LOCAL ROLE NONE", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = " + a.pid +
		" AND extract(epoch FROM backend_start)::text = " + p.Literal(a.born)})
	return err
}

// blockers asks pg_blocking_pids, which costs the server a moment, only of connections that wait for a lock.
func (p postgres) blockers(ctx context.Context, pool *sql.DB, waiting []Waiting) ([]Blocker, error) {
	var list []string
	for _, w := range waiting {
		list = append(list, "("+w.ID+", "+p.Literal(w.Application)+")")
	}
	q, _ := p.Quoting()
	// The catalog hides much of another role's connection from a user without pg_read_all_stats, but not its user and application.
	return readBlockers(ctx, pool, q, "SELECT u.pid, b.usename::text, b.application_name, b.state,"+
		" CAST(EXTRACT(EPOCH FROM clock_timestamp() - COALESCE(b.xact_start, b.state_change)) AS double precision),"+
		" CASE WHEN b.state IS NOT NULL THEN b.query END"+
		" FROM (SELECT DISTINCT unnest(pg_blocking_pids(w.pid)) AS pid FROM pg_stat_activity AS w"+
		" WHERE w.wait_event_type = 'Lock' AND (w.pid, w.application_name) IN ("+strings.Join(list, ", ")+")) AS u"+
		" LEFT JOIN pg_stat_activity AS b ON b.pid = u.pid ORDER BY b.xact_start NULLS LAST, u.pid LIMIT "+fmt.Sprint(blockersShown))
}
