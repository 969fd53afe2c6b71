package session

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
)

// usual are variables of a session of MySQL with the values that the library relies on: what is executed outside a transaction is
// committed, and what is read is not what was there when the connection was used last; rows are read to the last one, and
// however many a join has; a row can be changed without a key; a COMMIT neither begins another transaction nor ends the
// connection. The server, its init_connect, the DSN or the application may have set others.
var usual = []struct{ name, value, now string }{
	{"autocommit", "1", "@@autocommit"},
	{"sql_select_limit", "18446744073709551615", "@@sql_select_limit"},
	{"sql_big_selects", "1", "@@sql_big_selects"}, // whatever max_join_size is
	{"sql_safe_updates", "0", "@@sql_safe_updates"},
	{"completion_type", "'NO_CHAIN'", "QUOTE(@@completion_type)"},
}

// unusualSQL asks for what has to be set to have the session as it is, "" if that is usual. It is an expression.
var unusualSQL = func() string {
	var parts []string
	for _, v := range usual {
		parts = append(parts, fmt.Sprintf("IF(@@%s = %s, NULL, CONCAT('%s = ', %s))", v.name, v.value, v.name, v.now))
	}
	return "CONCAT_WS(', ', " + strings.Join(parts, ", ") + ")"
}()

var makeUsualSQL = func() string {
	var parts []string
	for _, v := range usual {
		parts = append(parts, v.name+" = "+v.value)
	}
	return "SET " + strings.Join(parts, ", ")
}()

// oneRow ends a query for one row: without it, sql_select_limit may be 0.
const oneRow = " LIMIT 1"

// makeUsual sets all of them if any is unusual, as the server has told.
func (l *link) makeUsual(ctx context.Context, unusual driver.Value) (changed bool, err error) {
	if unusual == "" {
		return false, nil
	}
	return true, l.exec(ctx, makeUsualSQL)
}

// usual makes a connection of a guard of MySQL usual, and has it put back before it is given back: a statement that only reads
// would leave a transaction open in the application's pool. The server is asked once for each connection: what a driver
// knows of the login is older than the server's init_connect.
func (c *conn) usual(ctx context.Context) error {
	s, l := c.s, c.link
	if !s.cfg.endsBySQL || l.inner == nil {
		return nil
	}
	if _, known := s.usual.Load(l.inner); known || l.changed {
		return nil
	}
	row, err := l.queryRow(ctx, "SELECT "+unusualSQL+oneRow)
	if err != nil {
		return err
	}
	if l.changed, err = l.makeUsual(ctx, row[0]); err != nil {
		return err
	}
	if l.changed {
		l.prior = append(l.prior, Statement{Query: "SET " + fmt.Sprint(row[0])})
	} else {
		s.usual.Store(l.inner, true)
	}
	return nil
}
