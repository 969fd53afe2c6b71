package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/session"
)

// StatementTimeouts are limits that the database itself keeps, for [WithStatementTimeouts]. They are
// rounded up to what the server counts in; more than 24 days count as 24 days.
type StatementTimeouts struct {
	// Lock is how long a statement waits for a lock: lock_timeout in PostgreSQL, lock_wait_timeout
	// and innodb_lock_wait_timeout in MySQL and MariaDB, in whole seconds, and the busy_timeout of
	// SQLite. A statement that waits for a table lock blocks every later statement on that table,
	// even a SELECT. So keep it short, a small part of the migration
	// timeout. mattn/go-sqlite3 waits to the end of it even if the migration timeout ends earlier.
	// Zero leaves the setting of the connection as it is; a connection of SQLite without any busy_timeout has 5 seconds
	// during a run, as otherwise anybody who reads the file for a moment makes the run fail.
	Lock time.Duration
	// Statement is how long a statement may take: statement_timeout in PostgreSQL,
	// max_statement_time in MariaDB, and max_execution_time in MySQL, which stops SELECT and nothing
	// else. SQLite has no such limit, so that it is a configuration fault there: use
	// [WithMigrationTimeout]. Zero leaves the setting of the connection as it is.
	Statement time.Duration
	// Retries is how often a migration is tried again after lock contention: 0 means until the migration timeout,
	// a negative number means never. With [RollbackTransaction] nothing is tried again.
	Retries int
}

// WithStatementTimeouts has the database limit how long a migration's statements wait for locks and how long they take.
// A migration that failed because of another session is tried again: after a lock timeout, a
// deadlock, a serialization failure, or a busy SQLite database. Only a migration that certainly left nothing
// is tried again: one in a transaction or, on MySQL and MariaDB, one statement that the server executes
// completely or not at all. A migration outside a transaction has the timeouts, and is not tried again. A Go
// migration in a transaction is called once more for each attempt.
//
// Between two attempts there is no transaction, and the pause grows from less than 100 milliseconds
// to 2 seconds. All attempts together have the migration timeout. The observers get one
// [MigrationStarted] and one [MigrationFinished] for all attempts, and a [Warning] before each further attempt.
// The way back does the same.
//
// A migration can set its own timeouts. On PostgreSQL, a migration with a COMMIT has no timeouts after it. With this option,
// the connections of a Go migration without a transaction have the timeouts too.
//
// A negative duration is a configuration fault, as is this option with a dialect other than
// PostgreSQL, MySQL (MariaDB) and SQLite. By default the connections' own timeouts hold, and nothing is tried again.
func WithStatementTimeouts(t StatementTimeouts) Option {
	return optionFunc(func(o *options) { o.statementTimeouts = &t })
}

// faults reports what is wrong with the timeouts on a database.
func (t *StatementTimeouts) faults(d dialect.Dialect) (faults []error) {
	if t == nil {
		return nil
	}
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("WithStatementTimeouts: "+format, args...))
	}
	for _, x := range []struct {
		name  string
		value time.Duration
	}{{"Lock", t.Lock}, {"Statement", t.Statement}} {
		if x.value < 0 {
			fault("%s: %v is negative", x.name, x.value)
		}
	}
	switch {
	case d.Goose == "":
		// It is unknown, which is a fault already.
	case !d.Quotes():
		fault("the dialect %s has no statement timeouts", d.Goose)
	case t.Statement > 0 && !d.LimitsStatements():
		fault("SQLite can't limit a statement: use WithMigrationTimeout")
	}
	return faults
}

// isMariaDB asks the server which one it is, if that makes a difference.
func (t *StatementTimeouts) isMariaDB(ctx context.Context, whole *target, db *sql.DB) (bool, error) {
	if t == nil {
		return false, nil
	}
	is, err := session.Limits{Statement: t.Statement}.IsMariaDB(ctx, db, whole.dialect)
	if err != nil {
		return false, whole.tableError(ctx, err)
	}
	return is, nil
}

// retries is how often a step is tried again that met another session (negative: until its time is over), and how long
// its statements wait for a lock. In the one transaction of a whole run the pause between two attempts would keep the
// locks of all migrations before.
func (o *options) retries() (retries int, lockWait time.Duration) {
	t := o.statementTimeouts
	if t == nil {
		return 0, 0
	}
	lockWait = session.RoundUp(t.Lock, time.Second)
	switch {
	case o.oneTransaction(), t.Retries < 0:
		return 0, lockWait
	case t.Retries == 0:
		return -1, lockWait
	}
	return t.Retries, lockWait
}
