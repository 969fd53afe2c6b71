// Package dryrun asks goose what it would do, without a database.
//
// goose's SQL parser is not exported, and what a file contains decides what a run may promise:
// whether a step runs in a transaction, whether its Down section has any statement. A second
// parser would sooner or later disagree with goose's, so a goose Provider is driven over a
// connection that records what it is told and does nothing.
package dryrun

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/pressly/goose/v3"
)

// Script is what goose would execute for one SQL migration.
type Script struct {
	// Up and Down hold the statements in the order goose executes them. Empty means that goose
	// would execute nothing and move the version all the same.
	Up, Down []string
	// Transactional is false for files annotated with NO TRANSACTION.
	Transactional bool
}

// ScriptError says which migration goose can't parse, and why.
type ScriptError struct {
	Version int64
	// SQL is the part of the file that goose stumbled over, as far as it says so. It can hold data,
	// and is not part of the message.
	SQL     string
	message string
	err     error
}

func newScriptError(version int64, err error) *ScriptError {
	message, sql := describe(err)
	return &ScriptError{Version: version, SQL: sql, message: message, err: err}
}

func (e *ScriptError) Error() string { return e.message }
func (e *ScriptError) Unwrap() error { return e.err }

// Scripts reads the SQL migrations of fsys that have the given versions. Files of other versions
// are not opened. Every migration that can't be parsed is in the errors, as a [*ScriptError].
func Scripts(ctx context.Context, fsys fs.FS, versions []int64) (map[int64]Script, []error) {
	if len(versions) == 0 {
		return nil, nil
	}
	var rec recorder
	db := rec.open()
	defer db.Close()

	p, err := goose.NewProvider(goose.DialectPostgres, db, fsys,
		goose.WithDisableGlobalRegistry(true),
		goose.WithDisableVersioning(true), // nothing is recorded but the migrations' own statements
	)
	if err != nil {
		return nil, []error{err}
	}
	scripts := make(map[int64]Script, len(versions))
	var errs []error
	for _, version := range versions {
		script, err := read(ctx, p, &rec, version)
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

func read(ctx context.Context, p *goose.Provider, rec *recorder, version int64) (Script, error) {
	up, err := record(ctx, p, rec, version, true)
	if err != nil {
		return Script{}, err
	}
	down, err := record(ctx, p, rec, version, false)
	if err != nil {
		return Script{}, err
	}
	return Script{Up: up.statements, Down: down.statements, Transactional: up.began}, nil
}

func record(ctx context.Context, p *goose.Provider, rec *recorder, version int64, up bool) (recording, error) {
	rec.reset()
	_, err := p.ApplyVersion(ctx, version, up)
	return rec.take(), err
}

// Versions lists what a Provider over fsys with these options would know, lowest first.
func Versions(fsys fs.FS, opts ...goose.ProviderOption) ([]int64, error) {
	var rec recorder
	db := rec.open()
	defer db.Close()

	p, err := goose.NewProvider(goose.DialectPostgres, db, fsys,
		append(opts[:len(opts):len(opts)], goose.WithDisableGlobalRegistry(true))...)
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var versions []int64
	for _, s := range p.ListSources() {
		versions = append(versions, s.Version)
	}
	slices.Sort(versions) // goose lists them by name as long as there are no Go migrations
	return versions, nil
}

// Registered lists the Go migrations in goose's global registry, without their functions.
func Registered() ([]*goose.Source, error) {
	var rec recorder
	db := rec.open()
	defer db.Close()

	p, err := goose.NewProvider(goose.DialectPostgres, db, nil)
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return p.ListSources(), nil
}
