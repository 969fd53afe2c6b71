package session

import (
	"context"
	"database/sql/driver"
	"io"
	"reflect"
)

// rows is a result of a session's connection. It implements every optional interface: where the
// driver's rows don't, it answers what database/sql assumes then.
type rows struct {
	c     *conn
	link  *link
	ctx   context.Context // of the query
	inner driver.Rows
}

var (
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

// look reads what the driver knows already. If the session was closed meanwhile, it finds nothing.
func (r *rows) look(f func()) {
	_ = r.link.do(background, func(driver.Conn) error { f(); return nil })
}

func (r *rows) Columns() (names []string) {
	r.look(func() { names = r.inner.Columns() })
	return names
}

// Next reads into memory of its own where the call can be given up.
func (r *rows) Next(dest []driver.Value) error {
	if !r.link.guarded {
		return r.watched(func() error { return r.inner.Next(dest) })
	}
	row, err := watched(r.ctx, r.c, func(driver.Conn) ([]driver.Value, error) {
		row := make([]driver.Value, len(dest))
		return row, r.inner.Next(row)
	})
	copy(dest, row)
	return err
}

func (r *rows) watched(f func() error) error {
	_, err := watched(r.ctx, r.c, func(driver.Conn) (struct{}, error) { return struct{}{}, f() })
	return err
}

func (r *rows) Close() error {
	return r.link.do(r.ctx, func(driver.Conn) error { return r.inner.Close() })
}

func (r *rows) HasNextResultSet() (has bool) {
	if n, ok := r.inner.(driver.RowsNextResultSet); ok {
		r.look(func() { has = n.HasNextResultSet() })
	}
	return has
}

func (r *rows) NextResultSet() error {
	n, ok := r.inner.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	return r.watched(n.NextResultSet)
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	t := reflect.TypeFor[any]()
	if n, ok := r.inner.(driver.RowsColumnTypeScanType); ok {
		r.look(func() { t = n.ColumnTypeScanType(i) })
	}
	return t
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) (name string) {
	if n, ok := r.inner.(driver.RowsColumnTypeDatabaseTypeName); ok {
		r.look(func() { name = n.ColumnTypeDatabaseTypeName(i) })
	}
	return name
}

func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	if n, has := r.inner.(driver.RowsColumnTypeLength); has {
		r.look(func() { length, ok = n.ColumnTypeLength(i) })
	}
	return length, ok
}

func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if n, has := r.inner.(driver.RowsColumnTypeNullable); has {
		r.look(func() { nullable, ok = n.ColumnTypeNullable(i) })
	}
	return nullable, ok
}

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if n, has := r.inner.(driver.RowsColumnTypePrecisionScale); has {
		r.look(func() { precision, scale, ok = n.ColumnTypePrecisionScale(i) })
	}
	return precision, scale, ok
}
