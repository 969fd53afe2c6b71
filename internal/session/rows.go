package session

import (
	"bytes"
	"context"
	"database/sql/driver"
	"io"
	"reflect"
	"slices"
)

// rows is a result of a session's connection. It implements every optional interface: where the
// driver's rows don't, it answers what database/sql assumes then.
type rows struct {
	c     *conn
	link  *link
	ctx   context.Context // of the query
	inner driver.Rows

	ahead [][]driver.Value // rows that were read ahead
	end   error            // comes after them
	most  int              // as many were read at once

	after func(error) error // ends the trace of the query
	err   error             // that the rows ended with, not io.EOF
}

var (
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

// optional asks the driver's rows about something, unless they don't know of it.
func optional[T any](r *rows, ask func(T)) {
	if n, ok := r.inner.(T); ok {
		r.look(func() { ask(n) })
	}
}

// look reads what the driver knows already. If the session was closed meanwhile, it finds nothing.
func (r *rows) look(f func()) {
	_ = r.link.do(background, func(driver.Conn) error { f(); return nil })
}

func (r *rows) Columns() (names []string) {
	r.look(func() { names = r.inner.Columns() })
	return names
}

// Next reads the next row.
func (r *rows) Next(dest []driver.Value) error {
	err := r.next(dest)
	if !harmless(err) {
		r.err = err
	}
	return err
}

// next reads ahead, and into memory of its own, where a call can be given up: such a call costs a goroutine.
func (r *rows) next(dest []driver.Value) error {
	if !r.link.guarded {
		return r.watched(func() error { return r.inner.Next(dest) })
	}
	if len(r.ahead) == 0 {
		if r.end != nil {
			return r.end
		}
		r.most = min(max(1, 2*r.most), mostAhead)
		r.ahead, r.end = watched(r.ctx, r.c, func(driver.Conn) ([][]driver.Value, error) { return r.read(len(dest), r.most) })
		if len(r.ahead) == 0 {
			return r.end
		}
	}
	copy(dest, r.ahead[0])
	r.ahead = r.ahead[1:]
	return nil
}

// mostAhead is how many rows are read at once.
const mostAhead = 256

// read reads at most that many rows, and returns an error together with the rows before it. It copies bytes, because a
// driver may use their memory again for the next row.
func (r *rows) read(columns, most int) (list [][]driver.Value, err error) {
	values := make([]driver.Value, columns)
	for len(list) < most {
		if err := r.inner.Next(values); err != nil {
			return list, err
		}
		for i, v := range values {
			if text, ok := v.([]byte); ok {
				values[i] = bytes.Clone(text)
			}
		}
		list = append(list, slices.Clone(values))
	}
	return list, nil
}

func (r *rows) watched(f func() error) error {
	_, err := watched(r.ctx, r.c, func(driver.Conn) (struct{}, error) { return struct{}{}, f() })
	return err
}

func (r *rows) Close() error {
	err := r.c.leave(r.ctx, r.link.do(r.ctx, func(driver.Conn) error { return r.inner.Close() }))
	if r.err != nil {
		_ = r.after(r.err) // it was returned before
		return err
	}
	return r.after(err)
}

func (r *rows) HasNextResultSet() (has bool) {
	optional(r, func(n driver.RowsNextResultSet) { has = n.HasNextResultSet() })
	return has
}

func (r *rows) NextResultSet() error {
	n, ok := r.inner.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	r.ahead, r.end, r.most = nil, nil, 0
	return r.watched(n.NextResultSet)
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	t := reflect.TypeFor[any]()
	optional(r, func(n driver.RowsColumnTypeScanType) { t = n.ColumnTypeScanType(i) })
	return t
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) (name string) {
	optional(r, func(n driver.RowsColumnTypeDatabaseTypeName) { name = n.ColumnTypeDatabaseTypeName(i) })
	return name
}

func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	optional(r, func(n driver.RowsColumnTypeLength) { length, ok = n.ColumnTypeLength(i) })
	return length, ok
}

func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	optional(r, func(n driver.RowsColumnTypeNullable) { nullable, ok = n.ColumnTypeNullable(i) })
	return nullable, ok
}

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	optional(r, func(n driver.RowsColumnTypePrecisionScale) { precision, scale, ok = n.ColumnTypePrecisionScale(i) })
	return precision, scale, ok
}
