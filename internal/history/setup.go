package history

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pressly/goose/v3/database"
)

// SetUp creates the schema, unless its statement is "", the state table and the version tables: all of them or nothing, in one
// round trip, where the database can do that. It doesn't wait for the disk, so the caller must go on to commit a migration, which
// puts everything there. After false the caller makes sure of each by itself, and gets the error: the database can't do it at
// once, something exists already, or failed, or the answer was lost.
func (s *State) SetUp(ctx context.Context, db *sql.DB, schema string, versions []*Versions) bool {
	if !s.server.terms().together {
		return false
	}
	list := s.soon(db)
	if schema != "" {
		list = append(list, schema)
	}
	list = append(list, s.creation())
	for _, v := range versions {
		creation, err := v.creation(ctx)
		if err != nil {
			return false
		}
		list = append(list, creation...)
	}
	_, err := s.write(ctx, db, list...)
	return err == nil
}

// creation are the statements that create the table with its zero version.
func (v *Versions) creation(ctx context.Context) ([]string, error) {
	if v.own == nil {
		return nil, errors.ErrUnsupported
	}
	said, err := v.said(ctx)
	return append(said, v.own.sql("INSERT INTO {table} (version_id, is_applied) VALUES (0, TRUE)")), err
}

// said are the statements that create the table. goose executes them, and doesn't give them away.
func (v *Versions) said(ctx context.Context) ([]string, error) {
	var said spoken
	err := v.store.CreateVersionTable(ctx, &said)
	return said.statements, err
}

// spoken notes statements instead of executing them.
type spoken struct {
	database.DBTxConn // nil: nothing is queried
	statements        []string
}

func (s *spoken) ExecContext(_ context.Context, query string, _ ...any) (sql.Result, error) {
	s.statements = append(s.statements, query)
	return nil, nil
}
