package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// sessions are the connections on which a run executes its migrations, and how they are set up.
type sessions struct {
	run     *run
	keeper  *session.Keeper  // of the connections of many runs, if this is one of them
	outer   *session.Session // of all parts, with RollbackTransaction
	found   *foundPath       // the schemas of WithSearchPath
	path    []string         // the search_path, nil for that of the connections: see findPath
	mariadb bool             // and not MySQL; asked only if it makes a difference
}

// ask has the server tell what the sessions depend on.
func (s *sessions) ask(ctx context.Context) (err error) {
	if err := s.findPath(ctx); err != nil {
		return err
	}
	s.mariadb, err = s.run.options.statementTimeouts.isMariaDB(ctx, s.run.whole, s.run.db.own)
	return err
}

// connect gives each part the driver of its steps, with a session of its own. With RollbackTransaction all have the same
// session, whose transaction locks the rows of all.
func (s *sessions) connect(ctx context.Context) (err error) {
	r := s.run
	var all session.Config
	for _, p := range r.working {
		if err := p.makeDriver(); err != nil {
			return p.target.named(err)
		}
		if r.options.oneTransaction() {
			if r.holding != nil {
				p.driver.Fence(&all)
			}
			continue
		}
		var own session.Config
		if r.holding != nil {
			p.driver.Fence(&own)
		}
		if p.target.state != nil && p.unfenced() {
			p.driver.Watch(&own)
		}
		s.configure(&own)
		own.Name(r.whole.dialect, p.applicationName())
		p.driver.Connect(session.Open(r.db.pool, own), 0) // no limit: goose's own takes none as long as a Go migration works on another one
	}
	if !r.options.oneTransaction() {
		return nil
	}
	s.configure(&all)
	all.Name(r.whole.dialect, r.working[0].applicationName())
	if s.outer, err = session.InTransaction(ctx, r.db.pool, all); errors.Is(err, drive.ErrDead) {
		return r.holding.declaredDead()
	} else if err != nil {
		return r.whole.tableError(ctx, err)
	}
	for _, p := range r.working {
		p.driver.Connect(s.outer, 1)
	}
	return nil
}

// disconnect gives the connections back. There are some only if a migration has kept them.
func (r *run) disconnect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	for _, p := range r.parts {
		if p.files.reader != nil {
			p.files.reader.Close()
		}
		if err := p.driver.Disconnect(ctx); err != nil {
			p.events.send(Warning{Message: err.Error()})
		}
	}
}

// makeDriver makes the driver of the part's steps.
func (p *part) makeDriver() error {
	if err := p.files.makeReader(); err != nil {
		return err
	}
	retries, lockWait := p.run.options.retries()
	p.driver = drive.New(p.files.reader, drive.Config{
		DB: p.run.db.own, Pool: p.run.db.pool, Dialect: p.target.dialect, Table: p.target.table, State: p.target.state, Run: p.row.id,
		Retries: retries, LockWait: lockWait, Patience: p.run.patience,
		Hooks: drive.Hooks{
			Warn:       func(message string) { p.events.send(Warning{Message: message}) },
			Dead:       func() error { return p.run.holding.declaredDead() },
			Restore:    p.run.restoreBetweenSteps,
			Fenced:     func() bool { return p.failed != nil && p.run.holding.lives() }, // otherwise the next holder is at the fence
			Unreadable: p.target.stateError,
			Remember:   memory{p}.remember,
			Recorded:   p.end.seal.close,
		},
	})
	return nil
}

// unfenced says whether the part may execute anything that no row lock covers: a step, its Down, or what it has to undo
// of runs that were cut off.
func (p *part) unfenced() bool {
	return !p.target.oneWriter() && (len(p.admission.unfinished) > 0 || slices.ContainsFunc(p.steps, plannedStep.unfenced) ||
		slices.ContainsFunc(p.ledger.Owed(), func(v int64) bool { return p.files.step(v).unfenced() }))
}

// configure has a session begin its transactions as the options say, after the fence: a run that has lost the lock waits
// for nothing.
func (s *sessions) configure(cfg *session.Config) {
	r := s.run
	if role := r.whole.role; role != nil {
		cfg.As(r.whole.dialect, *role)
	}
	if path := s.path; len(path) > 0 {
		cfg.Bind(r.whole.dialect, path[0], path[1:]...)
	}
	var t StatementTimeouts
	if r.options.statementTimeouts != nil {
		t = *r.options.statementTimeouts
	}
	cfg.Limit(r.whole.dialect, session.Limits{Lock: t.Lock, Statement: t.Statement, MariaDB: s.mariadb})
	cfg.Trace = r.options.trace
	cfg.Kind, cfg.Ends, cfg.Keeper = session.KindOf(r.whole.dialect), sqltext.ControlsTransactions, s.keeper
	if limit := r.db.pool.Stats().MaxOpenConnections; limit > 0 {
		if r.holding != nil && !r.whole.oneWriter() {
			limit -= 2 // for the lock, and for the run's own statements
		}
		cfg.Most = max(1, limit)
	}
}

// applicationLimit is how many bytes of a connection's name PostgreSQL keeps.
const applicationLimit = 63

// applicationName is what the server calls the run's connections. Of a long version table its end is cut off, not the run.
func (p *part) applicationName() string {
	table := strings.ReplaceAll(p.target.table.Name(), `"`, "")
	table = strings.ToValidUTF8(table[:min(len(table), applicationLimit-len("gooseplus  ")-len(p.row.id))], "")
	return "gooseplus " + table + " " + p.row.id
}

// site is a database as a run reaches it.
type site struct {
	pool *sql.DB // the application's, from which the migrations' connections are borrowed
	// own is for what the run executes for itself: the same connections, but a call that outlives its context, as
	// when the network is cut, is ended.
	own *sql.DB
}

// reach makes a site of the application's pool. Call the returned function when the site isn't used any more.
func (t *target) reach(pool *sql.DB) (site, func()) {
	if !t.dialect.Networked() {
		return site{pool, pool}, func() {}
	}
	var begin []session.Statement
	if t.role != nil {
		begin = append(begin, session.AsRole(t.dialect, *t.role))
	}
	s := session.Guard(pool, session.KindOf(t.dialect) == session.MySQL, begin...)
	return site{pool, s.DB()}, func() { leave(s) }
}

func leave(s *session.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	_ = s.Close(ctx) // what is in use is forgotten, or waits for an answer: it is closed
}

// patient has the run's own statements wait for others that use a file of SQLite: from here on a failure would need a way
// back. Call the returned function at the end.
func (r *run) patient() func() {
	if !r.whole.oneWriter() {
		return func() {}
	}
	s, own := session.Patient(r.db.pool), r.db.own
	r.db.own = s.DB()
	return func() { r.db.own = own; leave(s) }
}
