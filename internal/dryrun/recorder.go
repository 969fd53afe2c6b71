package dryrun

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// recording is what one dry run told the database.
type recording struct {
	statements []string
	began      bool
}

// recorder is a database/sql driver that writes down what it is told and executes nothing. It is
// used by one goroutine at a time.
type recorder struct {
	recording
	spell speller
}

func (r *recorder) open() *sql.DB { return sql.OpenDB(connector{r}) }

func (r *recorder) reset() { r.recording = recording{} }

func (r *recorder) take() recording { return r.recording }

type connector struct{ r *recorder }

func (c connector) Connect(context.Context) (driver.Conn, error) { return conn(c), nil }
func (c connector) Driver() driver.Driver                        { return nil }

type conn struct{ r *recorder }

var errNoDatabase = errors.New("a dry run has no database to ask")

func (c conn) Prepare(string) (driver.Stmt, error) { return nil, errNoDatabase }
func (c conn) Close() error                        { return nil }

func (c conn) Begin() (driver.Tx, error) {
	c.r.began = true
	return tx{}, nil
}

func (c conn) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	c.r.statements = append(c.r.statements, c.r.spell.text(query))
	return driver.ResultNoRows, nil
}

type tx struct{}

func (tx) Commit() error   { return nil }
func (tx) Rollback() error { return nil }
