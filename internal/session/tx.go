package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// tx is a transaction of a session's connection.
type tx struct {
	c     *conn
	link  *link
	ctx   context.Context // of BeginTx
	inner driver.Tx

	pending bool // what it begins with is still to be executed
	failed  error
	marked  bool // the mark is made
	over    bool // it was ended by what was executed in it

	// mu is held by who ends the transaction, and by the session when a step is done: database/sql rolls back on a goroutine
	// of its own when the context ends.
	mu   sync.Mutex
	done bool // it was told to end. Guarded by mu
}

// BeginTx opens a transaction in which OnBegin is done, or a savepoint of the outer transaction.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.s.outer != nil {
		return c.savepoint(ctx, opts)
	}
	t, err := c.begin(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return t, nil
}

func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(background, driver.TxOptions{}) }

func (c *conn) begin(ctx context.Context, opts driver.TxOptions) (*tx, error) {
	if c.s.cfg.SettingsFirst {
		if err := c.s.attach(c.during(ctx), c); err != nil {
			return nil, err
		}
		if err := c.settle(ctx); err != nil {
			return nil, err
		}
	}
	if c.s.cfg.endsBySQL {
		if err := c.s.attach(c.during(ctx), c); err != nil {
			return nil, err
		}
		if err := c.usual(c.during(ctx)); err != nil {
			return nil, err
		}
	}
	inner, err := raw(ctx, c, func(dc driver.Conn) (driver.Tx, error) { return begin(ctx, dc, opts) })
	if err != nil {
		return nil, err
	}
	c.link.undone, c.link.unsure = false, false
	t := &tx{c: c, link: c.link, ctx: c.during(ctx), inner: inner, pending: true}
	c.tx = t
	c.s.books.opened(t)
	if c.s.cfg.Kind != PostgreSQL || c.s.outer != nil {
		err = t.beginNow(ctx)
	} else {
		err = c.link.run(ctx, c.s.cfg.OnBeginSettings)
	}
	if err == nil {
		err = ctx.Err() // a driver without contexts didn't notice
	}
	if err != nil {
		if t.rollback() != nil {
			t.link.spent = true
		}
		return nil, err
	}
	return t, nil
}

// beforeFirst are the settings of PostgreSQL that may come before SET TRANSACTION, which itself must come before
// anything that takes a snapshot.
var beforeFirst = regexp.MustCompile(`(?is)^(\s+|--[^\n]*\n|/\*.*?\*/)*set\s+((session|local)\s+)?(transaction|transaction_isolation|` +
	`transaction_read_only|transaction_deferrable|lock_timeout|statement_timeout|idle_in_transaction_session_timeout|client_min_messages|` +
	`client_encoding|standard_conforming_strings|check_function_bodies|xmloption|row_security|work_mem|maintenance_work_mem|time\s+zone|timezone|datestyle)\b[^;]*;?\s*$`)

// beginBefore executes what the transaction begins with, unless query has to come first.
func (t *tx) beginBefore(ctx context.Context, query string) error {
	if ends := t.c.s.cfg.Ends; ends != nil && t.c.s.books.at().early() && ends(query) {
		t.c.s.books.ended()
	}
	if t.c.s.books.at().early() && t.undone(ctx) { // and what comes now is in none
		t.link.outside = true
		t.c.s.books.ended()
	}
	if t.failed != nil {
		return t.failed
	}
	if !t.pending || beforeFirst.MatchString(query) {
		return nil
	}
	return t.beginNow(ctx)
}

// undone says whether the server has rolled back the transaction, and goes on without one.
func (t *tx) undone(ctx context.Context) bool {
	if t.link.unsure {
		t.link.unsure = false
		open, err := t.c.s.cfg.Kind.leftOpen(ctx, t.link)
		t.link.undone = t.link.undone || !open && err == nil
	}
	return t.link.undone
}

func (t *tx) beginNow(ctx context.Context) error {
	t.pending = false
	statements := t.c.s.cfg.OnBegin
	if t.c.s.cfg.Kind != PostgreSQL || t.c.s.outer != nil {
		statements = slices.Concat(t.c.s.cfg.OnBeginSettings, statements)
	}
	if t.c.s.marks() {
		statements = withMark(t.c.s.cfg.Kind, statements)
	}
	t.failed = t.link.run(ctx, statements)
	t.marked = t.failed == nil && t.c.s.marks()
	return t.failed
}

