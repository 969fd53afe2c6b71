package gooseplus

import (
	"context"
	"database/sql"

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
	if !d.Networked() {
		return site{pool, pool}, func() {}
	}
	s := session.Guard(pool, session.KindOf(d) == session.MySQL)
	return site{pool, s.DB()}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
		defer cancel()
		_ = s.Close(ctx) // what is in use is forgotten, or waits for an answer: it is closed
	}
}
