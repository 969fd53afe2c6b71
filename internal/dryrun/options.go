package dryrun

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// CheckOption says why a run can't keep its contract with the given goose option, or nil. goose's
// options are opaque, so each is tried out: what it does to a Provider that gooseplus would
// build, and what that Provider then tells the database.
func CheckOption(opt goose.ProviderOption) (err error) {
	if opt == nil {
		return errors.New("is nil")
	}
	defer func() {
		if v := recover(); v != nil { // goose doesn't check everything that it is given
			err = fmt.Errorf("makes goose panic: %v", v)
		}
	}()
	switch {
	case builds(goose.DialectCustom, opt):
		return errors.New("replaces goose's version store, which a run relies on: only WithVersionTable can name another table")
	case !builds(goose.DialectPostgres, opt):
		return buildError(goose.DialectPostgres, opt)
	case !builds(goose.DialectCustom, opt, goose.WithStore(&store{})):
		return errors.New("names the version table: use gooseplus.WithVersionTable")
	case !builds(goose.DialectPostgres, opt, goose.WithLocker(struct{ lock.Locker }{})):
		return errors.New("sets a goose locker, which doesn't hold over a run and its way back: use gooseplus.WithGlobalLock")
	case !builds(goose.DialectPostgres, opt, goose.WithLogger(log.New(io.Discard, "", 0))),
		!builds(goose.DialectPostgres, opt, goose.WithSlog(slog.New(slog.DiscardHandler))):
		return errors.New("sets goose's logger, which a run listens to: use gooseplus.WithLogger or gooseplus.WithObserver")
	}
	return tryOut(opt)
}

// probeVersion is one that no option under test is likely to name.
const probeVersion = math.MaxInt64

func provider(db *sql.DB, dialect goose.Dialect, opts ...goose.ProviderOption) (*goose.Provider, error) {
	opts = append(opts,
		goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(goose.NewGoMigration(probeVersion, nil, nil)))
	return goose.NewProvider(dialect, db, nil, opts...)
}

func builds(dialect goose.Dialect, opts ...goose.ProviderOption) bool {
	return buildError(dialect, opts...) == nil
}

func buildError(dialect goose.Dialect, opts ...goose.ProviderOption) error {
	var rec recorder
	db := rec.open()
	defer db.Close()
	_, err := provider(db, dialect, opts...)
	return err
}

// tryOut applies an empty migration, which must be recorded, in a transaction, and be alone.
func tryOut(opt goose.ProviderOption) error {
	var rec recorder
	db := rec.open()
	defer db.Close()
	var versions store
	p, err := provider(db, goose.DialectCustom, opt, goose.WithStore(&versions),
		goose.WithSlog(slog.New(slog.DiscardHandler))) // opt may make goose verbose
	if err != nil {
		return err
	}
	if len(p.ListSources()) != 1 {
		return errors.New("brings Go migrations of its own: use gooseplus.WithGoMigrations")
	}
	if _, err := p.ApplyVersion(context.Background(), probeVersion, true); err != nil {
		return err
	}
	if !versions.recorded {
		return errors.New("turns versioning off, so that no run could be undone")
	}
	if !rec.began {
		return errors.New("takes migrations out of their transactions")
	}
	return nil
}

// store is a version table in which nothing is applied yet. goose calls no other methods when it applies a version.
type store struct {
	database.Store
	recorded bool
}

func (*store) Tablename() string                                            { return "probe" }
func (*store) TableExists(context.Context, database.DBTxConn) (bool, error) { return true, nil }

func (s *store) Insert(context.Context, database.DBTxConn, database.InsertRequest) error {
	s.recorded = true
	return nil
}

func (*store) GetMigration(context.Context, database.DBTxConn, int64) (*database.GetMigrationResult, error) {
	return nil, database.ErrVersionNotFound
}
