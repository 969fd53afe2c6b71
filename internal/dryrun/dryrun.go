// Package dryrun asks goose what it would do, without a database.
//
// goose's SQL parser is not exported, and what a file contains decides what a run may promise:
// whether a step runs in a transaction, whether its Down section has any statement. A second
// parser would sooner or later disagree with goose's, so a goose Provider is driven over a
// connection that records what it is told and does nothing.
package dryrun

import (
	"context"
	"database/sql"
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
	// Transactional is false for files annotated with NO TRANSACTION. DownTransactional is the same of
	// the Down, which can differ only if that is apart, see [Reader.Split].
	Transactional, DownTransactional bool
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

// Scripts reads the SQL migrations of fsys that have the given versions, see [Reader.Scripts].
func Scripts(ctx context.Context, fsys fs.FS, versions []int64) (map[int64]Script, []error) {
	if len(versions) == 0 {
		return nil, nil
	}
	r, err := NewReader(goose.DialectPostgres, fsys, nil,
		goose.WithDisableGlobalRegistry(true),
		goose.WithDisableVersioning(true), // nothing is recorded but the migrations' own statements
	)
	if err != nil {
		return nil, []error{err}
	}
	defer r.Close()
	return r.Scripts(ctx, versions)
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
	p, err := goose.NewProvider(goose.DialectPostgres, new(sql.DB), nil) // which it doesn't use before it migrates
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return p.ListSources(), nil
}
