// Package history reads and writes what a database remembers of its migrations.
//
// The version table is goose's: its layout, its creation and its rows are those of goose's own Store, so that goose
// tells the same story of the same database. This package adds what goose lacks: names that need quotes, one statement
// that reads everything a run wants to know, the keys of rows, and a creation that may race.
//
// The state table belongs to a version table. It remembers runs and their outcomes, steps that were not finished, and
// marks of versions and environments. It excludes nobody: that is what the mutex does (package mutex), which needs no
// table. All of it is in one table, so that a run reads what it decides on in one place, and each row is found by its
// primary key. That matters on MySQL, where a statement that scans a table locks every row that it sees.
//
// Statements that differ between databases are in the file of each database, behind the interface server. The dialects
// that gooseplus leaves to goose have a version table only.
package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/mutex"
)

// Querier is a pool, a connection or a transaction.
type Querier = database.DBTxConn

// server is what one database has of its own.
type server interface {
	// terms are the words in which the databases say the same thing.
	terms() terms
	// there is a query that finds a row if the table is there: a boot of a run without the lock executes it.
	there(n dialect.Name) string
	// columns is a query for the columns of a table: the name of each, and 1 if the table is partitioned.
	columns(n dialect.Name) string
	// schemas is a query for a row for each of the schemas: its number from 1, and whether the schema, the first and the
	// second table are there.
	schemas(names []string, first, second string) (query string, args []any)
	// candidates is a query for the tables beside a version table that may be another tool's: schema, table and column. One
	// more row has the schema, no table, and the number of tables that aren't called like those in own.
	candidates(version dialect.Name, names, columns, own string) string
	// mutex is the lock of a state table. pool is the application's: db has the same connections.
	mutex(ctx context.Context, s *State, db, pool *sql.DB, idle time.Duration) (mutex.Mutex, error)

	// write executes statements all at once or not at all, and returns how many rows the last of them affected. The
	// session's autocommit, isolation and read-only mode make no difference.
	write(ctx context.Context, pool *sql.DB, statements []string) (affected int64, err error)
	// read calls f, which writes nothing, and leaves no transaction open and no row locked.
	read(ctx context.Context, pool *sql.DB, f func(Querier) error) error
	// upgrade makes the state table of an older version that of this one. It waits for nobody.
	upgrade(ctx context.Context, pool *sql.DB, t *table, old layout) error

	// activity is what the server does on a connection.
	activity(ctx context.Context, pool *sql.DB, c Connection) (Activity, error)
	// blocker is the connection that has locked one of two rows, or the table; its Gone is true if nobody has.
	blocker(ctx context.Context, pool *sql.DB, t *table, id, or string) (Activity, error)
	// end ends a connection if it still is the one that was found.
	end(ctx context.Context, pool *sql.DB, c Connection, a Activity) error
}

// terms are parts of statements. See table.sql for {table} and question marks.
type terms struct {
	appliedAt   string // the time of a version's row, in microseconds of Unix time
	leadsTo     string // the schema that a table's name leads to, where that can change; ? is the name
	settle      string // waits for the transactions that have written to {table}, "" if there can't be any
	text        string // what follows the type of a column with text
	onDuplicate string // begins the part of an INSERT that changes the row which is there instead
	assign      string // sets a column in that part: % stands for its name
	begin       string // begins a transaction of a run, before anything else
	lockRow     string // ends a SELECT that locks its row, "" where there is one writer
	lockRead    string // follows a table of which a condition must lock every row that it reads
	lockClaims  string // has claims wait for each other, where no condition sees a claim that is not committed yet
	returning   string // ends an INSERT that returns the key, "" where the driver tells the key
	cursor      string // declares a cursor for the query that follows, "" where drivers don't keep the texts of queries
	connection  string // asks a connection what the server calls it; ? is the run. "" if there is no name
	sums        string // the number, the checksums and the highest requirement of applied versions, see Sums
	staysOpen   bool   // a SELECT outside a transaction may begin one that stays open
	foldsTables bool   // the names of tables are the same in any case
}

// serverOf returns nil for dialects that gooseplus leaves to goose.
func serverOf(d dialect.Dialect) server {
	switch d.Goose {
	case goose.DialectPostgres:
		return postgres{d}
	case goose.DialectMySQL:
		return mysql{Dialect: d}
	case goose.DialectSQLite3:
		return sqlite{d}
	}
	return nil
}

// each calls f for each row that a query finds.
func each(ctx context.Context, db Querier, query string, f func(*sql.Rows) error, args ...any) (err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// inTransaction commits what f has executed unless f fails.
func inTransaction(ctx context.Context, db interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, failure.IgnoreDone(tx.Rollback()))
	}
	return tx.Commit()
}
