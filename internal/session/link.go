package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// link is a connection of the parent pool while it is borrowed. The driver is called through it and in no
// other way, one call at a time.
type link struct {
	parent  *lent
	guarded bool
	inner   driver.Conn // for the guard, which closes it under a call
	lost    bool        // that has happened: the driver is not called any more

	spent   bool // it must not be used again by anybody
	erred   bool // something on it has failed
	undone  bool // the server has rolled back the transaction that is open on it
	unsure  bool // or it may have
	outside bool // something was executed on it outside the transactions that the session opened
	stale   bool // it is to be cleaned before it is used again
	meddled bool // what may have changed it was executed on it
	memory  bool // it is a database
	lasting bool // what was executed on it may last, whatever is reset

	functions bool // the database has functions, see hasFunctions

	settings
	name    Named          // as it was when it was borrowed
	own     own            // see ownSettings
	before  *sqliteState   // as it was, nil if the connection is to be replaced
	backend []driver.Value // what the server calls it, nil if that is not asked
	step    int            // the one that it is used in
}

// own are the statements that make the application's own settings, for the session or for a transaction: behind a pooler, the
// session is that of others too.
type own struct{ session, local string }

// settings are what the session has set on a connection, and puts back before it returns the connection.
type settings struct {
	set     bool        // Config.Settings are made, or were tried
	unset   error       // why they are not made: no statement may run without them
	changed bool        // it was not usual, and is
	prior   []Statement // put all of it back, in reverse
}

// lent is a connection of the parent pool. database/sql panics if one goroutine closes a connection at the moment at which
// another one begins to use it.
type lent struct {
	conn *sql.Conn
	mu   sync.RWMutex // held for writing by who closes it
}

func (c *lent) Raw(f func(any) error) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.conn.Raw(f)
}

func (c *lent) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.Close()
}

// discard has the pool close it.
func (c *lent) discard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// connect takes a connection from the parent pool, for which it may have to wait. If the driver doesn't
// return though ctx has ended, the connection is closed when it comes.
func connect(ctx context.Context, parent *sql.DB, guarded bool) (*link, error) {
	if !guarded {
		c, err := parent.Conn(ctx)
		return &link{parent: &lent{conn: c}}, err
	}
	take := func() (*sql.Conn, error) { return parent.Conn(ctx) }
	c, _, err := overtime(ctx, take, nil, func(late *sql.Conn) { (&link{parent: &lent{conn: late}}).discard() })
	if err != nil {
		return nil, err
	}
	l := &link{parent: &lent{conn: c}, guarded: true}
	return l, c.Raw(func(dc any) error { l.inner = dc.(driver.Conn); return nil }) // database/sql has no others
}

// call calls the driver. ctx is that of the call, or of the transaction or the rows that it is about: a guarded
// call that outlives it has its connection closed under it, and is given up if that doesn't help. f returns
// all that it finds out. An error does not reach the parent's Raw, which would close a bad connection at once: the
// driver wants to see the rollback of a transaction, also of one that broke.
func call[T any](ctx context.Context, l *link, f func(driver.Conn) (T, error)) (value T, err error) {
	if l.lost {
		return value, driver.ErrBadConn
	}
	direct := func() (value T, err error) {
		gone := l.parent.Raw(func(dc any) error {
			value, err = f(dc.(driver.Conn))
			return nil
		})
		if gone != nil { // the session was closed over it
			return value, ErrClosed
		}
		return value, err
	}
	if !l.guarded || ctx.Done() == nil {
		value, err = direct()
		l.note(ctx, err)
		return value, err
	}
	value, l.lost, err = overtime(ctx, direct, func() { _ = l.inner.Close() }, nil)
	if l.lost {
		var none T
		value, err = none, fmt.Errorf("%w: %w", context.Cause(ctx), errNoAnswer)
	}
	l.note(ctx, err)
	return value, err
}

// note remembers what an error says of the connection. Drivers close one whose call they interrupt, and pgx doesn't
// say so.
func (l *link) note(ctx context.Context, err error) {
	if harmless(err) {
		return
	}
	l.erred, l.undone, l.unsure = true, l.undone || dialect.Undone(err), l.unsure || dialect.MaybeUndone(err)
	l.spent = l.spent || l.lost || errors.Is(err, driver.ErrBadConn) || l.guarded && ctx.Err() != nil
}

// harmless tells the errors that are none: they steer database/sql.
func harmless(err error) bool { return err == nil || err == driver.ErrSkip || err == io.EOF }

// do is call for what returns nothing but an error.
func (l *link) do(ctx context.Context, f func(driver.Conn) error) error {
	_, err := call(ctx, l, func(dc driver.Conn) (struct{}, error) { return struct{}{}, f(dc) })
	return err
}

// run executes statements of the session's own, up to the first that fails.
func (l *link) run(ctx context.Context, statements []Statement) error {
	for _, s := range statements {
		if s.unnamed && l.name.Application != "" {
			continue
		}
		n, err := call(ctx, l, func(dc driver.Conn) (n int64, err error) {
			res, err := exec(ctx, dc, s.Query, s.Args)
			if err == nil && s.Check != nil {
				n, err = res.RowsAffected()
			}
			return n, err
		})
		if err != nil && s.Explain != nil {
			return s.Explain(err)
		}
		if err != nil {
			return err
		}
		if s.Check == nil {
			continue
		}
		if err := guard(func() error { return s.Check(n) }); err != nil {
			return err
		}
	}
	return nil
}

// exec executes a statement of the session's own.
func (l *link) exec(ctx context.Context, query string) error {
	return l.run(ctx, []Statement{{Query: query}})
}

// queryRow reads the first row of a query of the session's own.
func (l *link) queryRow(ctx context.Context, query string) ([]driver.Value, error) {
	return call(ctx, l, func(dc driver.Conn) ([]driver.Value, error) { return queryRow(ctx, dc, query) })
}

// restoreFor bounds what is done on connections after the context of their user.
const restoreFor = 10 * time.Second

// after is a context for what is done on the connection after that of its user. Where the network can be cut, an
// answer that is late costs more than a connection.
func (l *link) after(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := restoreFor
	if l.guarded {
		limit = grace
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// pingFor bounds the question whether a connection still works.
const pingFor = time.Second

func (l *link) valid() bool {
	valid, err := call(background, l, func(dc driver.Conn) (bool, error) {
		v, ok := dc.(driver.Validator)
		return !ok || v.IsValid(), nil
	})
	return err == nil && valid && !l.spent
}

// broken says whether the connection is of no use any more. pgx doesn't say so unless it is asked to use it.
func (l *link) broken() bool {
	if !l.valid() {
		return true
	}
	if !l.erred {
		return false
	}
	ctx, cancel := context.WithTimeout(background, pingFor)
	defer cancel()
	return l.do(ctx, func(dc driver.Conn) error {
		if _, says := dc.(driver.Validator); says {
			return nil
		}
		if p, ok := dc.(driver.Pinger); ok {
			return p.Ping(ctx)
		}
		return nil
	}) != nil
}

// giveBack returns the connection to the parent pool as it is.
func (l *link) giveBack() error {
	if err := l.parent.Close(); err != nil && err != sql.ErrConnDone {
		return err
	}
	return nil
}

// discard has the parent pool close the connection, once no call is on its way; on one that is guarded, that is not
// waited for long. It does not matter who else closed it.
func (l *link) discard() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.parent.discard()
	}()
	if !l.guarded {
		<-done
		return
	}
	select {
	case <-done:
	case <-time.After(closing):
	}
}
