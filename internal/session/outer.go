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

// outer is the transaction that a session does all its work in.
type outer struct {
	conn   *conn
	tx     *tx
	cancel context.CancelFunc // of the transaction's own context

	mu   sync.Mutex
	lost error // guarded by mu: why the transaction can't be committed
}

// ErrLost is the error of what uses an outer transaction that can't be committed any more. The
// first cause is in its chain.
var ErrLost = errors.New("session: the transaction is lost")

// InTransaction makes a session that does everything in one transaction on one connection: a
// transaction of its pool is a savepoint, and statements outside are in the outer transaction.
// ctx is for the beginning only.
//
// A migration that fails is rolled back alone. The outer transaction is lost when its connection
// breaks, when a savepoint can't be rolled back, and when a statement outside of a savepoint fails
// and takes it along: PostgreSQL aborts it then, and SQLite rolls it back after some errors, so that
// the next statement would commit by itself. From then on every use fails with [ErrLost].
//
// A savepoint has no isolation level of its own and can't be read-only: BeginTx refuses both. The
// pool has one connection; who holds it and wants a second one waits until its context is done.
func InTransaction(ctx context.Context, parent *sql.DB, cfg Config) (*Session, error) {
	s := Open(parent, cfg)
	s.db.SetMaxOpenConns(1)
	c := &conn{s: s}
	if err := s.attach(ctx, c); err != nil {
		s.stop()
		return nil, err
	}
	s.books.giveBack(c) // it is in nobody's hands
	s.outer = &outer{conn: c}
	// Some drivers watch the context of a transaction to its end, and this one has to survive the
	// caller's: only Commit and Close end it.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopWatching := context.AfterFunc(ctx, cancel)
	tx, err := c.begin(own, driver.TxOptions{})
	if err == nil {
		err = c.link.exec(own, transactionMark)
	}
	if !stopWatching() {
		err = context.Cause(ctx)
	}
	if err != nil {
		if tx != nil && tx.rollback() != nil {
			c.link.spent = true
		}
		cancel()
		s.stop()
		s.dispose(c.link)
		return nil, err
	}
	s.outer.tx, s.outer.cancel = tx, cancel
	return s, nil
}

func (o *outer) lose(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost == nil {
		o.lost = err
	}
}

func (o *outer) lostError() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrLost, o.lost)
}

// watch makes a call, unless the transaction is lost, and notices when the call loses it.
func (o *outer) watch(inSavepoint bool, call func() error) error {
	if err := o.lostError(); err != nil {
		return err
	}
	err := call()
	bad := errors.Is(err, driver.ErrBadConn)
	switch {
	case harmless(err), inSavepoint && !bad: // the end of the savepoint shows what is left
	case bad, o.alive() != nil:
		o.lose(err)
	}
	return err
}

// run executes statements of the session's own, and notices when a statement loses the transaction.
func (o *outer) run(ctx context.Context, inSavepoint bool, queries ...string) error {
	return o.watch(inSavepoint, func() error {
		for _, query := range queries {
			if err := o.conn.link.exec(ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
}

// transactionMark is a savepoint by which the outer transaction is recognised.
const transactionMark = `SAVEPOINT gooseplus_transaction`

// alive fails if the transaction is aborted or gone. SQLite begins another transaction when it is told to make a savepoint,
// so the savepoint that was there before is released first.
func (o *outer) alive() error {
	ctx, cancel := o.conn.link.after(background)
	defer cancel()
	return o.conn.link.run(ctx, []Statement{{Query: `RELEASE ` + transactionMark}, {Query: transactionMark}})
}

// Commit commits the outer transaction and ends the session. An error of the database comes through
// as it is. If the transaction is lost, ctx is done or the session's connection is still in use, it
// is rolled back.
func (s *Session) Commit(ctx context.Context) error {
	if s.outer == nil {
		return errors.New("session: there is no outer transaction to commit")
	}
	if !s.stop() {
		return ErrClosed
	}
	err := s.outer.lostError()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		select {
		case <-s.books.drained:
		default:
			err = errors.New("session: the connection is still in use, so the transaction was not committed")
		}
	}
	if err != nil {
		now, cancel := context.WithCancel(ctx)
		cancel()
		_ = s.outer.rollback(now) // it can't say more than err
		return err
	}
	defer context.AfterFunc(ctx, s.outer.cancel)()
	if err := s.outer.alive(); err != nil {
		s.outer.lose(err)
		_ = s.outer.finish(s.outer.tx.rollback)
		return s.outer.lostError()
	}
	return s.outer.finish(s.outer.tx.commit)
}

// rollback ends the outer transaction when its connection is free, or closes the connection, which
// has the same effect.
func (o *outer) rollback(ctx context.Context) error {
	if err := o.conn.s.books.drain(ctx); err != nil {
		o.cancel()
		return err
	}
	defer time.AfterFunc(restoreFor, o.cancel).Stop()
	err := o.finish(o.tx.rollback)
	if o.lostError() != nil {
		return nil // there was nothing left to roll back, or the server does it
	}
	return err
}

// finish calls the last method of the transaction and gives its connection back, unless that failed.
func (o *outer) finish(end func() error) error {
	c := o.conn
	err := end()
	c.link.spent = c.link.spent || err != nil
	o.cancel()
	c.s.dispose(c.link)
	return err
}