// withMark has the mark made, on PostgreSQL in the round trip of another statement, if there is one.
func withMark(k Kind, statements []Statement) []Statement {
	last := len(statements) - 1
	if k != PostgreSQL || last < 0 || len(statements[last].Args) > 0 {
		return append(slices.Clone(statements), Statement{Query: "SAVEPOINT " + markName})
	}
	statements = slices.Clone(statements)
	statements[last].Query = "SAVEPOINT " + markName + "; " + statements[last].Query
	return statements
}

var errEarly = errors.New("a Go migration must not end the transaction that it is given: it was rolled back")

// Commit commits the transaction. That a Go migration asks for it is refused, as what it does afterwards, and its
// version, would not be a part of it.
func (t *tx) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	t.c.inTx = false
	if t.c.s.books.at().early() {
		t.lookForMark()
		return errors.Join(errEarly, t.rollback())
	}
	if t.pending {
		if err := t.beginNow(t.ctx); err != nil {
			return errors.Join(err, t.rollback())
		}
	}
	return t.commit()
}

func (t *tx) commit() error { return t.end("COMMIT", driver.Tx.Commit) }

func (t *tx) rollback() error { return t.end("ROLLBACK", driver.Tx.Rollback) }

// end ends the transaction, with the driver's method or, where that can't be interrupted, the statement that it
// sends.
func (t *tx) end(statement string, method func(driver.Tx) error) error {
	t.c.tx = nil
	defer t.c.s.books.closedTx(t)
	if t.over {
		return nil
	}
	if !t.link.guarded || t.c.s.cfg.Kind != MySQL && !t.c.s.cfg.endsBySQL {
		return t.link.do(t.ctx, func(driver.Conn) error { return method(t.inner) })
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.ctx))
	defer cancel()
	defer context.AfterFunc(t.ctx, func() {
		select {
		case <-ctx.Done():
		case <-time.After(grace):
			cancel()
		}
	})()
	return t.link.exec(ctx, statement)
}

// abandon rolls back a transaction that a step has left open, and takes its connection away from who has it: its locks would
// be in the way of what the run does next.
func (t *tx) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return
	}
	t.done = true
	ctx, cancel := t.link.after(background)
	defer cancel()
	t.link.spent = t.link.exec(ctx, "ROLLBACK") != nil || t.link.spent
	t.link.outside = true
	t.c.s.books.giveBack(t.c)
	t.c.s.dispose(t.link)
}

// Rollback leaves a connection whose transaction's context is done to the pool only if the driver
// can tell whether it is still good, as database/sql does.
func (t *tx) Rollback() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	t.c.inTx = false
	t.lookForMark()
	tells := false
	_ = t.link.do(background, func(dc driver.Conn) error {
		_, resets := dc.(driver.SessionResetter)
		_, validates := dc.(driver.Validator)
		tells = resets && validates
		return nil
	})
	err := t.rollback()
	if t.ctx.Err() != nil && !tells {
		t.link.spent = true
	}
	return err
}

// lookForMark finds out, before a rollback, whether there is anything left to roll back.
func (t *tx) lookForMark() {
	if !t.marked || t.link.lost || t.link.spent {
		return
	}
	t.marked = false
	ctx, cancel := t.link.after(t.ctx)
	defer cancel()
	if t.c.s.cfg.Kind.markGone(t.link.exec(ctx, "ROLLBACK TO SAVEPOINT "+markName)) {
		t.link.outside = true
		t.c.s.books.ended()
	}
}

// intact says whether what was executed in the transaction has left it open. If it was marked, the mark goes. Then it
// executes the statements that make the settings those of the beginning.
func (t *tx) intact(ctx context.Context, settled []string) (bool, error) {
	if t.pending { // what has no statements has nothing but settings
		if err := t.beginNow(ctx); err != nil {
			return true, err
		}
	}
	if t.c.s.cfg.Kind == PostgreSQL && len(settled) > 0 {
		settled = []string{strings.Join(t.c.s.cfg.again(settled, t.link), "; ")}
	}
	if t.marked {
		release := "RELEASE SAVEPOINT " + markName
		if t.c.s.cfg.Kind == PostgreSQL {
			release += "; " + strings.Join(settled, "; ")
			settled = nil
		}
		settled = append([]string{release}, settled...)
	}
	t.marked = false
	var err error
	for _, statement := range settled {
		if err = t.link.exec(ctx, statement); err != nil {
			break
		}
	}
	if t.c.s.cfg.Kind.markGone(err) {
		return false, nil
	}
	if dialect.SQLState(err) == "25P02" {
		return true, nil // what comes next fails too, and says why
	}
	return true, err
}
