package history

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

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

// cut shortens s to at most size bytes, at the border of a character, and leaves out what no server takes.
func cut(s string, size int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), size)], "")
}
