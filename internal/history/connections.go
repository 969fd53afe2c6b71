package history

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// Connection is a connection of the server on which a run was outside a transaction.
type Connection struct {
	Run    string // the run's id
	Name   string // the server's name for the connection, see Query
	Holder string // the run's holder, "" if it is unknown
}

// number is the first part of the name. Earlier versions could write a name without a number.
func (c Connection) number() (number, rest string, ok bool) {
	number, rest, _ = strings.Cut(c.Name, "/")
	_, err := strconv.ParseUint(number, 10, 64)
	return number, rest, err == nil
}

// Activity is what the server does on a connection.
type Activity struct {
	Gone bool
	// Idle says that the connection waits for its client, and InTransaction that it may wait within a transaction.
	Idle, InTransaction bool
	// The server's description of the connection's work. Behind a pooler, a changed description may be another client's work.
	What string
	Own  bool   // it certainly is the connection that is meant, and this user's
	Who  string // the connection's name for people, and how another user can end it
	pid  string
	born string
}

// Connections are the rows of connections on which runs are, or were, outside a transaction. No row lock shows what the server
// executes there.
type Connections struct{ t *table }

func connectionID(run, name string) string { return "backend:" + run + ":" + name }

// Query asks a connection for the server's name of it, for a run's steps outside a transaction. "" means that the database has
// no such names.
func (c Connections) Query(run string) string { return c.t.sql(c.t.server.terms().connection, run) }

// Add records on which connection a step outside a transaction runs. false means that the run was declared dead. Add writes
// the row before it asks, because a process that declares a run dead removes the fence before it reads these rows.
func (c Connections) Add(ctx context.Context, db *sql.DB, run, name string) (ours bool, err error) {
	if _, err = c.t.write(ctx, db, c.t.adding(run, name)); err != nil {
		return false, err
	}
	return c.t.fenced(ctx, db, run)
}

func (t *table) adding(run, name string) string {
	return t.sql("INSERT INTO {table} (id, kind, run_id, backend) VALUES (?, 'backend', ?, ?)", connectionID(run, name), runID(run), name) +
		t.orChange("backend")
}

// Drop forgets connections of a run.
func (c Connections) Drop(ctx context.Context, db Querier, run string, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	_, err := c.t.write(ctx, db, c.dropping(run, names)...)
	return err
}

func (c Connections) dropping(run string, names []string) (statements []string) {
	for _, name := range names {
		statements = append(statements, c.t.sql("DELETE FROM {table} WHERE id = ?", connectionID(run, name)))
	}
	return statements
}

// List returns all recorded connections.
func (c Connections) List(ctx context.Context, db Querier) (list []Connection, err error) {
	query := c.t.sql("SELECT b.run_id, b.backend, COALESCE((SELECT r.holder FROM {table} AS r WHERE r.id = b.run_id), '')" +
		" FROM {table} AS b WHERE b.kind = 'backend' ORDER BY b.id")
	err = each(ctx, db, query, func(rows *sql.Rows) error {
		var found Connection
		err := rows.Scan(&found.Run, &found.Name, &found.Holder)
		found.Run = without(runPrefix, found.Run)
		list = append(list, found)
		return err
	})
	return list, err
}

// Activity says what the server does on a connection of a run. A connection of another user, whose state the server hides,
// counts as busy.
func (c Connections) Activity(ctx context.Context, db *sql.DB, of Connection) (Activity, error) {
	if _, _, ok := of.number(); !ok {
		return Activity{Gone: true}, nil
	}
	return c.t.server.activity(ctx, db, of)
}

// Blocker is the connection whose transaction has locked the run's fence, or the table, so that the run can't be declared dead.
// nil means that there is none, or that the server can't tell.
func (c Connections) Blocker(ctx context.Context, db *sql.DB, run string) (*Activity, error) {
	a, err := c.t.server.blocker(ctx, db, c.t, fenceID(run), runID(run))
	if err != nil || a.Gone {
		return nil, err
	}
	return &a, nil
}

// End ends a connection, unless its number belongs to another connection by now. Each user may end its own connections.
func (c Connections) End(ctx context.Context, db *sql.DB, of Connection, a Activity) error {
	return c.t.server.end(ctx, db, of, a)
}
