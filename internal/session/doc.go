// Package session gives goose a *sql.DB whose connections are borrowed from the caller's pool. Every transaction of a run begins
// with the statements of the session's configuration, so that no migration can forget them. The settings that a migration
// leaves on its connection end with the migration.
//
// # Why
//
// goose opens the transactions of migrations itself, and a Go migration can open more. A runner that lost its lock must not
// commit any of them, and each needs its lock timeout and search path before its first statement. The driver interface below
// database/sql is the only place that all transactions pass. A pool of the library's own would need the DSN, which the caller
// doesn't give, and a connect for each run and tenant.
//
// # How
//
// A connection of a session's pool gets a [sql.Conn] of the parent pool when it is first used. Every call is made inside
// [sql.Conn.Raw], and stays there only as long as the call lasts: otherwise the application would hang when it closes a
// statement that it once prepared on that connection. Values, errors and optional interfaces pass through, with one
// exception: [sql.Conn.Raw] on a session's connection gives the session's type, whose method Raw(func(any) error) error
// gives the driver's.
//
// # Calls that don't return
//
// No driver heeds a context in all of its calls, and lib/pq waits for an answer as long as the network is cut. So a call over
// a network that goes on for two seconds after its context has ended gets its connection closed, and is given up half a
// second later. Calls without a context, such as COMMIT, have the context of their transaction, query or step. The parent
// pool loses the connection as soon as the driver returns. A session of [Guard] does this and nothing else.
//
// # Steps
//
// [Session.StartStep] and [Session.EndStep] are around each migration. In between, the session keeps connections that are
// given back, so that a Go migration on the pool finds what it did. Afterwards it depends on the [Kind]:
//
//   - PostgreSQL: a connection on which everything ran in the session's transactions stays for the next step. It is reset
//     before that step, in one round trip that leaves prepared statements alone. Settings that the application made when the
//     connection was new are read once, and set again; the server doesn't list those of an extension that isn't loaded.
//     Every other connection is closed. At the end the last one is closed too, unless a [Keeper] takes it, or every step on
//     it was plain and the database has no functions that a statement could call in passing: then it is given back as it is,
//     which saves the run a connection for what comes next. From a small parent pool none stays: such connections are given
//     back as they are, others are reset and given back, or closed if a reset leaves something.
//   - MySQL: closed, because drivers offer no reset and a connection is cheap. Variables
//     on which the library relies have their usual values, for the migrations too: see usual.
//   - SQLite: open transactions are rolled back, PRAGMAs are set as they were, databases are detached, and temporary objects
//     are dropped, because a connection can be the database. A connection to a file is closed if it has executed
//     a PRAGMA that can't be taken back, or lacks something temporary or attached that it had.
//   - Other: the settings of the [Config] are put back.
//
// # What a step does to its transaction
//
// [Session.Finish] is called between a step's own statements and the record of its version. It finds transactions that the
// step left open: there, a statement that is allowed only inside of one succeeds, or the server's clocks of the transaction
// and of the statement differ. If the step might have ended goose's transaction, a savepoint marks the beginning of that
// transaction, and must still be there. On MySQL every DDL statement ends savepoints; there, the text of a Go migration's
// statements tells. A Go migration that asks for a COMMIT itself gets a rollback and an error. Settings that a migration may
// have made are taken back before its version is recorded.
//
// # Retries
//
// database/sql repeats a call that failed with [driver.ErrBadConn] on another connection. A transaction begins again with its
// first statement then, and with everything that [Config] promises. In an outer transaction the repetition finds the
// transaction lost.
//
// # An outer transaction
//
// With [InTransaction] all steps are savepoints of one transaction. It looks for a savepoint of its own to notice that it is
// gone, and fails then; statements that were committed stay. Settings of a step last to the end of the transaction, except
// those that [Config.OnSavepoint] sets again.
package session
