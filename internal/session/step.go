package session

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
)

// Step is one migration in one direction, as far as a session has to know it.
type Step struct {
	Function      bool // it is a Go function
	InTransaction bool // goose opens a transaction for it
	// Watched says that it might end that transaction, or change settings of its connection.
	Watched bool
	// Plain says that it leaves its connection as it was, so that the next step can have that without a reset.
	Plain bool
}

// stepState is the step that a session is at.
type stepState struct {
	Step
	ctx    context.Context
	number int
	active bool
	done   bool // its own statements are executed
	ended  bool // it has ended the transaction that it was in
	txs    map[*tx]struct{}
}

// early says whether a COMMIT comes from a Go migration, and not from goose when that is done.
func (s stepState) early() bool { return s.active && s.Function && s.InTransaction && !s.done }

// meddles says whether the step may have changed its session.
func (s stepState) meddles() bool { return !s.Plain || s.ended }

var (
	// ErrLeftOpen is the error of a step that has begun a transaction and not ended it.
	ErrLeftOpen = errors.New("it leaves a transaction of its own open (BEGIN without COMMIT): that was rolled back")
	// ErrEnded is the error of a Go migration that has ended the transaction that it was given.
	ErrEnded = errors.New("it has ended the transaction that it was given (COMMIT or ROLLBACK): its other changes may have stayed")
	// errRolledBack is the error of a Go migration that returns no error and has ended the transaction that it was given with
	// Rollback, or with Commit, which is refused.
	errRolledBack = errors.New("it has ended the transaction that it was given (Commit or Rollback of the *sql.Tx), and what could be rolled back was rolled back")
	// errPrepares is the error of a statement that would leave the transaction to somebody else, with the locks of all that it has
	// touched.
	errPrepares = errors.New("PREPARE TRANSACTION and XA PREPARE are not executed: nobody would commit what they prepare, and the version would be recorded all the same")
	// errUndone is the error of a Go migration that returns no error, though a statement of it has failed and the server has rolled
	// back its transaction.
	errUndone = errors.New("the server has rolled back its transaction (for a deadlock or a lock timeout, as a rule), and the migration went on: what it did afterwards may have stayed")
)

// StartStep tells the session that a step is next. Connections that it uses are its own until EndStep.
func (s *Session) StartStep(ctx context.Context, what Step) {
	s.books.note(func(at *stepState) {
		*at = stepState{Step: what, ctx: ctx, number: at.number + 1, active: true, txs: make(map[*tx]struct{})}
	})
}

// Ended says whether the last step has ended the transaction that it was in, so that it may have left something.
func (s *Session) Ended() bool { return s.books.at().ended }

// Finish is called when the step's own statements are executed, before its version is recorded: inTransaction says
// whether in the transaction that goose has opened. It returns an error if the step is to fail. If
// whole is true, the record belongs into that transaction. Otherwise there is none any more, and it belongs into
// another one; the connections that the step has used are the session's no more.
func (s *Session) Finish(ctx context.Context, inTransaction bool) (whole bool, err error) {
	if s.outer != nil {
		return true, s.settle(ctx)
	}
	if s.cfg.Kind == Other {
		return true, nil
	}
	s.books.done()
	open, at := s.books.open(), s.books.at()
	if inTransaction && open == nil { // there is nothing to record
		return true, cmp.Or(context.Cause(ctx), errRolledBack)
	}
	if inTransaction {
		open.mu.Lock()
		defer open.mu.Unlock()
		if open.done {
			return true, cmp.Or(context.Cause(open.ctx), errRolledBack)
		}
		intact, err := open.intact(ctx, s.settled())
		switch {
		case err != nil:
			return true, err
		case at.Function && open.undone(ctx):
			s.books.ended()
			open.link.outside = true
			return true, errUndone
		case at.Function && (at.ended || !intact):
			s.books.ended()
			open.link.outside = true
			return true, ErrEnded
		case intact:
			return true, nil
		}
		s.books.ended()
		open.over, open.link.outside = true, true
	} else if open != nil {
		return false, ErrLeftOpen
	}
	return false, s.leave(ctx, at.Function)
}

