package main

import (
	"context"
	"database/sql"
	"io/fs"
	"strconv"

	"github.com/gooseplus/gooseplus"
)

// state is what the quickstart compares: what goose says of the database, and what is there.
type state struct {
	version, tables, columns string
}

func look(ctx context.Context, db *sql.DB, m *gooseplus.Migrator) (s state, err error) {
	version, err := m.Version(ctx)
	if err != nil {
		return state{}, err
	}
	s.version = strconv.FormatInt(version, 10)
	err = db.QueryRowContext(ctx, `
		SELECT group_concat(name, ', ') FROM (
			SELECT name FROM sqlite_schema
			WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'
			ORDER BY name)`).Scan(&s.tables)
	if err != nil {
		return state{}, err
	}
	err = db.QueryRowContext(ctx,
		`SELECT group_concat(name, ', ') FROM pragma_table_info('orders')`).Scan(&s.columns)
	return s, err
}

// sub is fs.Sub of a folder that is known to be a valid path.
func sub(fsys fs.FS, dir string) fs.FS {
	s, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err)
	}
	return s
}
