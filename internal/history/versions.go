package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Versions is a version table, which need not exist yet.
type Versions struct {
	store   database.Store
	dialect dialect.Dialect
	rows    access
	// own are the same rows where gooseplus knows the dialect well, nil for dialects that it leaves to goose.
	own *ownRows
}

// access is how the rows of a version table are read and written.
type access interface {
	// exist says whether the table is there.
	exist(ctx context.Context, db Querier) (bool, error)
	// list returns all rows, the newest first, and the schema that the table's name leads to, "" if that can't be told.
	list(ctx context.Context, db Querier) (rows []row, schema string, err error)
	// times is list with the time of each row that counts, without keys.
	times(ctx context.Context, db Querier) ([]row, error)
	// insert is that of server.
	insert(ctx context.Context, db Querier, version, last int64) (key int64, err error)
	// remove takes back a version, or returns ErrNotRecorded where that can be told.
	remove(ctx context.Context, db Querier, version int64) error
}

// row says of a version that it was applied, or taken back.
type row struct {
	key     int64 // 0 where it can't be told
	version int64
	at      int64 // microseconds of Unix time, if timed
	applied bool
	timed   bool
}

// NewVersions names a version table. name is what goose's WithTableName takes.
func NewVersions(d dialect.Dialect, name string) (v *Versions, err error) {
	v = &Versions{dialect: d}
	if server := serverOf(d); server != nil {
		n, err := d.ParseName(name)
		if err != nil {
			return nil, err
		}
		name = d.Quote(n)
		v.own = &ownRows{table: newTable(server, d, n), given: n}
	}
	if v.store, err = database.NewStore(d.Goose, name); err != nil {
		return nil, err
	}
	v.rows = gooseRows{v.store}
	if v.own != nil {
		v.rows = v.own
	}
	return v, nil
}

// Name is the table's name as it stands in statements.
func (v *Versions) Name() string { return v.store.Tablename() }

// Applied reads the applied versions in the order in which they were applied, in one statement if the table is there.
// A table that is missing is no error: ready is false then. ready is false for a table without rows too, which a
// creation that was cut off leaves on databases where DDL commits by itself. The zero version, which goose records when
// it creates the table, is left out.
func (v *Versions) Applied(ctx context.Context, db Querier) (applied []int64, ready bool, err error) {
	list, err := v.readRows(ctx, db, func(ctx context.Context, db Querier) ([]row, error) {
		list, _, err := v.rows.list(ctx, db)
		return list, err
	})
	if err != nil {
		return nil, false, err
	}
	return newest(list), len(list) > 0, nil
}

// readRows reads the rows, none if the table is missing.
func (v *Versions) readRows(ctx context.Context, db Querier, read func(context.Context, Querier) ([]row, error)) ([]row, error) {
	list, err := read(ctx, db)
	if err == nil {
		return list, nil
	}
	if gone, err := v.gone(ctx, db, err); err != nil || gone {
		return nil, err
	}
	return read(ctx, db) // another process may have created the table after the first try
}

// gone says whether a statement that failed with cause failed because there is no table. It returns cause if that
// can't be told.
func (v *Versions) gone(ctx context.Context, db Querier, cause error) (bool, error) {
	there, err := v.rows.exist(ctx, db)
	if err != nil || !there && v.dialect.Denied(cause) { // MySQL hides tables that a user may not read
		return false, cause
	}
	return !there, nil
}

// Missing says whether the table, which could not be read because of cause, is missing.
func (v *Versions) Missing(ctx context.Context, db Querier, cause error) bool {
	missing, err := v.gone(ctx, db, cause)
	return err == nil && missing
}

// newest returns the applied versions of rows that come newest first, in the order in which they were applied.
func newest(rows []row) []int64 {
	versions := make([]int64, 0, len(rows))
	eachApplied(rows, func(r row) { versions = append(versions, r.version) })
	return versions
}

// eachApplied calls f for the rows that say that a version is applied, the oldest first. rows come newest first. A version
// can have several rows because goose before v3 kept its history in the table: the newest row counts.
func eachApplied(rows []row, f func(row)) {
	var past []bool // the rows of a version behind its newest, nil if no version can have two rows
	descending := true
	for i := 1; i < len(rows) && descending; i++ {
		descending = rows[i].version < rows[i-1].version
	}
	if !descending {
		seen := make(map[int64]bool, len(rows))
		past = make([]bool, len(rows))
		for i, r := range rows {
			past[i], seen[r.version] = seen[r.version], true
		}
	}
	for i, r := range slices.Backward(rows) {
		if r.applied && r.version != 0 && (past == nil || !past[i]) {
			f(r)
		}
	}
}

// Entry is an applied version.
type Entry struct {
	Version int64
	At      time.Time // in UTC; zero if the table has no time, or none that the database understands
}

// Entries is Applied with the time of each version. It takes one statement, except for dialects that gooseplus leaves
// to goose: goose tells the time of one version a statement.
func (v *Versions) Entries(ctx context.Context, db Querier) ([]Entry, error) {
	rows, err := v.readRows(ctx, db, v.rows.times)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	eachApplied(rows, func(r row) {
		e := Entry{Version: r.version}
		if r.timed {
			e.At = time.UnixMicro(r.at).UTC()
		}
		entries = append(entries, e)
	})
	return entries, nil
}

// Create creates the table with its zero version, as goose does. It is no error if another process creates the table
// at the same moment: PostgreSQL fails one of the two even with IF NOT EXISTS.
func (v *Versions) Create(ctx context.Context, db *sql.DB) error {
	err := inTransaction(ctx, db, func(tx *sql.Tx) error {
		if err := v.store.CreateVersionTable(ctx, tx); err != nil {
			return err
		}
		return v.insertZero(ctx, tx)
	})
	if err == nil {
		return nil
	}
	rows, _, readErr := v.rows.list(ctx, db)
	switch {
	case readErr != nil:
		if there, checkErr := v.rows.exist(ctx, db); checkErr == nil && there {
			return readErr // there is a table of that name that is no version table
		}
		return err
	case len(rows) > 0:
		return nil
	}
	return v.insertZero(ctx, db)
}

func (v *Versions) insertZero(ctx context.Context, db Querier) error {
	return v.store.Insert(ctx, db, database.InsertRequest{Version: 0})
}

// Rewrite records and takes back versions without executing anything.
func (v *Versions) Rewrite(ctx context.Context, tx *sql.Tx, add, remove []int64) error {
	for _, version := range remove {
		if err := v.store.Delete(ctx, tx, version); err != nil {
			return err
		}
	}
	for _, version := range add {
		if err := v.store.Insert(ctx, tx, database.InsertRequest{Version: version}); err != nil {
			return err
		}
	}
	return nil
}

var (
	// ErrRecorded is the error of a step up whose version somebody else has recorded meanwhile.
	ErrRecorded = errors.New("the version is recorded already")
	// ErrNotRecorded is the error of a step down whose version somebody else has taken back meanwhile.
	ErrNotRecorded = errors.New("the version is not recorded any more")
)

// errGone is the error of a table that must be there.
func (v *Versions) errGone() error {
	return fmt.Errorf("the table %s is gone, or no longer on the search path", v.Name())
}
