package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/session"
)

// StatementTimeouts are limits that the database itself keeps, for [WithStatementTimeouts]. They are
// rounded up to what the server counts in; more than 24 days count as 24 days.
type StatementTimeouts struct {
	// Lock is how long a statement waits for a lock: lock_timeout in PostgreSQL, lock_wait_timeout
	// and innodb_lock_wait_timeout in MySQL and MariaDB, in whole seconds, and the busy_timeout of
	// SQLite. While a statement waits for a lock on a table, everybody who comes after it waits too,
	// also those who only want to read. So it should be short, and a small part of the migration
	// timeout; mattn/go-sqlite3 waits to its end even when the migration timeout is over before.
	// Zero leaves the setting of the connection as it is.
	Lock time.Duration
	// Statement is how long a statement may take: statement_timeout in PostgreSQL,
	// max_statement_time in MariaDB, and max_execution_time in MySQL, which stops SELECT and nothing
	// else. SQLite has no such limit, so that it is a configuration fault there: use
	// [WithMigrationTimeout]. Zero leaves the setting of the connection as it is.
	Statement time.Duration
	// Retries is how often a migration is tried again: 0 is as often as the migration timeout
	// allows, a negative number is never. With [RollbackTransaction] nothing is tried again.
	Retries int
}

// WithStatementTimeouts has the database limit how long the statements of migrations wait and take,
// and tries a migration again that failed because somebody else was in the way: a lock timeout, a
// deadlock or a serialization failure, or a busy SQLite database. That takes a migration that is
// certain to have left nothing: one in a transaction or, on MySQL and MariaDB, one statement that is
// all or nothing. A migration outside a transaction has the timeouts and is not tried again. A Go
// migration in a transaction is called once more for each attempt.
//
// Between two attempts there is no transaction, and the pause grows from less than 100 milliseconds
// to 2 seconds. All attempts together have the migration timeout. The observers get one
// [MigrationStarted] and one [MigrationFinished] for them, and a [Warning] for each that is followed
// by another one. The way back is no different.
//
// A migration can set timeouts of its own; on PostgreSQL, one that says COMMIT has none from there
// on. With this option, the connections of a Go migration without a
// transaction have the timeouts too.
//
// A negative duration is a configuration fault, as is this option with a dialect other than
// PostgreSQL, MySQL (MariaDB) and SQLite. By default, there are the timeouts that the connections
// have anyway, and nothing is tried again.
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
		fault("there are no timeouts for the dialect %s", d.Goose)
	case d.Goose == goose.DialectSQLite3 && t.Statement > 0:
		fault("SQLite has no limit for a statement: use WithMigrationTimeout")
	}
	return faults
}

// configure adds the timeouts to what a session does. They hold in every transaction that the run
// opens on its target, and for statements outside.
func (t *StatementTimeouts) configure(cfg *session.Config, d dialect.Dialect, mariadb bool) {
	switch d.Goose {
	case goose.DialectPostgres:
		t.inPostgres(cfg)
	case goose.DialectMySQL:
		t.inMySQL(cfg, mariadb)
	case goose.DialectSQLite3:
		if t.Lock > 0 {
			cfg.Settings = append(cfg.Settings, timeoutSetting("PRAGMA busy_timeout",
				func(v []string) string { return "PRAGMA busy_timeout = " + v[0] }, units(t.Lock, time.Millisecond)))
			cfg.SettingsFirst = true
		}
	}
}

