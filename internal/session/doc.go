// Package session gives goose a *sql.DB whose connections are borrowed from the caller's pool, so
// that what has to be true of every transaction of a run is said in one place, and no migration can
// forget it; and so that what a migration does to its connection ends with it.
//
// # Why
//
// goose opens the transactions of migrations itself, and a Go migration opens more if it likes. A
// runner that lost its lock must not commit any of them; each needs its lock timeout or search path
// before its first statement. The driver interface below database/sql is the only place that all of
// them pass. A pool of its own would do as well, but it needs the DSN, which the caller doesn't
// give, and a connect for each run or tenant; the caller's pool has open connections.
//
// # How
//
// Each connection of a session's pool is given one [sql.Conn] of the parent pool when it is used for the first
// time. Every call, also those on rows, statements and transactions, is made inside [sql.Conn.Raw] of that
// connection, as database/sql demands, and only for as long as the call lasts: to stay in Raw for the whole
// loan would block the application where it closes a statement that it once prepared on that connection.
//
// Values, errors and optional interfaces pass through as they are. What can't: [sql.Conn.Raw] on a session's
// connection gives the session's. That has a method Raw(func(any) error) error, which gives the driver's.
//
// # Calls that don't return
//
// No driver heeds a context in all of its calls, and lib/pq in none that waits for an answer: while the network
// is cut it waits on. On databases behind a network a call that goes on for two seconds after its context has
// ended has its connection closed under it, and is given up half a second later if that doesn't help either.
// What has no context, such as COMMIT or the rows of a query, has that of its transaction, of its query or of the
// step. Connecting is given up too. The connection is gone from the parent pool as soon as the driver lets go.
// [Guard] is this and nothing else.
//
// # Steps
//
// [Session.StartStep] and [Session.EndStep] are around each migration. In between, what is given back stays the
// session's, and a Go migration that works on the pool finds there what it did. Afterwards the connections are
// put right, by [Kind]:
//
//   - PostgreSQL: one on which everything was executed in transactions of the session's stays for the next step and is
//     reset before it, in one round trip; drivers keep their prepared statements. What a hook of the application's
//     has set on a new connection is read once, and set again; but for settings of an extension that isn't loaded,
//     which the server doesn't list. Any other one is closed, and at the end so is this one; or a [Keeper] has it for
//     the next session. In a small parent pool none stays: they are reset and given back.
//   - MySQL: closed. Drivers offer no reset there, and a connection is cheap. A session has autocommit on.
//   - SQLite: what is open is rolled back, PRAGMAs are set as they were, databases detached, and what is temporary
//     dropped. A connection of SQLite can be the database.
//   - Other: nothing is known of it. Settings of the [Config] are put back.
//
// # What a step does to its transaction
//
// [Session.Finish] is called when a step's own statements are executed and its version is to be recorded. It finds
// transactions that were left open: there, a statement fails inside of one only, or the server's clocks of the
// transaction and of the statement differ. Nothing of that takes a privilege. A transaction that goose has opened, and
// that the step might have ended, is marked with a savepoint at its beginning, which must be there still. On MySQL
// a savepoint goes with each DDL statement; there, the text of what a Go migration executes tells. A Go migration that
// asks for a COMMIT itself gets a rollback and an error.
//
// What a migration has set is taken back before its version is recorded in its transaction, if its text has a word that
// may set anything.
//
// # Retries
//
// database/sql repeats what failed with [driver.ErrBadConn], on another connection. A transaction
// begins again with its first statement then, so all that [Config] promises holds for it as well.
// In an outer transaction a repetition finds the transaction lost.
//
// # An outer transaction
//
// With [InTransaction] all steps are savepoints of one transaction. It notices that it is gone when it looks for
// a savepoint of its own, and fails; what was committed stays. What a step sets lasts to its end, but for
// what [Config.OnSavepoint] sets again.
package session
