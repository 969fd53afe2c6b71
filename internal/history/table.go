package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// table is a table of a database that gooseplus knows well.
type table struct {
	server  server
	dialect dialect.Dialect
	name    dialect.Name
	quoted  string
}

func newTable(server server, d dialect.Dialect, n dialect.Name) table {
	return table{server, d, n, d.Quote(n)}
}

// exist says whether the table is there. It finds a table in any schema of PostgreSQL's search_path. goose's own check
// compares the name with its quotes, knows only the first schema, and visits every table of that name in the database.
func (t *table) exist(ctx context.Context, db Querier) (bool, error) {
	var one int
	err := db.QueryRowContext(ctx, t.server.there(t.name)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// sql puts the table's name in the place of {table}, and the arguments in the place of the question marks. PostgreSQL
// takes several statements in one text, and so in one round trip and one transaction, only without arguments; and
// with arguments most drivers take two or three round trips for one statement.
func (t *table) sql(query string, args ...any) string {
	var b strings.Builder
	for i, piece := range strings.Split(query, "?") {
		if i > 0 {
			switch arg := args[i-1].(type) {
			case int, int64:
				fmt.Fprint(&b, arg)
			case bool:
				fmt.Fprint(&b, map[bool]int{true: 1}[arg])
			default:
				b.WriteString(t.dialect.Literal(fmt.Sprint(arg)))
			}
		}
		b.WriteString(strings.ReplaceAll(piece, "{table}", t.quoted))
	}
	return b.String()
}

// orChange ends an INSERT that is to change columns of the row instead if there is one with its key.
func (t *table) orChange(columns ...string) string {
	terms := t.server.terms()
	for i, column := range columns {
		columns[i] = strings.ReplaceAll(terms.assign, "%", column)
	}
	return terms.onDuplicate + strings.Join(columns, ", ")
}

// write executes statements all at once or not at all, and returns how many rows the last of them affected. In a
// transaction of the caller's they are a part of it.
func (t *table) write(ctx context.Context, db Querier, statements ...string) (affected int64, err error) {
	if pool, ok := db.(*sql.DB); ok {
		return t.server.write(ctx, pool, statements)
	}
	return executeAll(ctx, db, statements)
}

// executeAll executes statements one after the other, and returns how many rows the last of them affected.
func executeAll(ctx context.Context, db Querier, statements []string) (affected int64, err error) {
	for _, s := range statements {
		if affected, err = rowsAffected(db.ExecContext(ctx, s)); err != nil {
			return 0, err
		}
	}
	return affected, nil
}

// rowsAffected is an error if a driver has returned neither a result nor an error, where database/sql panics.
func rowsAffected(result sql.Result, failed error) (n int64, err error) {
	if failed != nil {
		return 0, failed
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the driver returned neither a result nor an error: it is unknown whether the statement was executed (%v)", p)
		}
	}()
	return result.RowsAffected()
}
