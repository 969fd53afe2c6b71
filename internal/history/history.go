// Package history reads and writes what a database remembers of its migrations.
//
// The version table is goose's: goose's own Store defines its layout, its creation and its rows, so that goose reports the same
// versions. This package adds names that need quotes, one statement that reads everything that a run wants to know, the keys
// of rows, and a creation that may race.
//
// The state table belongs to a version table. It remembers runs and their outcomes, unfinished steps, and marks of versions and
// environments. It excludes nobody: the lock (package mutex) needs no table. One table has all of it, so that a run reads
// everything in one statement. Each row is found by its primary key, because a statement that scans a table locks every row
// on MySQL.
//
// Statements that differ between databases are in the file of each database, behind the interface server. Dialects
// that gooseplus leaves to goose have a version table only.
package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

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
	// there is a query that finds a row if the table exists. Each boot without the lock executes it.
	there(n dialect.Name) string
	// columns is a query for the columns of a table: the name of each, and 1 if the table is partitioned.
	columns(n dialect.Name) string
	// schemas is a query that gives a row for each schema: its number from 1, and whether the schema, the first and the second
	// table exist.
	schemas(names []string, first, second string) (query string, args []any)
	// candidates is a query for the tables beside a version table that may belong to another tool: schema, table and column.
	// One more row has the schema, no table, and the number of tables whose names aren't in own.
	candidates(version dialect.Name, names, columns, own string) string
	// creating is a query for the schema that connections create tables in; there is no row if they can't.
	creating() string
	// relations is a query for the names of what has rows in a schema, and of sequences.
	relations(schema string) string
	// unsafe is a query for the name of a table, and isUnsafe, if its storage engine has no transactions; unsafeByDefault finds a row
	// if a new table's would have none. They are "" where every table has transactions.
	unsafe(t *table) string
	unsafeByDefault() string
	// object is a query that finds a row if the object exists.
	object(o dialect.Object) string
	// mutex is the lock of a state table, see [State.Mutex].
	mutex(ctx context.Context, s *State, db, pool *sql.DB, lease mutex.Lease) (mutex.Mutex, error)

	// write executes all statements or none, and returns how many rows the last one affected. The session's autocommit,
	// isolation and read-only mode make no difference.
	write(ctx context.Context, pool *sql.DB, statements []string) (affected int64, err error)
	// read calls f, which writes nothing, and leaves no transaction open and no row locked.
	read(ctx context.Context, pool *sql.DB, f func(Querier) error) error
	// upgrade upgrades the state table of an older version. It doesn't wait for other users of the table.
	upgrade(ctx context.Context, pool *sql.DB, t *table, old layout) error

	// unlessGone is a statement that doesn't end its transaction if its table is missing.
	unlessGone(statement string) string

	// activity is what the server does on a connection.
	activity(ctx context.Context, pool *sql.DB, c Connection) (Activity, error)
	// blocker is the connection that has locked one of two rows, or the table. Gone means that there is none.
	blocker(ctx context.Context, pool *sql.DB, t *table, id, or string) (Activity, error)
	// blockers are the connections for which others wait, see [Connections.Blockers].
	blockers(ctx context.Context, pool *sql.DB, waiting []Waiting) ([]Blocker, error)
	// end ends a connection, unless its number belongs to another connection by now.
	end(ctx context.Context, pool *sql.DB, c Connection, a Activity) error
}

// terms are parts of statements, in which table.sql replaces {table} and question marks.
type terms struct {
	appliedAt   string // the time of a version's row, in microseconds of Unix time
	leadsTo     string // the schema that a table's name leads to, where a session can change that; ? is the name
	hides       string // says whether the server hides rows of {table} from this user; ? is the name; "" if no server does that
	unusable    string // finds the GRANT that the user needs to see the table ?, if a schema is in the way; "" if none can be
	writers     string // waits for the transactions that have written to {table}, "" if there can't be any
	text        string // follows the type of a text column
	onDuplicate string // begins the part of an INSERT that changes the row if it exists
	assign      string // sets a column in that part: % is its name
	soon        string // has a transaction reach the disk no later than the next one, "" if that makes no difference
	begin       string // begins a transaction of a run, before anything else
	locks       locks
	returning   string // ends an INSERT that returns the key, "" where the driver tells the key
	cursor      string // declares {cursor} for the query that follows, "" where drivers don't keep the texts of queries
	connection  string // asks a connection for its name; ? is the run; "" if there is no name
	sums        string // the number, the checksums and the highest requirement of applied versions, see Sums
	together    bool   // drivers take several statements in one text: one round trip, and the count of the last one
	staysOpen   bool   // a SELECT outside a transaction may begin one that stays open
}

