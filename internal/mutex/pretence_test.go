package mutex

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// pretender is a server that answers everything as if it had locks. CockroachDB is one.
type pretender struct {
	row    []driver.Value // the answer to a try
	fails  string         // a part of the statement that fails, "" for none
	closed int
}

func (p *pretender) Connect(context.Context) (driver.Conn, error) { return pretence{p}, nil }
func (p *pretender) Driver() driver.Driver                        { return nil }

type pretence struct{ p *pretender }

func (c pretence) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (c pretence) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (c pretence) Close() error                        { c.p.closed++; return nil }
func (c pretence) ExecContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Result, error) {
	if c.p.fails != "" && strings.Contains(statement, c.p.fails) {
		return nil, errors.New(c.p.fails + " was refused")
	}
	return driver.ResultNoRows, nil
}

func (c pretence) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &answer{row: c.p.row}, nil
}

type answer struct {
	row  []driver.Value
	done bool
}

func (a *answer) Columns() []string { return make([]string, len(a.row)) }
func (a *answer) Close() error      { return nil }
func (a *answer) Next(dest []driver.Value) error {
	if a.done {
		return io.EOF
	}
	a.done = true
	copy(dest, a.row)
	return nil
}

// TestServersWithoutLocks: a server that only says that it has taken the lock is an error, never a lock.
func TestServersWithoutLocks(t *testing.T) {
	for name, s := range map[string]struct {
		mutex func(*sql.DB) Mutex
		row   []driver.Value
		text  string
		fails string
	}{
		"PostgreSQL, without a transaction": {func(db *sql.DB) Mutex { return NewPostgres(db, "'k'", Lease{Idle: time.Minute}) },
			[]driver.Value{"k", "1", true, true, true}, "BEGIN was refused", "BEGIN"},
		"PostgreSQL, which takes the lock only once": {func(db *sql.DB) Mutex { return NewPostgres(db, "'k'", Lease{Idle: time.Minute}) },
			[]driver.Value{"k", "1", true, true, true}, "ROLLBACK TO was refused", "ROLLBACK TO"},
		"PostgreSQL, and pg_locks is empty": {func(db *sql.DB) Mutex { return NewPostgres(db, "'k'", Lease{Idle: time.Minute}) },
			[]driver.Value{"k", "1", true, false, true}, "pg_locks", ""},
		"MySQL, and GET_LOCK gives NULL": {func(db *sql.DB) Mutex { return NewMySQL(db, "'k'", time.Minute) },
			[]driver.Value{"k", "k", nil, nil, true}, "NULL", ""},
		"MySQL, and IS_USED_LOCK gives NULL": {func(db *sql.DB) Mutex { return NewMySQL(db, "'k'", time.Minute) },
			[]driver.Value{"k", "k", int64(1), nil, true}, "IS_USED_LOCK", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pretender{row: s.row, fails: s.fails}
			db := sql.OpenDB(p)
			defer db.Close()
			held, err := s.mutex(db).TryLock(context.Background())
			if held != nil || err == nil || !strings.Contains(err.Error(), s.text) {
				t.Errorf("TryLock: %v, %v", held, err)
			}
			if p.closed != 1 {
				t.Errorf("the connection was closed %d times", p.closed)
			}
		})
	}
}
