package gooseplustest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"sync"
	"time"
)

// adminConnections is how many connections a process has for the creation and removal of databases. They stay open
// between tests: what tells other processes that this one lives is a lock on each of them.
const adminConnections = 2

// pgAdmin are the connections of this process to a server.
type pgAdmin struct {
	dsn      string
	slots    chan struct{} // one for each of adminConnections that is in use
	relieved func()        // gives back other connections that the process can do without

	mu   sync.Mutex
	idle []*pgConn // guarded by mu; the one used last is at the end, and used next
}

// adminLimit bounds what is done with one of the connections at a time, such as the creation or the removal of a database on
// a server that is busy with many. The wait for the connection doesn't count.
const adminLimit = 2 * time.Minute

// admin calls what with a connection that nobody else uses meanwhile.
func (a *pgAdmin) admin(ctx context.Context, what func(context.Context, *pgConn) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, adminLimit)
	defer cancel()
	c, err := a.ready(ctx, a.take())
	if err != nil {
		return err
	}
	err = what(ctx, c)
	if c.used = time.Now(); err != nil && cut(err) {
		c.used = time.Time{}
	}
	a.put(c)
	return err
}

// ready returns a connection that works: the one that is given, or another one in its place. That is opened first, since
// the old one may have the last lock that says that this process lives: it need not be dead because it doesn't answer.
func (a *pgAdmin) ready(ctx context.Context, old *pgConn) (*pgConn, error) {
	if old != nil && (time.Since(old.used) < time.Second || old.answers(ctx)) {
		return old, nil
	}
	c, err := a.connect(ctx)
	if old == nil {
		return c, err
	}
	if err != nil {
		a.put(old)
		return nil, err
	}
	defer old.close()
	for name := range old.guarding {
		if _, err := c.guard(ctx, name); err != nil {
			return c, nil // whoever uses it will hear what is wrong
		}
	}
	return c, nil
}

func (a *pgAdmin) put(c *pgConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle = append(a.idle, c)
}

// take returns a connection that is open, nil if there is none.
func (a *pgAdmin) take() *pgConn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.idle) == 0 {
		return nil
	}
	last := len(a.idle) - 1
	c := a.idle[last]
	a.idle = a.idle[:last]
	return c
}

// connect opens a connection and lets it say that this process lives.
func (a *pgAdmin) connect(ctx context.Context) (*pgConn, error) {
	connector, err := postgresConnector(a.dsn)
	if err != nil {
		return nil, err
	}
	conn, err := patient{connector, a.relieve}.Connect(ctx)
	if sqlState(err) == "3D000" { // the DSN names no database, or one that isn't there
		dsn, dsnErr := postgresDSN(a.dsn, "postgres")
		if dsnErr != nil {
			return nil, dsnErr
		}
		if connector, err = postgresConnector(dsn); err != nil {
			return nil, err
		}
		conn, err = patient{connector, a.relieve}.Connect(ctx)
	}
	if err != nil {
		return nil, err
	}
	c := &pgConn{conn: conn, guarding: make(map[string]bool)}
	// Some are unknown to older servers, which don't end anything for that reason either.
	err = c.exec(ctx, `DO $$ DECLARE name text; BEGIN
		FOREACH name IN ARRAY '{statement_timeout,lock_timeout,idle_session_timeout,transaction_timeout}'::text[] LOOP
			BEGIN PERFORM set_config(name, '0', false); EXCEPTION WHEN undefined_object THEN NULL; END;
		END LOOP; END $$`)
	if err == nil {
		_, err = c.query(ctx, fmt.Sprintf(`SELECT pg_advisory_lock_shared(%d)::text`, lockKey("process", process)))
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// relieve closes the connections that nobody uses at the moment, except the one whose lock says that this process lives.
func (a *pgAdmin) relieve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for {
		a.mu.Lock()
		if len(a.idle) < 2 {
			a.mu.Unlock()
			break
		}
		one, other := a.idle[0], a.idle[1]
		a.idle = slices.Clone(a.idle[2:])
		a.mu.Unlock()
		if !other.answers(ctx) {
			one, other = other, one
		}
		for name := range one.guarding {
			if _, err := other.guard(ctx, name); err != nil {
				other.used = time.Time{} // the next use finds out what is wrong
			}
		}
		one.close()
		a.put(other)
	}
	a.relieved()
}

// open makes a pool for one of the server's databases. It begins with the connection first, unless that is nil.
func (a *pgAdmin) open(database string, first driver.Conn) (*sql.DB, error) {
	connector, err := a.connector(database)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(withFirst(patient{connector, a.relieve}, first)), nil
}

func (a *pgAdmin) connector(database string) (driver.Connector, error) {
	dsn, err := postgresDSN(a.dsn, database)
	if err != nil {
		return nil, err
	}
	return postgresConnector(dsn)
}

// tryConnect connects to a database. If that fails, who needs the connection will hear why: a test may wait for one, this
// doesn't.
func (a *pgAdmin) tryConnect(ctx context.Context, database string) driver.Conn {
	connector, err := a.connector(database)
	if err != nil {
		return nil
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil
	}
	return conn
}

// drop drops the database of a test.
func (a *pgAdmin) drop(ctx context.Context, name string) error {
	err := a.admin(ctx, func(ctx context.Context, c *pgConn) error {
		c.awaitNobody(ctx, name)
		return c.drop(ctx, name, true)
	})
	if err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}
