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
// that gooseplus leaves to goose have a version table only (file other.go).
package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/dialect"
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
	// insert records a version and returns the key of its row, or ErrRecorded if a row above the last key that the run
	// knows has recorded the version.
	insert(ctx context.Context, db Querier, t *table, version, last int64) (key int64, err error)
	// schemas is a query for a row for each of the schemas: its number from 1, and whether the schema, the first and the
	// second table are there.
	schemas(names []string, first, second string) (query string, args []any)
	// queryOnce executes a query whose text is never used again. end must be called after the rows were closed.
	queryOnce(ctx context.Context, conn *sql.Conn, query string) (rows *sql.Rows, end func() error, err error)
	// candidates is a query for the tables beside a version table that may be another tool's: schema, table and column.
	candidates(version dialect.Name, names, columns string) string
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
	connection  string // asks a connection what the server calls it; ? is the run. "" if there is no name
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
func each(ctx context.Context, db Querier, query string, f func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	return scan(rows, f)
}

func scan(rows *sql.Rows, f func(*sql.Rows) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// inTransaction commits what f has executed unless f fails.
func inTransaction(ctx context.Context, pool *sql.DB, f func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// ignoreDone drops the error of a transaction that its context has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
