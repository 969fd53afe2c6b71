package gooseplustest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/lib/pq"
)

// pgConn is a connection that databases are created on. It is the driver's own, because a pool would have a goroutine
// between tests, which tests that look for leaks would find.
type pgConn struct {
	conn     driver.Conn
	used     time.Time
	guarding map[string]bool // the templates that it keeps from being removed
}

// answers says whether the connection can be used.
func (c *pgConn) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := c.query(ctx, "SELECT 1")
	return err == nil
}

func (c *pgConn) close() { _ = c.conn.Close() }

func (c *pgConn) exec(ctx context.Context, statement string) error {
	_, err := c.conn.(driver.ExecerContext).ExecContext(ctx, statement, nil)
	return err
}

// query returns the rows of a query whose columns are all text.
func (c *pgConn) query(ctx context.Context, query string, args ...string) (list [][]string, err error) {
	var values []driver.NamedValue
	for i, arg := range args {
		values = append(values, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	rows, err := c.conn.(driver.QueryerContext).QueryContext(ctx, query, values)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(columns); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		row := make([]string, len(columns))
		for i, v := range columns {
			switch v := v.(type) {
			case nil:
			case []byte:
				row[i] = string(v)
			default:
				row[i] = fmt.Sprint(v)
			}
		}
		list = append(list, row)
	}
}

// try takes an advisory lock, shared or not, if it is free.
func (c *pgConn) try(ctx context.Context, shared bool, key int64) (bool, error) {
	function := "pg_try_advisory_lock"
	if shared {
		function += "_shared"
	}
	rows, err := c.query(ctx, fmt.Sprintf("SELECT %s(%d)::text", function, key))
	return err == nil && rows[0][0] == "true", err
}

func (c *pgConn) unlock(ctx context.Context, key int64) error {
	_, err := c.query(ctx, fmt.Sprintf("SELECT pg_advisory_unlock(%d)::text", key))
	return err
}

// drop removes a database, with whoever is connected to it if force is true. A template is none any more then, whatever
// becomes of it: a process may have been killed before the template got its name.
func (c *pgConn) drop(ctx context.Context, database string, force bool) error {
	err := c.dropOnce(ctx, database, force)
	if sqlState(err) != "42809" { // wrong_object_type
		return err
	}
	if err := c.exec(ctx, "ALTER DATABASE "+pq.QuoteIdentifier(database)+" WITH IS_TEMPLATE false"); err != nil {
		return err
	}
	return c.dropOnce(ctx, database, force)
}

// awaitNobody gives connections that were closed just now a moment to end, and says whether they have: DROP DATABASE waits
// for 100 ms if it finds one, and RENAME for five seconds.
func (c *pgConn) awaitNobody(ctx context.Context, database string) bool {
	for range 20 {
		rows, err := c.query(ctx, `SELECT FROM pg_stat_activity WHERE datname = $1 LIMIT 1`, database)
		if err != nil {
			return false // what comes next will say what is wrong
		}
		if len(rows) == 0 {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

func (c *pgConn) dropOnce(ctx context.Context, database string, force bool) error {
	statement := "DROP DATABASE IF EXISTS " + pq.QuoteIdentifier(database)
	if !force {
		return c.exec(ctx, statement)
	}
	err := c.exec(ctx, statement+" WITH (FORCE)")
	// Without being a superuser nobody can end an autovacuum worker, and if there is one, nobody's connection is ended.
	// DROP DATABASE by itself does end the worker, and waits five seconds for the rest to go.
	for attempts := 0; sqlState(err) == "42501" && attempts < 5; attempts++ {
		if err = c.terminate(ctx, database); err == nil {
			err = c.exec(ctx, statement)
		}
		if sqlState(err) == "55006" { // object_in_use
			err = c.exec(ctx, statement+" WITH (FORCE)")
		}
	}
	return err
}

// terminate ends the user's own connections to a database.
func (c *pgConn) terminate(ctx context.Context, database string) error {
	_, err := c.query(ctx, `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
		WHERE usename = current_user AND pid <> pg_backend_pid() AND datname = `+pq.QuoteLiteral(database))
	return err
}

func (c *pgConn) comment(ctx context.Context, database, text string) error {
	return c.exec(ctx, "COMMENT ON DATABASE "+pq.QuoteIdentifier(database)+" IS "+pq.QuoteLiteral(text))
}

func (c *pgConn) rename(ctx context.Context, database, name string) error {
	return c.exec(ctx, "ALTER DATABASE "+pq.QuoteIdentifier(database)+" RENAME TO "+pq.QuoteIdentifier(name))
}

// tied says whether the test has tied a database to what belongs to the whole server: a role that it has given
// something, which can't be dropped as long as the database is there, a tablespace, a replication slot, or a
// prepared transaction. Ties of the template don't count, since other databases have them too.
func (c *pgConn) tied(ctx context.Context, database, template string) (bool, error) {
	rows, err := c.query(ctx, `
		WITH ties AS (
			SELECT b.datname, d.refclassid, d.refobjid FROM pg_shdepend d JOIN pg_database b
			ON b.oid = d.dbid OR d.dbid = 0 AND d.classid = 'pg_database'::regclass AND d.objid = b.oid
			WHERE b.datname IN ($1, $2) AND d.refobjid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
		)
		SELECT FROM ties WHERE datname = $1 AND (refclassid, refobjid) NOT IN (SELECT refclassid, refobjid FROM ties WHERE datname = $2)
		UNION ALL SELECT FROM pg_replication_slots WHERE database = $1
		UNION ALL SELECT FROM pg_prepared_xacts WHERE database = $1
		LIMIT 1`, database, template)
	return err != nil || len(rows) > 0, err
}

// sqlState is the server's code for an error, "" if it isn't the server's.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

// cut says whether the connection that an error comes from may be broken.
func cut(err error) bool {
	state := sqlState(err)
	return state == "" || strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P")
}

// patient waits for a connection as long as the server has none to give: many tests at once must not fail for that. It gives
// back what the process can do without meanwhile, since others may wait for just that.
type patient struct {
	driver.Connector
	relieve func(context.Context)
}

const patience = time.Minute

func (p patient) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		conn, err := p.Connector.Connect(ctx)
		if !isFull(err) {
			return conn, err
		}
		p.relieve(ctx)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// isFull says whether a server has no connection to give.
func isFull(err error) bool {
	var e *mysql.MySQLError
	return sqlState(err) == "53300" || errors.As(err, &e) && (e.Number == 1040 || e.Number == 1203) // of the server, of the user
}