// leave looks for transactions that were left open, and lets go of the connections that the step has used. A
// connection that a Go migration has not given back is closed when it is.
func (s *Session) leave(ctx context.Context, function bool) (err error) {
	used := s.books.takeUsed(!function)
	for _, l := range used {
		open, asked := s.cfg.Kind.leftOpen(ctx, l)
		if open {
			asked = ErrLeftOpen
		}
		err = errors.Join(err, asked)
	}
	for _, l := range used {
		s.dispose(l)
	}
	return err
}

// EndStep lets go of what the step has used. A transaction that it left open is rolled back.
func (s *Session) EndStep() {
	var ending sync.WaitGroup
	for _, t := range s.books.forgotten() {
		ending.Go(t.abandon)
	}
	soon(&ending)
	for _, l := range s.books.endStep() {
		s.dispose(l)
	}
}

// Rest lets go of the connection that is kept for the next step: the Keeper has it, or the application again if no step can have
// left anything on it. Otherwise it is closed. There may be another one.
func (s *Session) Rest() {
	kept := s.books.takeKept()
	switch {
	case kept == nil:
	case s.cfg.Keeper == nil && s.untouched(kept):
		_ = kept.giveBack()
	case s.cfg.Keeper == nil, kept.clean(s.cfg.Kind) != nil, !s.cfg.Keeper.put(kept):
		s.discard(kept)
	}
}

func (s *Session) untouched(l *link) bool {
	ctx, cancel := l.after(background)
	defer cancel()
	return l.untouched(ctx)
}

// attach gives a connection of the session's pool, unless it has one, a connection of the parent's: one that the step has used before, the one
// that was kept from the step before, or another one.
func (s *Session) attach(ctx context.Context, c *conn) error {
	if c.link != nil {
		return nil
	}
	l, err := s.take(ctx)
	if err == nil {
		err = s.announce(ctx, l)
	}
	if err == nil && !s.books.enter(c, l) {
		err = ErrClosed
	}
	if err != nil {
		if l != nil {
			s.dispose(l)
		}
		return err
	}
	c.link = l
	return nil
}

func (s *Session) take(ctx context.Context) (*link, error) {
	for {
		l := s.books.take()
		switch {
		case l == nil:
			return s.borrow(ctx)
		case !l.stale:
			return l, nil
		}
		if l.clean(s.cfg.Kind) == nil {
			l.backend = nil // the question may set something too
			return l, s.cfg.Backend.ask(ctx, l)
		}
		s.discard(l)
	}
}

// announce tells the configuration which backend is used next.
func (s *Session) announce(ctx context.Context, l *link) error {
	at := s.books.at()
	again := l.step == at.number && at.number > 0
	l.step, l.meddled = at.number, l.meddled || at.meddles()
	if l.backend == nil || s.cfg.Backend.Found == nil || again {
		return nil
	}
	return guard(func() error { return s.cfg.Backend.Found(ctx, l.backend) })
}

// detach takes the parent's connection away from one of the session's pool, which is closed.
func (s *Session) detach(c *conn) error {
	l := c.link
	l.spent = l.spent || c.enclosed // its rows were never closed
	c.link = nil
	if s.cfg.Kind == Other {
		return s.release(l)
	}
	if !s.books.stay(l) {
		l.stale = l.stale || l.step != s.books.at().number // a Go migration has kept it
		s.dispose(l)
	}
	return nil
}

