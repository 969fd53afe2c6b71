package gooseplus

import (
	"context"
	"slices"

	"github.com/gooseplus/gooseplus/internal/drive"
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
	if err := r.makeReader(); err != nil {
		return err
	}
	errs := r.part.set.Read(ctx, r.reader.Scripts, unread, direction, r.scripts)
	for _, v := range unread {
		if err := r.split(v); err != nil {
			errs = append(errs, err)
		}
	}
	return r.part.unreadable(errs)
}

// makeReader makes the reader of this run, once.
func (r *run) makeReader() (err error) {
	if r.reader == nil {
		source := drive.Source{Files: r.part.set.Files, Table: r.part.table, Options: r.options.gooseOptions}
		for _, m := range r.part.set.List {
			if m.Go != nil {
				source.Go = append(source.Go, m.Go)
			}
		}
		r.reader, err = drive.NewReader(source)
	}
	return err
}

// split gives the reader a Down that is apart.
func (r *run) split(version int64) error {
	m, _ := r.part.set.Find(version)
	b := r.scripts[version]
	if !m.Apart(b) {
		return nil
	}
	_, down := r.part.set.Sections(m, b)
	if down.IsGo {
		return r.reader.SplitFunction(version, down.Tx, down.NoTx)
	}
	return r.reader.SplitText(version, envfs.Texts(envfs.Text{Version: version, Down: down.Statements, NoTransaction: !down.Transactional}))
}

// connect makes the driver, with a session of the run's own.
func (r *run) connect(ctx context.Context) error {
	if err := r.makeDriver(); err != nil {
		return err
	}
	var cfg session.Config
	if r.lock != nil {
		r.driver.Fence(&cfg, r.unfenced())
	}
	s, err := r.newSession(ctx, cfg)
	if err != nil {
		return err
	}
	r.use(s)
	return nil
}

// makeDriver makes the driver of the run's steps.
func (r *run) makeDriver() error {
	if err := r.makeReader(); err != nil {
		return err
	}
	retries, lockWait := r.options.retries()
	r.driver = drive.New(r.reader, drive.Config{
		DB: r.db, Dialect: r.part.dialect, Table: r.part.table, State: r.part.state, Run: r.id,
		Retries: retries, LockWait: lockWait, Patience: r.patience,
		Hooks: drive.Hooks{
			Warn:       func(message string) { r.events.send(Warning{Message: message}) },
			Dead:       r.declaredDead,
			Restore:    r.restore,
			Fenced:     func() bool { return r.failed != nil && r.lock != nil && r.lock.alive.Err() == nil }, // else the new holder is at the fence
			Unreadable: r.part.stateError,
		},
	})
	return nil
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

// use has the driver work on a session.
func (r *run) use(s *session.Session) {
	limit := 0 // goose's own takes none as long as a Go migration works on another one
	if r.options.oneTransaction() {
		limit = 1
	}
	r.driver.Connect(s, limit)
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

// disconnect gives the connections back. There are some only if a migration has kept them.
func (r *run) disconnect(ctx context.Context) {
	if r.reader != nil {
		r.reader.CloseReader()
	}
	if r.driver == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	if err := r.driver.Close(ctx); err != nil {
		r.events.send(Warning{Message: err.Error()})
	}
}
