package session

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// Config is what a session does on its own account. The zero Config does nothing.
type Config struct {
	Kind Kind
	// Ends says of a text whether it ends the transaction that it is executed in; nil is for none.
	Ends func(query string) bool
	// Keeper, if not nil, has the connections that can be made clean when the session ends.
	Keeper *Keeper
	// Most is how many connections the session may have at once, 0 for as many as the parent.
	Most int
	// OnBeginSettings is executed at the start of every transaction, in order, before BeginTx returns: what may come
	// before SET TRANSACTION. If one fails, the transaction is rolled back and BeginTx returns its error. The outer
	// transaction of a session is such a transaction; its savepoints are not.
	OnBeginSettings []Statement
	// OnBegin is executed after it. On PostgreSQL, it waits until SET TRANSACTION, which must come first, is executed, if
	// the transaction begins with that: it comes before the first statement that is something else, or before COMMIT. If
	// it fails then, so does that statement, and every other one but a rollback.
	OnBegin []Statement
	// OnSavepoint is executed after each savepoint that takes the place of a transaction. What SET
	// LOCAL changed in one migration lasts until the outer transaction ends (PostgreSQL manual, SET),
	// so the settings that each migration must find belong here too. Others, and SET CONSTRAINTS, do
	// leak into the next migration; only a rollback to the savepoint takes them back.
	OnSavepoint []Statement
	// Settings hold for statements outside transactions. They are made before the first such
	// statement on a connection, and put back before the connection goes back to the parent pool; a
	// connection on which that fails is closed instead. Transactions that are opened in between
	// inherit them. They don't apply to an outer transaction, where nothing is outside.
	Settings []Setting
	// SettingsFirst makes the settings before a transaction begins as well, so that they hold in it,
	// and in an outer transaction. It is for databases that have no settings of a transaction's own.
	SettingsFirst bool
	// Enclosed has a transaction of its own for each statement outside of one, with the OnBeginSettings: what they set is
	// LOCAL then. After a statement that begins a transaction itself (BEGIN) they come too, and until the connection is
	// given back no other statement has a transaction of its own.
	Enclosed bool
	// Guarded ends calls that outlive their context: see [Guard].
	Guarded   bool
	endsBySQL bool // see Guard
	// Application is what PostgreSQL calls the session's connections, see [Config.Name].
	Application string
	// Trace, if not nil, hears of the statements of a step.
	Trace Trace
	// Backend, if its Query is set, is asked on each connection when it is borrowed.
	Backend Backend
}

// Statement is a statement that a session executes on its own account.
type Statement struct {
	Query string
	Args  []any // of the types that every driver takes: integers, floats, bool, string, []byte, time.Time
	// Check, if not nil, decides by the number of rows affected whether the statement did what it
	// should. Its error is returned as it is.
	Check func(rows int64) error
	// Explain, if not nil, makes the error that is returned of the server's.
	Explain func(error) error

	unnamed bool // only for connections of an application without a name
}

// Setting is a setting of a connection.
type Setting struct {
	// Read is a query for the present value: one row, one column.
	Read string
	// Write makes the statement that sets a value: Value, and later what Read gave, as a string if
	// the driver gave bytes.
	Write func(value any) Statement
	Value any
	// Keep, if not nil, says whether the present value is good enough: then nothing is set.
	Keep func(value any) bool
	// Alone says that the setting needs a connection which nobody else uses in between: see [ErrPooled].
	Alone bool
}

// Backend tells what the server calls a connection, so that others can wait until that backend is
// gone.
type Backend struct {
	// Query gives one row, such as SELECT pg_backend_pid().
	Query string
	// Optional has the session work without that row if the server refuses the query, or if a pooler may give the backend to others.
	Optional bool
	// Found, if not nil, gets that row before anything else is executed on the connection. It must not use the
	// session. If it fails, so does whatever needed the connection.
	Found func(ctx context.Context, row []driver.Value) error
	// Lost, if not nil, gets the row of a connection that is given back broken, as its driver says
	// (driver.Validator) or as a ping shows: its last statement may have been interrupted here and not on the
	// server.
	Lost func(row []driver.Value)
}

// ask asks the server, once, what it calls a connection.
func (b Backend) ask(ctx context.Context, l *link) (err error) {
	if b.Query == "" || l.backend != nil {
		return nil
	}
	row, err := l.queryRow(ctx, b.Query)
	if b.Optional && ctx.Err() == nil && (err != nil || l.behindPooler(ctx, fmt.Sprint(row[0]))) {
		return nil
	}
	if err == nil {
		l.backend = row
	}
	return err
}

func (b Backend) tellLost(l *link) {
	if b.Lost != nil && l.backend != nil && l.broken() {
		_ = guard(func() error { b.Lost(l.backend); return nil })
	}
}

// guard makes an error of a panic in a function of the caller: database/sql does not expect that a
// driver panics in BeginTx, and would never free the connection.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("session: panic in a function of the configuration: %v", r)
		}
	}()
	return f()
}
