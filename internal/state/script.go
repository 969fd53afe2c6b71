package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// statement is one that writes. Its query has {table} for the table and ? for each argument.
type statement struct {
	query string
	args  []any
}

// own are PostgreSQL's settings of what this package writes, whatever the session has: they end with the text that
// they stand in, which the server executes in a transaction of its own.
const own = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE; "

// script executes statements all at once or not at all, and returns how many rows the last of them affected. In a
// transaction of the caller's they are a part of that. On PostgreSQL they are one text, and so one round trip; no
// connection can be cut off with a transaction half-way. What the session has for autocommit, isolation and
// read-only doesn't matter.
func (t *Table) script(ctx context.Context, db Querier, list ...statement) (affected int64, err error) {
	pool, outside := db.(*sql.DB)
	switch {
	case !outside:
		return t.execAll(ctx, db, list)
	case t.dialect.Goose == goose.DialectPostgres:
		texts := make([]string, len(list))
		for i, s := range list {
			texts[i] = t.inline(s.query, s.args)
		}
		return rowsAffected(db.ExecContext(ctx, own+strings.Join(texts, "; ")))
	case t.dialect.Goose != goose.DialectMySQL:
		err = inTransaction(ctx, pool, func(tx *sql.Tx) error {
			affected, err = t.execAll(ctx, tx, list)
			return err
		})
		return affected, err
	case t.autocommits && len(list) == 1:
		return t.execAll(ctx, db, list)
	}
	err = t.explicitly(ctx, pool, "READ WRITE", func(conn *sql.Conn) error {
		affected, err = t.execAll(ctx, conn, list)
		return err
	})
	return affected, err
}

// explicitly calls f between the statements that begin and end a transaction on MySQL, where a session need not
// commit by itself, and may be read-only.
func (t *Table) explicitly(ctx context.Context, pool *sql.DB, mode string, f func(*sql.Conn) error) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	exec := func(ctx context.Context, query string) error { _, err := conn.ExecContext(ctx, query); return err }
	if err = exec(ctx, "START TRANSACTION "+mode); err == nil {
		if err = f(conn); err == nil {
			err = exec(ctx, "COMMIT")
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

// rollBack ends the transaction of a connection. Where the server doesn't confirm it, the connection is closed, which
// ends the transaction too: nobody else must get it as it is.
func rollBack(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err == nil {
		return
	}
	_ = conn.Raw(func(dc any) error {
		if borrowed, ok := dc.(interface{ Discard() }); ok { // one of package session's, which gives its own back
			borrowed.Discard()
		}
		return driver.ErrBadConn
	})
}

// rollbackLimit is how long the answer to a ROLLBACK is waited for.
const rollbackLimit = time.Second

func (t *Table) execAll(ctx context.Context, db Querier, list []statement) (affected int64, err error) {
	for _, s := range list {
		query, args := t.rebind(s.query), s.args
		if t.dialect.Goose == goose.DialectPostgres {
			query, args = t.inline(s.query, s.args), nil
		}
		if affected, err = rowsAffected(db.ExecContext(ctx, query, args...)); err != nil {
			return 0, err
		}
	}
	return affected, nil
}

func rowsAffected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// inline puts the arguments into a statement: with them apart, PostgreSQL's drivers take two round trips, and
// pgx keeps a prepared statement.
func (t *Table) inline(query string, args []any) string {
	var b strings.Builder
	if len(args) == 0 {
		return strings.ReplaceAll(query, "{table}", t.name)
	}
	for i, piece := range strings.Split(query, "?") {
		if i > 0 {
			switch arg := args[i-1].(type) {
			case int, int64:
				fmt.Fprintf(&b, "%d", arg)
			default:
				b.WriteString(t.dialect.Literal(fmt.Sprint(arg)))
			}
		}
		b.WriteString(strings.ReplaceAll(piece, "{table}", t.name))
	}
	return b.String()
}

// rebind puts the table's name and the dialect's placeholders into a statement.
func (t *Table) rebind(query string) string {
	if t.dialect.Goose == goose.DialectPostgres {
		for n := 1; strings.Contains(query, "?"); n++ {
			query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
		}
	}
	return strings.ReplaceAll(query, "{table}", t.name) // last: the name may have any character
}