// inPostgres limits each transaction for itself: a setting that is LOCAL ends with it, whatever
// happens. SET takes no snapshot, so that a migration can still choose its isolation level.
func (t *StatementTimeouts) inPostgres(cfg *session.Config) {
	var names, values []string
	if t.Lock > 0 {
		names, values = append(names, "lock_timeout"), append(values, units(t.Lock, time.Millisecond))
	}
	if t.Statement > 0 {
		names, values = append(names, "statement_timeout"), append(values, units(t.Statement, time.Millisecond))
	}
	if len(names) == 0 {
		return
	}
	set := func(set string, values []string) string {
		var list []string
		for i, name := range names {
			list = append(list, fmt.Sprintf("%s %s = '%s'", set, name, values[i]))
		}
		return strings.Join(list, "; ")
	}
	local := session.Statement{Query: set("SET LOCAL", values)}
	cfg.OnBeginSettings, cfg.OnSavepoint = append(cfg.OnBeginSettings, local), append(cfg.OnSavepoint, local)
	cfg.Settings = append(cfg.Settings, timeoutSetting(
		"SELECT concat_ws(' ', current_setting('"+strings.Join(names, "'), current_setting('")+"'))",
		func(values []string) string { return set("SET", values) }, values...))
}

// inMySQL limits the connection, since a transaction has no settings of its own there.
func (t *StatementTimeouts) inMySQL(cfg *session.Config, mariadb bool) {
	var names, values []string
	if t.Lock > 0 {
		seconds := units(t.Lock, time.Second)
		names, values = append(names, "lock_wait_timeout", "innodb_lock_wait_timeout"), append(values, seconds, seconds)
	}
	switch {
	case t.Statement > 0 && mariadb:
		seconds := fmt.Sprintf("%.3f", up(t.Statement, time.Millisecond).Seconds())
		names, values = append(names, "max_statement_time"), append(values, seconds)
	case t.Statement > 0:
		names, values = append(names, "max_execution_time"), append(values, units(t.Statement, time.Millisecond))
	}
	if len(names) == 0 {
		return
	}
	cfg.Settings = append(cfg.Settings, timeoutSetting(
		"SELECT CONCAT_WS(' ', @@SESSION."+strings.Join(names, ", @@SESSION.")+")",
		func(values []string) string {
			var list []string
			for i, name := range names {
				list = append(list, "SESSION "+name+" = "+values[i])
			}
			return "SET " + strings.Join(list, ", ")
		}, values...))
	cfg.SettingsFirst = true
}

// timeoutSetting is several variables in one, with spaces between their values: what is told one by
// one costs a step a round trip each.
func timeoutSetting(read string, write func(values []string) string, values ...string) session.Setting {
	return session.Setting{
		Read: read,
		Write: func(v any) session.Statement {
			return session.Statement{Query: write(strings.Fields(fmt.Sprint(v)))}
		},
		Value: strings.Join(values, " "),
	}
}

// longest is what all servers take: PostgreSQL counts milliseconds in 32 bits.
const longest = math.MaxInt32 * time.Millisecond

// up rounds up, since 0 means no limit to most servers.
func up(d, unit time.Duration) time.Duration {
	d = min(d, longest)
	if rest := d % unit; rest > 0 {
		d += unit - rest
	}
	return d
}

func units(d, unit time.Duration) string { return fmt.Sprint(int64(up(d, unit) / unit)) }

// isMariaDB asks the server which one it is, if that makes a difference.
func (t *target) isMariaDB(ctx context.Context, db *sql.DB, timeouts *StatementTimeouts) (bool, error) {
	if timeouts == nil || timeouts.Statement == 0 || t.dialect.Goose != goose.DialectMySQL {
		return false, nil
	}
	var version string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return false, t.tableError(ctx, err)
	}
	return strings.Contains(strings.ToLower(version), "mariadb"), nil
}

// retries is how often a step is tried again that met another session (negative: until its time is over), and how long
// its statements wait for a lock. In the one transaction of a whole run the pause between two attempts would keep the
// locks of all migrations before.
func (o *options) retries() (retries int, lockWait time.Duration) {
	t := o.statementTimeouts
	if t == nil {
		return 0, 0
	}
	lockWait = up(t.Lock, time.Second)
	switch {
	case o.oneTransaction(), t.Retries < 0:
		return 0, lockWait
	case t.Retries == 0:
		return -1, lockWait
	}
	return t.Retries, lockWait
}
