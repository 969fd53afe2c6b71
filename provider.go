package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// load reads the files of versions that are to go in the given direction, each once in a run, and
// reports every file that goose can't parse.
func (r *run) load(ctx context.Context, wanted []int64, direction string) error {
	unread := slices.DeleteFunc(r.part.set.WithSQL(wanted), func(v int64) bool { _, read := r.scripts[v]; return read })
	if len(unread) == 0 {
		return nil
	}
	if err := r.newProvider(); err != nil {
		return err
	}
	errs := r.part.set.Read(ctx, r.provider.Scripts, unread, direction, r.scripts)
	for _, v := range unread {
		if err := r.split(v); err != nil {
			errs = append(errs, err)
		}
	}
	return r.part.unreadable(errs)
}

// split gives the Provider of a run a Down that is apart.
func (r *run) split(version int64) error {
	m, _ := r.part.set.Find(version)
	b := r.scripts[version]
	if !m.Apart(b) {
		return nil
	}
	_, down := r.part.set.Sections(m, b)
	if down.IsGo {
		fn := goFunc(down.Tx, down.NoTx, r.trace.function, r.functionPool)
		opts := append(r.providerOptions(), goose.WithGoMigrations(goose.NewGoMigration(version, nil, fn)))
		return r.provider.Split(version, nil, opts...)
	}
	text := envfs.Text{Version: version, Down: down.Statements, NoTransaction: !down.Transactional}
	return r.provider.Split(version, envfs.Texts(text), r.providerOptions()...)
}

// newProvider makes the goose Provider of this run. It is a new one because a Provider remembers
// a failed first use, and what it parsed: this one reads the files first, and executes them later.
func (r *run) newProvider() (err error) {
	if r.provider != nil {
		return nil
	}
	r.trace, r.recorder = &trace{spell: func(s string) string { return s }}, r.part.table.Recorder()
	opts := append(r.providerOptions(), goose.WithGoMigrations(goMigrations(r.part.set, r.trace.function, r.functionPool)...))
	if r.provider, err = dryrun.NewReader(goose.DialectCustom, r.part.set.Files, r.recorder, opts...); err == nil {
		r.trace.spell = r.provider.Spell
	}
	return err
}

func (r *run) providerOptions() []goose.ProviderOption {
	return append(slices.Clone(r.options.gooseOptions),
		goose.WithStore(r.recorder),
		goose.WithDisableGlobalRegistry(true), // its migrations are chosen by folder
		goose.WithVerbose(true),               // so that goose announces each statement
		goose.WithSlog(r.trace.logger()),
	)
}

// connect gives the Provider the database, through a session of the run's own.
func (r *run) connect(ctx context.Context) error {
	var cfg session.Config
	if r.lock != nil {
		cfg = r.fence()
	}
	s, err := r.newSession(ctx, cfg)
	if err != nil {
		return err
	}
	return r.use(s)
}

// newSession makes the session of a run that begins its transactions as cfg says.
func (r *run) newSession(ctx context.Context, cfg session.Config) (*session.Session, error) {
	if r.options.bound {
		r.part.bind(&cfg)
	}
	if t := r.options.statementTimeouts; t != nil {
		t.configure(&cfg, r.part.dialect, r.mariadb) // after the fence: who has lost the lock waits for nothing
	}
	cfg.Kind, cfg.Ends, cfg.Most = sessionKind(r.part.dialect), sqltext.ControlsTransactions, r.most()
	cfg.Keeper = r.keeper
	if !r.options.oneTransaction() {
		return session.Open(r.pool, cfg), nil
	}
	s, err := session.InTransaction(ctx, r.pool, cfg)
	if err != nil {
		return nil, r.part.tableError(ctx, err)
	}
	return s, nil
}

// use has the Provider work on a session.
func (r *run) use(s *session.Session) error {
	r.session = s
	if err := r.newProvider(); err != nil {
		return err
	}
	limit := 0 // goose's own takes none as long as a Go migration works on another one
	if r.options.oneTransaction() {
		limit = 1
	}
	r.recorder.Outside(r.recordStep)
	r.provider.Connect(s.Connector(), limit)
	return nil
}

// most is how many connections the migrations may have at once, beside those that the run needs for itself.
func (r *run) most() int {
	limit := r.pool.Stats().MaxOpenConnections
	switch {
	case limit == 0:
		return 0
	case r.lock != nil && !r.oneWriter():
		limit -= 2
	}
	return max(1, limit)
}

// recordLimit is how long it may take to record a step that was executed outside a transaction, whatever has ended
// meanwhile: otherwise nobody would know of it.
const recordLimit = 2 * time.Second

// recordTries is how often a step is recorded again whose record was lost.
const recordTries = 2

// recordStep has a step recorded whose own statements are executed: in the transaction in which they were, if that is
// there, or else in another one, which begins like every other transaction of the run.
func (r *run) recordStep(ctx context.Context, db database.DBTxConn, record func(context.Context, database.DBTxConn) error) error {
	_, inTransaction := db.(*sql.Tx)
	if !inTransaction { // it is done, and only this is missing
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
		defer cancel()
	}
	whole, err := r.session.Finish(ctx, inTransaction)
	if err != nil {
		return err
	}
	if whole {
		return record(ctx, db)
	}
	first := r.recordApart(ctx, record)
	for err, tries := first, 0; err != nil; tries++ {
		if tries == recordTries || otherRunner(err) || errors.Is(err, ErrLockLost) || !r.lacksRecord(ctx) {
			return first
		}
		err = r.recordApart(ctx, record)
	}
	return nil
}

// recordApart has a step recorded in a transaction that has nothing else in it.
func (r *run) recordApart(ctx context.Context, record func(context.Context, database.DBTxConn) error) error {
	tx, err := r.session.DB().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := record(ctx, tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// lacksRecord says whether the current step, which is executed, is certain not to be recorded though nothing else could
// put that right. An Up that has a Down is taken back instead.
func (r *run) lacksRecord(ctx context.Context) bool {
	step, down := r.current, r.current.Direction == directionDown
	if !down && step.Reversible || r.letGo(ctx) != nil {
		return false
	}
	rows, err := r.owned(ctx, r.db, true)
	return err == nil && slices.Contains(rows.Applied, step.Version) == down
}

// functionPool is what a Go migration without a transaction works on: the run's own connection, and others if the
// application's pool has them.
func (r *run) functionPool() *sql.DB { return r.session.DB() }

// disconnect gives the connections back. There are some only if a migration has kept them.
func (r *run) disconnect(ctx context.Context) {
	if r.provider != nil {
		r.provider.Close()
	}
	if r.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	if err := r.session.Close(ctx); err != nil {
		r.events.send(Warning{Message: err.Error()})
	}
}
