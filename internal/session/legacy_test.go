package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// legacy is a driver that implements nothing that is optional but a ColumnConverter: it writes down
// what it is told, and a query gives its arguments back.
type legacy struct {
	told []string
	fail func(what string) error // nil: nothing fails
}

func (l *legacy) Connect(context.Context) (driver.Conn, error) { return legacyConn{l}, nil }
func (l *legacy) Driver() driver.Driver                        { return nil }
func (l *legacy) tell(what string) error {
	l.told = append(l.told, what)
	if l.fail == nil {
		return nil
	}
	return l.fail(what)
}
func (l *legacy) reset(told ...string) bool {
	same := slices.Equal(l.told, told)
	l.told = nil
	return same
}

type legacyConn struct{ l *legacy }

func (c legacyConn) Prepare(q string) (driver.Stmt, error) { return legacyStmt{c.l, q}, nil }
func (c legacyConn) Close() error                          { return c.l.tell("close") }
func (c legacyConn) Begin() (driver.Tx, error)             { return legacyTx(c), c.l.tell("begin") }

type legacyTx legacyConn

func (t legacyTx) Commit() error   { return t.l.tell("commit") }
func (t legacyTx) Rollback() error { return t.l.tell("rollback") }

type legacyStmt struct {
	l     *legacy
	query string
}

func (s legacyStmt) Close() error                              { return nil }
func (s legacyStmt) NumInput() int                             { return strings.Count(s.query, "?") }
func (s legacyStmt) ColumnConverter(int) driver.ValueConverter { return upper{} }
func (s legacyStmt) Exec([]driver.Value) (driver.Result, error) {
	return driver.RowsAffected(0), s.l.tell(s.query)
}
func (s legacyStmt) Query(args []driver.Value) (driver.Rows, error) {
	return &legacyRows{row: args}, nil
}

// upper makes of the odd type shout what the driver takes.
type upper struct{}

type shout struct{ s string }

func (upper) ConvertValue(v any) (driver.Value, error) {
	if s, ok := v.(shout); ok {
		return strings.ToUpper(s.s), nil
	}
	return driver.DefaultParameterConverter.ConvertValue(v)
}

type legacyRows struct{ row []driver.Value }

func (r *legacyRows) Columns() []string { return make([]string, 1) }
func (r *legacyRows) Close() error      { return nil }
func (r *legacyRows) Next(dest []driver.Value) error {
	if r.row == nil {
		return io.EOF
	}
	if copy(dest, r.row) == 0 {
		dest[0] = []byte("before")
	}
	r.row = nil
	return nil
}

func TestDriverWithoutOptionalInterfaces(t *testing.T) {
	l := new(legacy)
	parent := sql.OpenDB(l)
	defer parent.Close()
	set := Setting{Read: "read", Value: "after", Write: func(v any) Statement { return Statement{Query: "set " + v.(string)} }}
	s := closeAtEnd(t, Open(parent, Config{OnBegin: []Statement{{Query: "fence"}}, Settings: []Setting{set}}))

	exe(t, s.DB(), "one")
	if !l.reset("set after", "one", "set before") {
		t.Error(l.told)
	}
	tx, err := s.DB().Begin()
	if err != nil {
		t.Fatal(err)
	}
	exe(t, tx, "two")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if !l.reset("begin", "fence", "two", "commit") {
		t.Error(l.told)
	}
	for _, db := range []*sql.DB{parent, s.DB()} {
		var got string
		if err := db.QueryRow("?", shout{"x"}).Scan(&got); err != nil || got != "X" {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := db.Exec("?", sql.Named("x", 1)); err == nil {
			t.Error("a named argument is accepted")
		}
		if _, err := db.Exec("?", 1, 2); err == nil {
			t.Error("too many arguments are accepted")
		}
		for _, o := range []sql.TxOptions{{ReadOnly: true}, {Isolation: sql.LevelSerializable}} {
			if _, err := db.BeginTx(t.Context(), &o); err == nil {
				t.Errorf("%+v is accepted", o)
			}
		}
		if err := db.Ping(); err != nil {
			t.Error(err)
		}
	}
	l.reset()
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := s.DB().Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if tx, err = conn.BeginTx(ctx, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) { // waits for the rollback
		t.Error(err)
	}
	if !l.reset("begin", "fence", "rollback", "close") {
		t.Errorf("%v: a connection that nobody can check was kept", l.told)
	}
	_ = tx
}

// TestTransactionThatDoesNotBegin: what fails while a transaction begins leaves no transaction to the parent pool.
func TestTransactionThatDoesNotBegin(t *testing.T) {
	failed := errors.New("failed")
	outer := func(ctx context.Context, parent *sql.DB) error {
		_, err := InTransaction(ctx, parent, Config{})
		return err
	}
	for name, tc := range map[string]struct {
		begin func(context.Context, *sql.DB) error
		fail  string // what fails
		ends  string // the context ends during this
		told  []string
	}{
		"the rollback fails too": {func(ctx context.Context, parent *sql.DB) error {
			s := closeAtEnd(t, Open(parent, Config{OnBegin: []Statement{{Query: "fence"}}}))
			_, err := s.DB().BeginTx(ctx, nil)
			return err
		}, "fence rollback", "", []string{"begin", "fence", "rollback", "close"}},
		"the mark of a whole run fails":           {outer, transactionMark, "", []string{"begin", transactionMark, "rollback"}},
		"and so does the rollback":                {outer, transactionMark + " rollback", "", []string{"begin", transactionMark, "rollback", "close"}},
		"the context ends before a whole run did": {outer, "", transactionMark, []string{"begin", transactionMark, "rollback"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l := &legacy{fail: func(what string) error {
				if what == tc.ends {
					cancel()
				}
				if strings.Contains(tc.fail, what) {
					return failed
				}
				return nil
			}}
			parent := sql.OpenDB(l)
			defer parent.Close()
			err := tc.begin(ctx, parent)
			if want := map[bool]error{true: failed, false: context.Canceled}[tc.ends == ""]; !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
			if told := slices.Clone(l.told); !l.reset(tc.told...) {
				t.Errorf("told %q, want %q", told, tc.told)
			}
			free(t, parent)
		})
	}
}

// instant is a driver that takes no time.
type instant struct{ legacyConn }

func (i instant) Connect(context.Context) (driver.Conn, error) { return i, nil }
func (i instant) Driver() driver.Driver                        { return nil }
func (i instant) Begin() (driver.Tx, error)                    { return i, nil }
func (i instant) Close() error                                 { return nil }
func (i instant) Commit() error                                { return nil }
func (i instant) Rollback() error                              { return nil }
func (i instant) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &legacyRows{row: []driver.Value{int64(1)}}, nil
}
