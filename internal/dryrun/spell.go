package dryrun

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io/fs"
	"slices"
)

// Speller is a file system whose files have placeholders for statements that goose can't read. Spell replaces such
// a statement by what is to be executed, and returns any other as it is.
type Speller interface {
	Spell(statement string) string
	// Spells says whether there is a placeholder in what was read until now.
	Spells() bool
}

// speller has a Speller for each file system of a Reader that is one.
type speller []Speller

func (s *speller) add(fsys fs.FS) {
	if one, ok := fsys.(Speller); ok {
		*s = append(*s, one)
	}
}

func (s speller) text(statement string) string {
	for _, one := range s {
		statement = one.Spell(statement)
	}
	return statement
}

// session is what a connection has to be so that placeholders can be replaced on it.
type session interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// spelled is a connection that replaces placeholders.
type spelled struct {
	session
	spell speller
}

func (s speller) on(c driver.Conn) (driver.Conn, error) {
	if !slices.ContainsFunc(s, Speller.Spells) {
		return c, nil
	}
	whole, ok := c.(session)
	if !ok {
		return nil, fmt.Errorf("a connection of type %T can't replace placeholders", c)
	}
	return spelled{whole, s}, nil
}

func (c spelled) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.session.ExecContext(ctx, c.spell.text(query), args)
}

func (c spelled) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.session.PrepareContext(ctx, c.spell.text(query))
}
