package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// The functions below call a driver as database/sql does, with its fallbacks for what a driver
// doesn't implement.

func prepare(ctx context.Context, dc driver.Conn, query string) (driver.Stmt, error) {
	if p, ok := dc.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	return dc.Prepare(query) // to execute it, ctx must not have ended
}

func begin(ctx context.Context, dc driver.Conn, opts driver.TxOptions) (driver.Tx, error) {
	if b, ok := dc.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, opts)
	}
	if sql.IsolationLevel(opts.Isolation) != sql.LevelDefault {
		return nil, errors.New("session: the driver does not support non-default isolation level")
	}
	if opts.ReadOnly {
		return nil, errors.New("session: the driver does not support read-only transactions")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	//lint:ignore SA1019 it is all that such a driver has
	return dc.Begin()
}

func stmtExec(ctx context.Context, st driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := st.(driver.StmtExecContext); ok {
		return e.ExecContext(ctx, args)
	}
	values, err := unnamed(ctx, args)
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 it is all that such a driver has
	return st.Exec(values)
}

func stmtQuery(ctx context.Context, st driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := st.(driver.StmtQueryContext); ok {
		return q.QueryContext(ctx, args)
	}
	values, err := unnamed(ctx, args)
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 it is all that such a driver has
	return st.Query(values)
}

// unnamed prepares for a call that takes neither names nor a context.
func unnamed(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, errors.New("session: the driver does not support named parameters")
		}
		values[i] = a.Value
	}
	return values, ctx.Err()
}

// exec executes a statement of the session's own.
func exec(ctx context.Context, dc driver.Conn, query string, args []any) (driver.Result, error) {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return nil, err
		}
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	if e, ok := dc.(driver.ExecerContext); ok {
		if res, err := e.ExecContext(ctx, query, named); err != driver.ErrSkip {
			return res, err
		}
	}
	st, err := prepare(ctx, dc, query)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return stmtExec(ctx, st, named)
}

// queryRow reads the only row of a query of the session's own.
func queryRow(ctx context.Context, dc driver.Conn, query string) ([]driver.Value, error) {
	list, err := queryAll(ctx, dc, query)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, sql.ErrNoRows
	}
	return list[0], nil
}

// queryAll reads all rows of a query of the session's own. Bytes become strings.
func queryAll(ctx context.Context, dc driver.Conn, query string) (list [][]driver.Value, err error) {
	rows, closeRows, err := open(ctx, dc, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeRows()) }()
	for {
		row := make([]driver.Value, len(rows.Columns()))
		switch err := rows.Next(row); err {
		case nil:
		case io.EOF:
			return list, nil
		default:
			return nil, err
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok { // the driver's own memory
				row[i] = string(b)
			}
		}
		list = append(list, row)
	}
}

func open(ctx context.Context, dc driver.Conn, query string) (driver.Rows, func() error, error) {
	if q, ok := dc.(driver.QueryerContext); ok {
		rows, err := q.QueryContext(ctx, query, nil)
		if err == nil {
			return rows, rows.Close, nil
		}
		if err != driver.ErrSkip {
			return nil, nil, err
		}
	}
	st, err := prepare(ctx, dc, query)
	if err != nil {
		return nil, nil, err
	}
	rows, err := stmtQuery(ctx, st, nil)
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	return rows, func() error { return errors.Join(rows.Close(), st.Close()) }, nil
}