// dispose lets go of a connection on which a step was executed: the application's pool never gets it as it is.
func (s *Session) dispose(l *link) {
	if l.erred && !l.spent && l.broken() {
		l.spent = true // what has to wait for it must hear of it now
	}
	l.meddled = l.meddled || s.books.at().meddles()
	keepable := s.cfg.Kind == PostgreSQL && s.keeps && !l.outside
	switch {
	case keepable && s.books.keep(l), keepable && s.cfg.Keeper != nil && l.valid() && l.clean(s.cfg.Kind) == nil && s.cfg.Keeper.put(l):
		return
	case l.spent, s.cfg.Kind == MySQL, s.cfg.Kind == PostgreSQL && s.keeps:
	case s.cfg.Kind == Other:
		_ = s.release(l) // the error that counts is another one
		return
	case l.clean(s.cfg.Kind) == nil || l.memory:
		_ = l.giveBack()
		return
	}
	s.discard(l)
}

// discard closes a connection, on which nothing is left open: the server would take its time to notice.
func (s *Session) discard(l *link) {
	s.cfg.Backend.tellLost(l)
	if (l.outside || l.backend != nil) && !l.spent && s.cfg.Kind != Other {
		ctx, cancel := l.after(background)
		_ = l.exec(ctx, "ROLLBACK") // if there is nothing to roll back, that is fine
		switch s.cfg.Kind {
		case MySQL:
			_ = l.exec(ctx, "UNLOCK TABLES")
		case PostgreSQL: // a pooler may keep the server's connection
			_ = l.exec(ctx, resetSQL)
		}
		cancel()
	}
	l.discard()
}

// release returns a connection of a database of which nothing is known as it came, or closes it.
func (s *Session) release(l *link) error {
	if len(l.prior) > 0 && !l.spent {
		l.spent = l.restore() != nil
	}
	if l.spent {
		s.discard(l)
		return nil
	}
	s.cfg.Backend.tellLost(l)
	return l.giveBack()
}

// settle takes back settings of a step in an outer transaction of PostgreSQL, where they would last to its end.
func (s *Session) settle(ctx context.Context) error {
	statements := s.settled()
	if s.cfg.Kind != PostgreSQL || len(statements) == 0 {
		return nil
	}
	l := s.outer.conn.link
	return l.exec(ctx, strings.Join(s.cfg.again(statements, l), "; "))
}

// Again are the statements that take back, in the transaction that is open, the settings of what was executed in it: what comes
// next finds those of a transaction that begins. Only PostgreSQL has settings that statements can change in passing, such as by
// a function that calls set_config. The settings of the fence for a silent network end here. They are taken back for the
// session too.
func (s *Session) Again() string {
	open := s.books.open()
	if s.cfg.Kind != PostgreSQL || open == nil {
		return ""
	}
	open.link.meddled = true
	return strings.Join(s.cfg.again([]string{resetSettingsSQL}, open.link), "; ") + ";\n"
}

// again adds to a reset what the application has set, and what every transaction begins with.
func (c *Config) again(statements []string, l *link) []string {
	statements = append(statements, l.own.local)
	for _, set := range c.OnBeginSettings {
		if !set.unnamed || l.name.Application == "" {
			statements = append(statements, set.Query)
		}
	}
	return statements
}

// settled are the statements of PostgreSQL and MySQL that take back settings of a step, so that its version can be
// recorded in its transaction.
func (s *Session) settled() []string {
	switch {
	case !s.books.at().Watched:
		return nil
	case s.cfg.Kind == PostgreSQL:
		return []string{resetSettingsSQL}
	case s.cfg.Kind == MySQL && s.schema != "":
		return []string{"UNLOCK TABLES", "USE " + s.schema}
	case s.cfg.Kind == MySQL:
		return []string{"UNLOCK TABLES"}
	}
	return nil
}

// marks says whether the transaction that begins is to be marked.
func (s *Session) marks() bool {
	at := s.books.at()
	return at.active && at.Watched && at.InTransaction && !at.done && s.outer == nil &&
		(s.cfg.Kind == PostgreSQL || s.cfg.Kind == SQLite)
}
