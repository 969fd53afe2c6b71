package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// counter is a driver in front of another one that writes down what the database is told.
type counter struct {
	connector driver.Connector
	after     func(statement string) // called when one has been executed; nil: nothing

	mu   sync.Mutex
	told []string
}

// counted opens the place's database once more, through a counter.
func (p *place) counted(t *testing.T) (*sql.DB, *counter) {
	t.Helper()
	c := &counter{connector: plainConnector{p.dsn, p.db.Driver()}}
	if d, ok := p.db.Driver().(driver.DriverContext); ok {
		connector, err := d.OpenConnector(p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		c.connector = connector
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, c
}

type plainConnector struct {
	dsn    string
	driver driver.Driver
}

func (c plainConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c plainConnector) Driver() driver.Driver                        { return c.driver }

func (c *counter) Driver() driver.Driver { return c.connector.Driver() }

func (c *counter) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn, c: c}, nil
}

func (c *counter) tell(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, what)
}

// take returns what the database was told since the last take. The question how a session of MySQL is set is left
// out: a session asks it once for each connection. So is the question who blocks a statement: it is asked where a step takes
// half a second, as on a busy machine.
func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := slices.DeleteFunc(c.told, func(s string) bool {
		return strings.Contains(s, "@@autocommit") && !strings.Contains(s, "CONNECTION_ID") || strings.Contains(s, "pg_blocking_pids") || strings.Contains(s, "information_schema.PROCESSLIST AS p")
	})
	c.told = nil
	return told
}

// quick makes a call that has nothing to do, and returns what the database was told by it. A call that the database doesn't answer
// within a second is made again: a run with the lock looks again under the lock then.
func (c *counter) quick(t *testing.T, call func(context.Context) error) (told []string) {
	t.Helper()
	eventually(t, "the database answers within a second", func() bool {
		c.take()
		began := time.Now()
		if err := call(context.Background()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		told = c.take()
		return took < time.Second
	})
	return told
}

type countedConn struct {
	driver.Conn
	c *counter
}

func (conn *countedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	conn.c.tell(query)
	if q, ok := conn.Conn.(driver.QueryerContext); ok {
		return q.QueryContext(ctx, query, args)
	}
	return nil, errors.New("the driver can't query without preparing")
}

func (conn *countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	conn.c.tell(query)
	e, ok := conn.Conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.New("the driver can't execute without preparing")
	}
	result, err := e.ExecContext(ctx, query, args)
	if conn.c.after != nil && !errors.Is(err, driver.ErrSkip) {
		conn.c.after(query)
	}
	return result, err
}

func (conn *countedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	conn.c.tell("prepare " + query)
	stmt, err := conn.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil || conn.c.after == nil {
		return stmt, err
	}
	return &countedStmt{Stmt: stmt, c: conn.c, query: query}, nil
}

// countedStmt is a statement that was prepared, as MySQL's driver does with any that has arguments.
type countedStmt struct {
	driver.Stmt
	c     *counter
	query string
}

func (s *countedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	s.c.after(s.query)
	return result, err
}

func (conn *countedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	conn.c.tell("BEGIN")
	return conn.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
}
