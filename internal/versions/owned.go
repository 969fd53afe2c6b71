package versions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

var (
	// ErrRecorded is the error of a step up whose version somebody else has recorded meanwhile.
	ErrRecorded = errors.New("the version is recorded already")
	// ErrNotRecorded is the error of a step down whose version somebody else has taken back meanwhile.
	ErrNotRecorded = errors.New("the version is not recorded any more")
)

// Rows are the applied versions with the keys of their rows. Where the dialect is not one of those
// that gooseplus knows well, there are no keys.
type Rows struct {
	Applied []int64 // in the order in which they were applied
	keys    map[int64][]int64
	last    int64 // the highest key of any row
	// schema is where the table's name leads, on PostgreSQL, for a connection as it begins; "" is nowhere.
	schema string
	table  *Table // that the rows are of, nil where there are no keys
}

// Table is the table of the rows by the name that the server has for it: a migration may change the search_path with
// which connections begin. was is the table that was asked.
func (r Rows) Table(was *Table) *Table {
	if was.located || r.table == nil || r.schema == "" || strings.HasPrefix(r.schema, "pg_temp") {
		return was
	}
	n := was.name
	n.Schema = r.schema
	located, err := New(was.dialect, was.dialect.Quote(n))
	if err != nil { // goose can't spell it
		return was
	}
	located.located = true
	located.keyed = located.listing(was.name)
	return located
}

// Astray says which schema a table is in that its name alone doesn't lead to any more, "" if it does.
func (r Rows) Astray() string {
	if r.table == nil || !r.table.located || r.table.name.Schema == r.schema {
		return ""
	}
	return r.table.name.Schema
}

// Foreign says whether version has a row that is not the one with the given key; 0 is a key that is
// not known, and is taken for that of a single row.
func (r Rows) Foreign(version, key int64) bool {
	keys := r.keys[version]
	return len(keys) > 1 || len(keys) == 1 && key != 0 && keys[0] != key
}

// Versions are the applied versions in the order in which they were applied.
func (r Rows) Versions() []int64 { return r.Applied }

// Keys are those of the rows of a version, none where there are no keys.
func (r Rows) Keys(version int64) []int64 { return r.keys[version] }

// Past says whether version has rows though it is not applied.
func (r Rows) Past(version int64) bool {
	return len(r.keys[version]) > 0 && !slices.Contains(r.Applied, version)
}

// Owned reads the applied versions with the keys of their rows. If settle is true it first waits
// for transactions that have written to the table and are still open, where the database knows
// such a wait: a COMMIT whose answer was lost may still be under way. That the table is not there
// is an error.
func (t *Table) Owned(ctx context.Context, db *sql.DB, settle bool) (Rows, error) {
	if t.keyed == "" {
		applied, ready, err := t.Applied(ctx, db)
		if err == nil && !ready {
			err = t.errGone()
		}
		return Rows{Applied: applied}, err
	}
	if !settle || t.settle == "" {
		return t.owned(ctx, db)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return Rows{}, err
	}
	if _, err = tx.ExecContext(ctx, t.settle); err == nil {
		var rows Rows
		if rows, err = t.owned(ctx, tx); err == nil {
			return rows, tx.Commit()
		}
	}
	return Rows{}, errors.Join(err, ignoreDone(tx.Rollback()))
}

func (t *Table) errGone() error {
	return fmt.Errorf("the table %s is gone, or no longer on the search path", t.Name())
}

