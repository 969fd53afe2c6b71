package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrClosed is the error of everything that uses a session after its end.
var ErrClosed = errors.New("session: closed")

// Session is a pool of connections that are borrowed from another pool. It may be used by several
// goroutines at once, as far as its *sql.DB may.
type Session struct {
	parent *sql.DB
	cfg    Config
	db     *sql.DB
	outer  *outer // nil unless all is done in one transaction
	schema string // of MySQL, quoted, that the connections begin in; "" is none, or one of the settings
	keeps  bool   // a connection that can be cleaned stays from step to step
	books  books
	direct atomic.Bool // see needsDedicated

	usual sync.Map // its keys are the parent's connections that are known to be usual

	// ending is done when the session ends: nobody waits for the parent's connections any more.
	ending context.Context
	end    context.CancelFunc
}

// Open makes a session over connections of parent, which are borrowed when they are needed. It does
// not use the database. The session's pool takes over the limit of connections that parent has now:
// goose looks at it before it runs what would need a second one.
func Open(parent *sql.DB, cfg Config) *Session {
	s := &Session{
		parent: parent, cfg: cfg,
		books: books{inUse: make(map[*conn]*link), drained: make(chan struct{})},
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.db = sql.OpenDB(connector{s})
	s.db.SetMaxIdleConns(-1) // an idle connection of the session would be missing in parent
	limit := parent.Stats().MaxOpenConnections
	s.keeps = cfg.Kind == PostgreSQL && (limit == 0 || limit >= keepAt)
	if cfg.Most > 0 && (limit == 0 || limit > cfg.Most) {
		limit = cfg.Most
	}
	s.db.SetMaxOpenConns(limit)
	return s
}

// DB is the session's pool. To close it, as goose's Provider does, ends neither the parent nor an
// outer transaction.
func (s *Session) DB() *sql.DB { return s.db }

// Connector makes connections of the session for another pool than DB, which must keep none idle.
// They are the session's all the same: its Close waits for them.
func (s *Session) Connector() driver.Connector { return connector{s} }

// Close ends the session; an outer transaction that is not committed is rolled back. It waits for
// the connections in use until ctx is done: database/sql rolls back transactions whose context is
// done in the background. Those that are still in use then were forgotten, or a statement is
// running; they are closed, as soon as their statement ends, and the error tells how many they are.
// Nothing is left in the parent pool's books afterwards, except for the time of such a statement.
// Close may be called again, and after Commit.
func (s *Session) Close(ctx context.Context) error {
	if !s.stop() {
		return nil
	}
	if s.outer != nil {
		return s.outer.rollback(ctx)
	}
	return s.books.drain(ctx)
}

// stop lets nobody in any more. It is true the first time.
func (s *Session) stop() bool {
	first := s.books.close()
	s.Rest()
	s.end()
	s.db.Close() // it has no idle connections, so nothing can fail
	return first
}

// connector makes the connections of a session's pool.
type connector struct{ s *Session }

func (k connector) Driver() driver.Driver { return k.s.parent.Driver() }

func (k connector) Connect(ctx context.Context) (driver.Conn, error) {
	if o := k.s.outer; o != nil {
		if err := o.lostError(); err != nil {
			return nil, err
		}
		if !k.s.books.enter(o.conn, o.conn.link) {
			return nil, ErrClosed
		}
		return o.conn, nil
	}
	c := &conn{s: k.s}
	if !k.s.books.enter(c, nil) {
		return nil, ErrClosed
	}
	if k.s.cfg.Kind == Other {
		if err := k.s.attach(ctx, c); err != nil {
			k.s.books.giveBack(c)
			return nil, err
		}
	}
	return c, nil
}

// borrow takes a connection from the parent pool, for which it may have to wait.
func (s *Session) borrow(ctx context.Context) (l *link, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ending, func() { cancel(ErrClosed) })()
	if l := s.cfg.Keeper.take(); l != nil && l.valid() {
		l.step, l.backend = 0, nil
		return l, s.cfg.Backend.ask(ctx, l)
	} else if l != nil {
		l.discard()
	}
	for range attempts {
		l, err = s.borrowOnce(ctx)
		if !errors.Is(err, driver.ErrBadConn) {
			break // otherwise the server has closed it while nobody used it
		}
	}
	return l, err
}

// attempts is how many connections are tried that turn out to be dead.
const attempts = 4

func (s *Session) borrowOnce(ctx context.Context) (*link, error) {
	l, err := connect(ctx, s.parent, s.cfg.Guarded || s.cfg.Kind.networked())
	if err != nil {
		if context.Cause(ctx) == ErrClosed {
			return nil, ErrClosed
		}
		return nil, err
	}
	if err = l.remember(ctx, s.cfg.Kind, s.cfg.Backend); err == nil { // before the configuration sets anything
		err = s.cfg.Backend.ask(ctx, l)
	}
	if err != nil {
		l.discard()
		return nil, err
	}
	if s.cfg.Kind == MySQL && s.schema == "" && len(s.cfg.Settings) == 0 {
		row, err := l.queryRow(ctx, "SELECT CONCAT('`', REPLACE(DATABASE(), '`', '``'), '`')")
		if err == nil && row[0] != nil {
			s.schema = fmt.Sprint(row[0])
		}
	}
	if l.memory { // another connection would be another database
		s.db.SetMaxOpenConns(1)
	}
	return l, nil
}

// keepAt is the limit of the parent pool from which on a connection may stay with the session between two steps:
// below, it would be missing.
const keepAt = 5