// locks are the parts of statements that lock rows.
type locks struct {
	row    string // ends a SELECT that locks its row, "" where there is one writer
	read   string // follows a table in a condition that must lock every row that it reads
	claims string // has claims wait for each other, where a condition doesn't see uncommitted claims
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

// table is a table of a database whose dialect gooseplus knows well.
type table struct {
	server  server
	dialect dialect.Dialect
	name    dialect.Name
	quoted  string
}

func newTable(server server, d dialect.Dialect, n dialect.Name) table {
	return table{server, d, n, d.Quote(n)}
}

// ErrHidden is the error of a table, or of rows of it, that the server doesn't show to this user.
var ErrHidden = failure.Outcome("this user can't see it")

// hidden is for a table that has rows, as far as anybody knows, and of which none were found.
func (t *table) hidden(ctx context.Context, db Querier) error {
	query, hides := t.server.terms().hides, 0
	if query == "" {
		return nil
	}
	// Servers that only speak PostgreSQL's protocol may not know the question.
	if err := db.QueryRowContext(ctx, t.sql(query, t.quoted)).Scan(&hides); err != nil || hides == 0 {
		return nil
	}
	return fmt.Errorf("%w: row-level security hides its rows: ALTER TABLE %s NO FORCE ROW LEVEL SECURITY shows them to its owner, DISABLE ROW LEVEL SECURITY to all",
		ErrHidden, t.quoted)
}

// unusable is for a table that wasn't found: it is ErrHidden if the table is in a schema that this user may not use, and that comes
// before the schema in which it would be created.
func (t *table) unusable(ctx context.Context, db Querier) error {
	query, grant := t.server.terms().unusable, ""
	if query == "" || t.name.Schema != "" {
		return nil
	}
	// Servers that only speak PostgreSQL's protocol may not know the question.
	if err := db.QueryRowContext(ctx, t.sql(query, t.name.Table)).Scan(&grant); err != nil {
		return nil
	}
	return fmt.Errorf("%w: it is in a schema of the search_path that the role may not use: %s", ErrHidden, grant)
}

// IsThere says whether the table exists, in any schema of PostgreSQL's search_path. goose's own check compares the name with its
// quotes, knows only the first schema, and visits every table of that name in the database.
func (t *table) IsThere(ctx context.Context, db Querier) (bool, error) {
	var one int
	err := db.QueryRowContext(ctx, t.server.there(t.name)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// sql puts the table's name in the place of {table}, and literals in the place of question marks. PostgreSQL takes several
// statements in one text, in one round trip and one transaction, only without arguments. With arguments most drivers take two
// or three round trips for one statement.
func (t *table) sql(query string, args ...any) string {
	var b strings.Builder
	for i, piece := range strings.Split(query, "?") {
		if i > 0 {
			switch arg := args[i-1].(type) {
			case int, int64:
				fmt.Fprint(&b, arg)
			case bool:
				fmt.Fprint(&b, map[bool]int{true: 1}[arg])
			default:
				b.WriteString(t.dialect.Literal(fmt.Sprint(arg)))
			}
		}
		b.WriteString(strings.ReplaceAll(piece, "{table}", t.quoted))
	}
	return b.String()
}

// orChange ends an INSERT that changes columns of the row if the row exists.
func (t *table) orChange(columns ...string) string {
	terms := t.server.terms()
	for i, column := range columns {
		columns[i] = strings.ReplaceAll(terms.assign, "%", column)
	}
	return terms.onDuplicate + strings.Join(columns, ", ")
}

// write executes all statements or none, in the caller's transaction if db is one, and returns how many rows the last
// statement affected.
func (t *table) write(ctx context.Context, db Querier, statements ...string) (affected int64, err error) {
	if pool, ok := db.(*sql.DB); ok {
		return t.server.write(ctx, pool, statements)
	}
	if t.server.terms().together {
		statements = []string{strings.Join(statements, "; ")}
	}
	return executeAll(ctx, db, statements)
}

// soon begins the statements of a write that need not be on the disk before the run commits a migration, which puts it there
// first: after a crash of the server there are either both or neither.
func (t *table) soon(db Querier) []string {
	if _, pool := db.(*sql.DB); !pool || t.server.terms().soon == "" {
		return nil
	}
	return []string{t.server.terms().soon}
}

// executeAll executes statements one after the other, and returns how many rows the last one affected.
func executeAll(ctx context.Context, db Querier, statements []string) (affected int64, err error) {
	for _, s := range statements {
		if affected, err = rowsAffected(db.ExecContext(ctx, s)); err != nil {
			return 0, err
		}
	}
	return affected, nil
}

// rowsAffected is an error if a driver has returned neither a result nor an error, where database/sql panics.
func rowsAffected(result sql.Result, failed error) (n int64, err error) {
	if failed != nil {
		return 0, failed
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the driver returned neither a result nor an error: it is unknown whether the statement was executed (%v)", p)
		}
	}()
	return result.RowsAffected()
}