func (t *Table) owned(ctx context.Context, db database.DBTxConn) (r Rows, err error) {
	found, err := db.QueryContext(ctx, t.keyed)
	if err != nil {
		return Rows{}, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	r.keys, r.table = make(map[int64][]int64), t
	var list []entry
	var schema sql.NullString
	for found.Next() {
		var key int64
		var row entry
		if err := found.Scan(&key, &row.version, &row.applied, &schema); err != nil {
			return Rows{}, err
		}
		list = append(list, row)
		r.last = max(r.last, key)
		if row.applied {
			r.keys[row.version] = append(r.keys[row.version], key)
		}
	}
	if err := found.Err(); err != nil {
		return Rows{}, err
	}
	if len(list) == 0 {
		return Rows{}, t.errGone()
	}
	r.Applied, r.schema = newest(list), schema.String
	return r, nil
}

// listing reads the rows with their keys and, on PostgreSQL, the schema that a name without one leads to, which costs
// the server one look.
func (t *Table) listing(plain dialect.Name) string {
	schema := "NULL"
	if t.dialect.Goose == goose.DialectPostgres && plain.Schema == "" {
		schema = "(SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = pg_catalog.to_regclass(" +
			t.dialect.Literal(t.dialect.Quote(plain)) + "))"
	}
	return "SELECT id, version_id, is_applied, " + schema + " FROM " + t.dialect.Quote(t.name) + " ORDER BY id DESC"
}

// keyedStatements are those that need the key of a row, or of all rows.
func (t *Table) keyedStatements(d dialect.Dialect, n dialect.Name) {
	name := d.Quote(n)
	t.name = n
	t.keyed = t.listing(n)
	// The short form costs the server next to nothing. The long one is for a version that has rows
	// which goose wrote long ago to say that it was applied and taken back: these are no obstacle.
	insert := func(from, arg string, long bool) string {
		statement := "INSERT INTO " + name + " (version_id, is_applied) SELECT " + arg + ", TRUE" + from +
			" WHERE NOT EXISTS (SELECT 1 FROM " + name + " AS v WHERE v.version_id = " + arg + " AND v.is_applied"
		if long {
			statement += " AND v.id = (SELECT max(w.id) FROM " + name + " AS w WHERE w.version_id = " + arg + ")"
		}
		return statement + ")"
	}
	t.remove = "DELETE FROM " + name + " WHERE version_id = ?"
	switch d.Goose {
	case goose.DialectPostgres:
		t.remove = "DELETE FROM " + name + " WHERE version_id = $1"
		t.insert, t.insertAgain = insert("", "$1", false)+" RETURNING id", insert("", "$1", true)+" RETURNING id"
		t.insertAny = "INSERT INTO " + name + " (version_id, is_applied) VALUES ($1, TRUE) RETURNING id"
		t.others = "SELECT count(*) FROM " + name + " WHERE version_id = $1 AND is_applied AND id <> $2"
		t.returning = true
		t.settle = "LOCK TABLE " + name + " IN SHARE MODE"
	case goose.DialectMySQL:
		t.insert, t.insertAgain = insert(" FROM DUAL", "?", false), insert(" FROM DUAL", "?", true)
		t.settle = "SELECT count(*) FROM " + name + " LOCK IN SHARE MODE"
	case goose.DialectSQLite3:
		t.insert, t.insertAgain = insert("", "?", false), insert("", "?", true)
	}
}

// insertNext inserts the row of a version and returns its key. As long as that is the one after the
// last key known, nobody else has inserted a row meanwhile, and the server is spared the question
// whether there is one of this version, which costs it more than the row.
func (t *Table) insertNext(ctx context.Context, tx *sql.Tx, version, last int64) (key int64, next bool, err error) {
	if err := tx.QueryRowContext(ctx, t.insertAny, version).Scan(&key); err != nil {
		return 0, false, err
	}
	if key == last+1 {
		return key, true, nil
	}
	var others int
	if err := tx.QueryRowContext(ctx, t.others, version, key).Scan(&others); err != nil {
		return 0, false, err
	}
	if others > 0 {
		return 0, false, ErrRecorded // and goose rolls the row back
	}
	return key, false, nil
}

// insertOwn inserts the row of a version unless there is one, and returns its key.
// again says that it has rows of the past.
func (t *Table) insertOwn(ctx context.Context, db database.DBTxConn, version int64, again bool) (key int64, err error) {
	statement, args := t.insert, []any{version, version}
	if again {
		statement, args = t.insertAgain, []any{version, version, version}
	}
	if t.returning {
		err = db.QueryRowContext(ctx, statement, version).Scan(&key)
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrRecorded
		}
		return key, err
	}
	result, err := db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, ErrRecorded
	}
	return result.LastInsertId()
}

// Transactional says whether every table of the server that this user sees is of an engine with
// transactions, so that a DML statement that failed has left nothing. It is asked of MySQL and
// MariaDB, where that is not a matter of course; that it can't be found out means no.
func (t *Table) Transactional(ctx context.Context, db database.DBTxConn) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var others int
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND engine <> 'InnoDB'
		AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')`).Scan(&others)
	return err == nil && others == 0
}

// removeOwn deletes the rows of a version, of which there has to be one.
func (t *Table) removeOwn(ctx context.Context, db database.DBTxConn, version int64) error {
	result, err := db.ExecContext(ctx, t.remove, version)
	if err != nil {
		return fmt.Errorf("failed to delete version %d: %w", version, err)
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return ErrNotRecorded
}
