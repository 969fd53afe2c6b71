package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"
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

	// ending is done when the session ends: nobody waits for the parent's connections any more.
	ending context.Context
	end    context.CancelFunc

	mu      sync.Mutex
	inUse   map[*conn]struct{} // guarded by mu: what db has and has not given back
	closed  bool               // guarded by mu: nothing is added to inUse any more
	drained chan struct{}      // closed when closed is true and inUse is empty, under mu
}

// Open makes a session over connections of parent, which are borrowed when they are needed. It does
// not use the database. The session's pool takes over the limit of connections that parent has now:
// goose looks at it before it runs what would need a second one.
func Open(parent *sql.DB, cfg Config) *Session {
	s := &Session{
		parent: parent, cfg: cfg,
		inUse:   make(map[*conn]struct{}),
		drained: make(chan struct{}),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.db = sql.OpenDB(connector{s})
	s.db.SetMaxIdleConns(-1) // an idle connection of the session would be missing in parent
	s.db.SetMaxOpenConns(parent.Stats().MaxOpenConnections)
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
		return s.rollback(ctx)
	}
	return s.drain(ctx)
}

// stop lets nobody in any more. It is true the first time.
func (s *Session) stop() bool {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	if first && len(s.inUse) == 0 {
		close(s.drained)
	}
	s.mu.Unlock()
	s.end()
	s.db.Close() // it has no idle connections, so nothing can fail
	return first
}

// forcedFor is how long Close stays with connections that it has to close.
const forcedFor = time.Second

// drain waits until no connection is in use, and closes those that are when ctx is done.
func (s *Session) drain(ctx context.Context) error {
	select {
	case <-s.drained:
		return nil
	default:
	}
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
	}
	var forgotten []*conn
	s.mu.Lock()
	for c := range s.inUse {
		forgotten = append(forgotten, c)
	}
	s.mu.Unlock()
	if len(forgotten) == 0 {
		return nil
	}
	var closing sync.WaitGroup
	for _, c := range forgotten {
		closing.Go(c.link.discard) // waits for the statement that is running
	}
	closed := make(chan struct{})
	go func() { closing.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(forcedFor):
	}
	return fmt.Errorf("session: %d connections were still in use when it was closed: %w", len(forgotten), context.Cause(ctx))
}

// take enters a connection in the books.
func (s *Session) take(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.inUse[c] = struct{}{}
	return nil
}

// giveBack strikes it out.
func (s *Session) giveBack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.inUse[c]; !ok {
		return
	}
	delete(s.inUse, c)
	if s.closed && len(s.inUse) == 0 {
		close(s.drained)
	}
}

// connector makes the connections of a session's pool.
type connector struct{ s *Session }

func (k connector) Driver() driver.Driver { return k.s.parent.Driver() }

func (k connector) Connect(ctx context.Context) (driver.Conn, error) {
	if o := k.s.outer; o != nil {
		if err := o.lostError(); err != nil {
			return nil, err
		}
		if err := k.s.take(o.conn); err != nil {
			return nil, err
		}
		return o.conn, nil
	}
	c, err := k.s.borrow(ctx)
	if err != nil {
		return nil, err
	}
	if err := k.s.take(c); err != nil {
		c.release() // the error that counts is the first
		return nil, err
	}
	return c, nil
}

// borrow takes a connection from the parent pool, for which it may have to wait.
func (s *Session) borrow(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ending, func() { cancel(ErrClosed) })()
	l, err := connect(ctx, s.parent, s.cfg.Guarded)
	if err != nil {
		if context.Cause(ctx) == ErrClosed {
			return nil, ErrClosed
		}
		return nil, err
	}
	c := &conn{s: s, link: l}
	if err = c.find(ctx); err != nil {
		c.release() // the error that counts is the first
		return nil, err
	}
	return c, nil
}
