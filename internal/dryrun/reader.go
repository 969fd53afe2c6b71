package dryrun

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// Store is the version table of a Provider that is made to read before it executes.
type Store interface {
	// Read prepares for a dry run in that direction, which must find the version as it has to be for
	// the step, and record nothing.
	Read(down bool)
}

// Reader is a goose Provider that reads migrations by dry runs until it is connected to a database.
// A Provider keeps what it has parsed, so no file is parsed twice. It serves one goroutine.
type Reader struct {
	*goose.Provider
	dialect goose.Dialect
	db      *sql.DB
	pool    *pool
	store   Store
	apart   map[int64]*goose.Provider // the Downs that are not beside their Ups
	instead map[int64]*goose.Provider // what runs instead of the Ups of several versions
}

// NewReader makes a Provider that knows no database yet. If store is not nil, it has to be among the
// options as well.
func NewReader(dialect goose.Dialect, fsys fs.FS, store Store, opts ...goose.ProviderOption) (*Reader, error) {
	r := &Reader{dialect: dialect, pool: new(pool), store: store, apart: make(map[int64]*goose.Provider), instead: make(map[int64]*goose.Provider)}
	r.pool.spell.add(fsys)
	r.db = sql.OpenDB(r.pool)
	r.db.SetMaxIdleConns(-1) // a connection kept from the dry runs would be taken for one of the database's
	var err error
	r.Provider, err = goose.NewProvider(dialect, r.db, fsys, opts...)
	if errors.Is(err, goose.ErrNoMigrations) {
		return r, nil // there may be texts that are added later: of stored Downs, of a checkpoint
	}
	if err != nil {
		_ = r.db.Close() // it has no connections
		return nil, err
	}
	return r, nil
}

// Split gives a version the Down of another migration source of the same version. goose has both
// directions of a migration in one file or in one pair of Go functions, and runs both directions of a
// file in a transaction, or neither. fsys and opts are as for [NewReader].
func (r *Reader) Split(version int64, fsys fs.FS, opts ...goose.ProviderOption) (err error) {
	r.pool.spell.add(fsys)
	r.apart[version], err = goose.NewProvider(r.dialect, r.db, fsys, opts...)
	return err
}

// ApplyVersion is goose's, with the Downs that are apart.
func (r *Reader) ApplyVersion(ctx context.Context, version int64, up bool) (*goose.MigrationResult, error) {
	if apart := r.apart[version]; !up && apart != nil {
		return apart.ApplyVersion(ctx, version, up)
	}
	if r.Provider == nil {
		return nil, goose.ErrVersionNotFound
	}
	return r.Provider.ApplyVersion(ctx, version, up)
}

// ReadInstead reads the migration of fsys that has that version, for [Reader.ApplyInstead]. opts are as for [NewReader].
func (r *Reader) ReadInstead(ctx context.Context, version int64, fsys fs.FS, opts ...goose.ProviderOption) (Script, error) {
	r.pool.spell.add(fsys)
	var err error
	if r.instead[version], err = goose.NewProvider(r.dialect, r.db, fsys, opts...); err != nil {
		return Script{}, err
	}
	up, err := r.record(false, func() error { return r.ApplyInstead(ctx, version) })
	if err != nil && ctx.Err() == nil {
		err = newScriptError(version, err)
	}
	return Script{Up: up.statements, Transactional: up.began}, err
}

// ApplyInstead applies what [Reader.ReadInstead] has read.
func (r *Reader) ApplyInstead(ctx context.Context, version int64) error {
	_, err := r.instead[version].ApplyVersion(ctx, version, true)
	return err
}

// Connect ends the dry runs: from here on the Provider works on connections of real. limit is how
// many it may have at once, 0 for any number.
func (r *Reader) Connect(real driver.Connector, limit int) {
	r.pool.real = real
	r.db.SetMaxOpenConns(limit)
}

// Spell is a statement as it is executed, of one that goose announces.
func (r *Reader) Spell(statement string) string { return r.pool.spell.text(statement) }

// Close closes the Provider's pool, which keeps no connections.
func (r *Reader) Close() { _ = r.db.Close() }

// Scripts reads the SQL migrations of the given versions. Files of other versions are not opened.
// Every migration that can't be parsed is in the errors, as a [*ScriptError].
func (r *Reader) Scripts(ctx context.Context, versions []int64) (map[int64]Script, []error) {
	scripts := make(map[int64]Script, len(versions))
	var errs []error
	for _, version := range versions {
		script, err := r.read(ctx, version)
		if err != nil && ctx.Err() != nil {
			return nil, []error{err} // no fault of the migration
		}
		if err != nil {
			errs = append(errs, newScriptError(version, err))
			continue
		}
		scripts[version] = script
	}
	return scripts, errs
}

func (r *Reader) read(ctx context.Context, version int64) (Script, error) {
	apply := func(up bool) (recording, error) {
		return r.record(!up, func() error {
			_, err := r.ApplyVersion(ctx, version, up)
			return err
		})
	}
	up, err := apply(true)
	if err != nil {
		return Script{}, err
	}
	down, err := apply(false)
	if err != nil {
		return Script{}, err
	}
	return Script{Up: up.statements, Down: down.statements, Transactional: up.began, DownTransactional: down.began}, nil
}

func (r *Reader) record(down bool, apply func() error) (recording, error) {
	r.pool.reset()
	if r.store != nil {
		r.store.Read(down)
	}
	err := apply()
	return r.pool.take(), err
}

// pool makes the connections of a Reader: recordings, until it has real ones.
type pool struct {
	recorder
	real driver.Connector
}

func (p *pool) Connect(ctx context.Context) (driver.Conn, error) {
	if p.real != nil {
		c, err := p.real.Connect(ctx)
		if err != nil {
			return nil, err
		}
		return p.spell.on(c)
	}
	return conn{&p.recorder}, nil
}

func (p *pool) Driver() driver.Driver {
	if p.real != nil {
		return p.real.Driver()
	}
	return nil
}
