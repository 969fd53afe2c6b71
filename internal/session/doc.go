// Package session gives goose a *sql.DB whose connections are borrowed from the caller's pool, so
// that what has to be true of every transaction of a run is said in one place, and no migration can
// forget it.
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
// Each connection of a session is one [sql.Conn] of the parent pool. Every call, also those on rows,
// statements and transactions, is made inside [sql.Conn.Raw] of that connection, as database/sql
// demands, and only for as long as the call lasts: to stay in Raw for the whole loan would block
// the application where it closes a statement that it once prepared on that connection. A session
// has no idle connections: what goose gives back is back in the parent pool before goose's call
// returns.
//
// Values, errors and optional interfaces pass through as they are. What can't: [sql.Conn.Raw] on a
// session's connection does not give the driver's connection, so code that asserts its type, such
// as a COPY by pgx's own API, needs the parent pool.
//
// # Retries
//
// database/sql repeats what failed with [driver.ErrBadConn], on another connection. A transaction
// begins again with its first statement then, so all that [Config] promises holds for it as well.
// In an outer transaction a repetition finds the transaction lost.
//
// # What a migration can undo
//
// A session does not read SQL. A migration that says COMMIT in its own text leaves the transaction
// that was opened for it, and what follows is not fenced. An outer transaction notices when it
// looks for its savepoint, and fails; what was committed stays.
//
// Settings that a migration makes by SET, or by set_config(…, false), stay with the connection when
// it goes back, as they do with goose alone, unless [Config.Settings] has them.
package session
