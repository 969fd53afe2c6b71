package gooseplus

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/session"
)

// site is a database as a run reaches it.
type site struct {
	pool *sql.DB // the application's, from which the migrations' connections are borrowed
	// own is for what the run executes for itself: the same connections, but a call that outlives its context, as
	// when the network is cut, is ended.
	own *sql.DB
}

// reach makes a site of the application's pool. What it returns has to be called when it isn't used any more.
func reach(d dialect.Dialect, pool *sql.DB) (site, func()) {
	if !networked(d) {
		return site{pool, pool}, func() {}
	}
	s := session.Guard(pool, d.Goose == goose.DialectMySQL)
	return site{pool, s.DB()}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
		defer cancel()
		_ = s.Close(ctx) // what is in use is forgotten, or waits for an answer: it is closed
	}
}

// sessionKind is what a session has to know of the database.
func sessionKind(d dialect.Dialect) session.Kind {
	switch d.Goose {
	case goose.DialectPostgres:
		return session.PostgreSQL
	case goose.DialectMySQL:
		return session.MySQL
	case goose.DialectSQLite3:
		return session.SQLite
	}
	return session.Other
}

// networked says whether a network is between here and the database, which may be cut.
func networked(d dialect.Dialect) bool {
	return d.Goose == goose.DialectPostgres || d.Goose == goose.DialectMySQL
}
