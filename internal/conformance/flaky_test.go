package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// flaky is a driver in front of another one that loses answers: what it was told is executed, and
// then the connection is gone.
type flaky struct {
	connector driver.Connector
	before    func(statement string)       // called before a statement or "COMMIT"; nil: nothing
	lose      func(statement string) bool  // asked after it; nil: never
	answer    error                        // given instead; nil: driver.ErrBadConn
	refuse    func(statement string) error // instead of executing it or "COMMIT"; nil: never

	mu   sync.Mutex // guards what is below, and is held while lose is asked
	lost int
}

// flaky opens the place's database once more, through a flaky driver.
func (p *place) flaky(t *testing.T) (*sql.DB, *flaky) {
	t.Helper()
	_, counter := p.counted(t)
	f := &flaky{connector: counter.connector}
	db := sql.OpenDB(f)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, f
}

// over is a Migrator on another pool than the place's own.
func (p *place) over(db *sql.DB, opts ...gooseplus.Option) *gooseplus.Migrator {
	return gooseplus.New(db, append([]gooseplus.Option{gooseplus.WithDialect(p.dialect)}, opts...)...)
}

// wantLost asserts how many answers were lost, without which a test shows nothing.
func (f *flaky) wantLost(t *testing.T, want int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost != want {
		t.Errorf("%d answers were lost, want %d", f.lost, want)
	}
}

// once loses one answer: the first to a statement with all the texts that comes after one with
// the trigger.
func once(trigger string, texts ...string) func(string) bool {
	const armed, fired = 1, 2
	state := 0
	return func(statement string) bool {
		if state == armed {
			for _, text := range texts {
				if !strings.Contains(statement, text) {
					return false
				}
			}
			state = fired
			return true
		}
		if state != fired && strings.Contains(statement, trigger) {
			state = armed
		}
		return false
	}
}

func (f *flaky) Driver() driver.Driver { return f.connector.Driver() }

func (f *flaky) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := f.connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &flakyConn{Conn: conn, f: f}, nil
}

type flakyConn struct {
	driver.Conn
	f    *flaky
	dead bool
}

// tell says whether the connection is still there to be told a statement.
func (c *flakyConn) tell(statement string) bool {
	if c.f.before != nil && !c.dead {
		c.f.before(statement)
	}
	return !c.dead
}

// lost says whether the answer to a statement, which has been executed, gets lost.
func (c *flakyConn) lost(statement string, err error) bool {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	if err != nil || c.f.lose == nil || !c.f.lose(statement) {
		return false
	}
	c.f.lost++
	return true
}

// die closes the connection below.
func (c *flakyConn) die() error {
	c.dead = true
	_ = c.Conn.Close()
	if c.f.answer != nil {
		return c.f.answer
	}
	return driver.ErrBadConn
}

// refused is the error of a statement that is not executed.
func (f *flaky) refused(statement string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil {
		return nil
	}
	return f.refuse(statement)
}

func (c *flakyConn) IsValid() bool { return !c.dead }

func (c *flakyConn) Close() error {
	if c.dead {
		return nil
	}
	return c.Conn.Close()
}

func (c *flakyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if !c.tell(query) {
		return nil, driver.ErrBadConn
	}
	if err := c.f.refused(query); err != nil {
		return nil, err
	}
	q, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return nil, errors.New("the driver can't query without preparing")
	}
	rows, err := q.QueryContext(ctx, query, args)
	if c.lost(query, err) {
		_ = rows.Close()
		return nil, c.die()
	}
	return rows, err
}

func (c *flakyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !c.tell(query) {
		return nil, driver.ErrBadConn
	}
	if err := c.f.refused(query); err != nil {
		return nil, err
	}
	e, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.New("the driver can't execute without preparing")
	}
	result, err := e.ExecContext(ctx, query, args)
	if c.lost(query, err) {
		return nil, c.die()
	}
	return result, err
}

func (c *flakyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.dead {
		return nil, driver.ErrBadConn
	}
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &flakyStmt{Stmt: stmt, conn: c, query: query}, nil
}

type flakyStmt struct {
	driver.Stmt
	conn  *flakyConn
	query string
}

func (s *flakyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.conn.dead {
		return nil, driver.ErrBadConn
	}
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	if s.conn.lost(s.query, err) {
		_ = s.Stmt.Close()
		return nil, s.conn.die()
	}
	return result, err
}

func (s *flakyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (s *flakyStmt) Close() error {
	if s.conn.dead {
		return nil
	}
	return s.Stmt.Close()
}

func (c *flakyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.dead {
		return nil, driver.ErrBadConn
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &flakyTx{tx: tx, conn: c}, nil
}

type flakyTx struct {
	tx   driver.Tx
	conn *flakyConn
}

func (t *flakyTx) Commit() error {
	if !t.conn.tell("COMMIT") {
		return driver.ErrBadConn
	}
	if err := t.conn.f.refused("COMMIT"); err != nil {
		return errors.Join(err, t.tx.Rollback())
	}
	err := t.tx.Commit()
	if t.conn.lost("COMMIT", err) {
		return t.conn.die()
	}
	return err
}

func (t *flakyTx) Rollback() error {
	if t.conn.dead {
		return driver.ErrBadConn
	}
	return t.tx.Rollback()
}
