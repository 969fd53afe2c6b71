package session

import (
	"context"
	"database/sql/driver"
)

// stmt is a prepared statement of a session's connection.
type stmt struct {
	c     *conn
	inner driver.Stmt
}

var (
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
)

// newStmt wraps a statement. Whether it has a ColumnConverter can't be said by a return value, so
// that takes a type of its own.
func newStmt(c *conn, inner driver.Stmt) driver.Stmt {
	s := &stmt{c: c, inner: inner}
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
	_ = s.c.raw(func(driver.Conn) error { n = s.inner.NumInput(); return nil })
	return n
}

func (s *stmt) Close() error {
	return s.c.raw(func(driver.Conn) error { return s.inner.Close() })
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	err = s.c.statement(ctx, func(driver.Conn) (err error) {
		res, err = stmtExec(ctx, s.inner, args)
		return err
	})
	return res, err
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	var inner driver.Rows
	err := s.c.statement(ctx, func(driver.Conn) (err error) {
		inner, err = stmtQuery(ctx, s.inner, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &rows{s.c, inner}, nil
}

// CheckNamedValue asks the statement and, if it has no opinion, the connection: database/sql asks
// the connection only where the statement can't be asked.
func (s *stmt) CheckNamedValue(nv *driver.NamedValue) error {
	return s.c.raw(func(dc driver.Conn) error {
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
