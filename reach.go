package gooseplus

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/session"
)

// database is a database as a run reaches it.
type database struct {
	pool *sql.DB // the application's, from which the migrations' connections are borrowed
	// own is for what the run executes for itself: the same connections, but a call that outlives its context, as
	// when the network is cut, is ended.
	own *sql.DB
}

// reach makes a database of the application's pool. What it returns has to be called when it isn't used any more.
func reach(d dialect.Dialect, pool *sql.DB) (database, func()) {
	if !networked(d) {
		return database{pool, pool}, func() {}
	}
	s := session.Guard(pool, d.Goose == goose.DialectMySQL)
	return database{pool, s.DB()}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
		defer cancel()
		_ = s.Close(ctx) // what is in use is forgotten, or waits for an answer: it is closed
	}
}

// networked says whether a network is between here and the database, which may be cut.
func networked(d dialect.Dialect) bool {
	return d.Goose == goose.DialectPostgres || d.Goose == goose.DialectMySQL
}
