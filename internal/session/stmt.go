package session

import (
	"context"
	"database/sql/driver"
)

// stmt is a prepared statement of a session's connection.
type stmt struct {
	c     *conn
	link  *link
	inner driver.Stmt
	query string
}

var (
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
)

// newStmt wraps a statement. Whether it has a ColumnConverter can't be said by a return value, so
// that takes a type of its own.
func newStmt(c *conn, inner driver.Stmt, query string) driver.Stmt {
	s := &stmt{c: c, link: c.link, inner: inner, query: query}
	//lint:ignore SA1019 drivers still have it
	if cc, ok := inner.(driver.ColumnConverter); ok {
		return convertingStmt{s, cc}
	}
	return s
}

type convertingStmt struct {
	*stmt
	//lint:ignore SA1019 drivers still have it
	converter driver.ColumnConverter
}

func (s convertingStmt) ColumnConverter(i int) driver.ValueConverter {
	return s.converter.ColumnConverter(i)
}

func (s *stmt) NumInput() (n int) {
	n = -1
	_ = s.link.do(background, func(driver.Conn) error { n = s.inner.NumInput(); return nil })
	return n
}

func (s *stmt) Close() error {
	ctx, cancel := s.link.after(background)
	defer cancel()
	return s.link.do(ctx, func(driver.Conn) error { return s.inner.Close() })
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	ctx = s.c.during(ctx)
	return execute(ctx, s.c, s.query, func(driver.Conn) (driver.Result, error) { return stmtExec(ctx, s.inner, args) })
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	ctx = s.c.during(ctx)
	return queryRows(ctx, s.c, s.query, func(driver.Conn) (driver.Rows, error) { return stmtQuery(ctx, s.inner, args) })
}

// CheckNamedValue asks the statement and, if it has no opinion, the connection: database/sql asks
// the connection only where the statement can't be asked.
func (s *stmt) CheckNamedValue(nv *driver.NamedValue) error {
	return s.link.do(background, func(dc driver.Conn) error {
		if n, ok := s.inner.(driver.NamedValueChecker); ok {
			return n.CheckNamedValue(nv)
		}
		if n, ok := dc.(driver.NamedValueChecker); ok {
			return n.CheckNamedValue(nv)
		}
		return driver.ErrSkip
	})
}

// Exec and Query have to be there, but database/sql calls the methods with a context.

func (s *stmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s *stmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }
