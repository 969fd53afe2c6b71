package mutex

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Server is the lock of a database server. It lives on a connection of its own, and no longer than that connection.
type Server struct {
	db *sql.DB
	words
	found string // an expression for the lock that the server evaluates faster than words.lock, from the last try
}

// words are the statements of one server. {key} stands for the text that try has given, {lock} for an expression.
type words struct {
	begin  string // prepares the connection
	try    string // gives the key, an expression for the lock, whether it is taken, whether the server shows that, and the session's autocommit
	again  string // takes the lock once more, and keeps nothing else; a division by zero is a refusal. "" if try keeps nothing else
	lock   string // an expression for the lock before there was a try
	check  string // says whether this connection has the lock
	free   string // frees the lock and says whether this connection had it, "" if end does
	end    string // gives the connection back as it was
	holder string // gives the number of the connection that has the lock, NULL or no row
	number string // what such a number is called
	takes  string // the function that takes the lock
	shows  string // where the server shows it
}

var _ Mutex = (*Server)(nil)

var errNotHeld = errors.New("another connection has the lock, or nobody")

// TryLock implements Mutex. A connection of the pool may be dead already: then it takes another one.
func (s *Server) TryLock(ctx context.Context) (held Held, err error) {
	for range 3 {
		if held, err = s.tryOnce(ctx); !errors.Is(err, driver.ErrBadConn) {
			break
		}
	}
	return held, err
}

func (s *Server) tryOnce(ctx context.Context) (Held, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	h := &HeldServer{words: s.words, conn: conn, busy: make(chan struct{}, 1)}
	var got, shown sql.NullBool
	err = h.use(ctx, func() error {
		if _, err := conn.ExecContext(ctx, s.begin); err != nil {
			return err
		}
		if err := conn.QueryRowContext(ctx, s.try).Scan(&h.key, &s.found, &got, &shown, &h.autocommits); err != nil {
			return fmt.Errorf("the server refused the lock (%s): %w", s.takes, err)
		}
		if got.Bool && shown.Bool && s.again != "" {
			_, err := conn.ExecContext(ctx, strings.ReplaceAll(s.again, "{lock}", s.found))
			if got.Bool = dialect.SQLState(err) != "22012"; err != nil && got.Bool {
				return err
			}
		}
		if got.Valid && !got.Bool {
			_, err := conn.ExecContext(ctx, s.end)
			return err
		}
		return nil
	})
	switch {
	case err != nil:
	case !got.Valid:
		err = fmt.Errorf("the server refused the lock (%s gave NULL)", s.takes)
	case !got.Bool:
		return nil, h.giveBack()
	case !shown.Bool:
		err = fmt.Errorf("the server says that it has taken the lock (%s), but %s doesn't show it: it has no such lock (CockroachDB doesn't), "+
			"so WithGlobalLock can't be used on it", s.takes, s.shows)
	default:
		return h, nil
	}
	h.Abandon()
	return nil, err
}

// Holder implements Mutex. Those who wait ask often.
func (s *Server) Holder(ctx context.Context) (string, error) {
	var id sql.NullInt64
	err := s.db.QueryRowContext(ctx, strings.ReplaceAll(s.holder, "{lock}", cmp.Or(s.found, s.lock))).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil || !id.Valid {
		return "", err
	}
	return fmt.Sprintf("%s %d", s.number, id.Int64), nil
}

// HeldServer is the lock of a server that this process has.
type HeldServer struct {
	words
	conn *sql.Conn
	// busy is taken by the user of conn. It is a channel because a check can hang in a dead connection for longer than
	// anybody wants to wait for it.
	busy        chan struct{}
	key         string
	autocommits bool
}

// Key is the text that the server has made the lock of.
func (h *HeldServer) Key() string { return h.key }

// Autocommits says whether the pool's connections commit each statement.
func (h *HeldServer) Autocommits() bool { return h.autocommits }

// use calls f when nobody else uses the connection. It doesn't wait for longer than ctx lives.
func (h *HeldServer) use(ctx context.Context, f func() error) error {
	select {
	case h.busy <- struct{}{}:
	case <-ctx.Done():
		return errNoAnswer
	}
	answer := make(chan error, 1)
	go func() {
		err := f()
		<-h.busy
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	select { // it may have answered at the last moment
	case err := <-answer:
		return err
	default:
		return errNoAnswer
	}
}

// ask is an error unless the answer to a query is true.
func (h *HeldServer) ask(ctx context.Context, query string) error {
	var yes sql.NullBool
	err := h.conn.QueryRowContext(ctx, strings.ReplaceAll(query, "{key}", h.key)).Scan(&yes)
	if err == nil && !yes.Bool {
		err = errNotHeld
	}
	return err
}

// Check implements Held. A lock without a statement that frees it lives as long as its transaction. A query of pgx's would keep
// a snapshot there, for which CREATE INDEX CONCURRENTLY waits for ever: pgx sends a text without an answer in another way.
func (h *HeldServer) Check(ctx context.Context) error {
	return h.use(ctx, func() error {
		if h.free != "" {
			return h.ask(ctx, h.check)
		}
		_, err := h.conn.ExecContext(ctx, h.check)
		return err
	})
}

// Release implements Held.
func (h *HeldServer) Release(ctx context.Context) error {
	err := h.use(ctx, func() (err error) {
		if h.free != "" {
			err = h.ask(ctx, h.free)
		}
		_, ended := h.conn.ExecContext(ctx, h.end)
		return errors.Join(err, ended)
	})
	if err != nil {
		h.Abandon()
		return err
	}
	return h.giveBack()
}

func (h *HeldServer) giveBack() error {
	if err := h.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return err
	}
	return nil
}

// Abandon implements Held: it has the pool close the connection, as soon as no call hangs in it any more.
func (h *HeldServer) Abandon() {
	select {
	case h.busy <- struct{}{}:
		h.discard()
	default:
		go func() {
			h.busy <- struct{}{}
			h.discard()
		}()
	}
}

func (h *HeldServer) discard() {
	Discard(h.conn)
	_ = h.conn.Close()
}

// Discard has the pool close a connection instead of giving it to somebody else.
func Discard(conn *sql.Conn) {
	_ = conn.Raw(func(dc any) error {
		if borrowed, ok := dc.(interface{ Discard() }); ok { // one of package session's, which gives its own back
			borrowed.Discard()
		}
		return driver.ErrBadConn
	})
}
