package history

import (
	"cmp"
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
	own     *table       // nil for dialects that gooseplus leaves to goose
	given   dialect.Name // the name in the configuration, which may lead to another table by now
	located bool         // own has the schema in which the server has found the table
}

// row says of a version that it was applied, or taken back.
type row struct {
	key     int64 // 0 where it can't be told
	version int64
	applied bool
	at      sql.NullInt64 // microseconds of Unix time
}

// NewVersions names a version table. name is what goose's WithTableName takes.
func NewVersions(d dialect.Dialect, name string) (v *Versions, err error) {
	v = &Versions{dialect: d}
	if server := serverOf(d); server != nil {
		if v.given, err = d.ParseName(name); err != nil {
			return nil, err
		}
		own := newTable(server, d, v.given)
		v.own, name = &own, own.quoted
	}
	if v.store, err = database.NewStore(d.Goose, name); err != nil {
		return nil, err
	}
	return v, nil
}

// Name is the table's name as it stands in statements.
func (v *Versions) Name() string { return v.store.Tablename() }

// Applied reads the applied versions in the order in which they were applied, in one statement if the table exists. A missing
// table is no error: ready is false then. ready is also false for a table without rows, which a creation that was cut off
// leaves on databases where DDL commits by itself. The zero version, which goose records when it creates the table, is
// left out.
func (v *Versions) Applied(ctx context.Context, db Querier) (applied []int64, ready bool, err error) {
	list, err := v.readRows(ctx, db, false)
	return newest(list), len(list) > 0, err
}

// readRows reads the rows, none if the table is missing.
func (v *Versions) readRows(ctx context.Context, db Querier, timed bool) ([]row, error) {
	list, _, err := v.rows(ctx, db, timed)
	if err == nil {
		return list, nil
	}
	if gone, err := v.Missing(ctx, db, err); err != nil || gone {
		return nil, err
	}
	list, _, err = v.rows(ctx, db, timed) // another process may have created the table after the first try
	return list, err
}

// rows reads all rows, the newest first, and the schema that the table's name leads to, "" if that can't be told. The server
// renders the times: drivers and their DSNs differ in how they read such a column, and only the server knows the time zone
// in which its clock was written down. (A column without a time zone holds the wall clock of the session that wrote it.
// The reading session is assumed to have the same time zone.)
func (v *Versions) rows(ctx context.Context, db Querier, timed bool) (list []row, schema string, err error) {
	if v.own == nil {
		list, err = v.goosesRows(ctx, db, timed)
		return list, "", err
	}
	terms, leadsTo, at := v.own.server.terms(), "NULL", "NULL"
	if terms.leadsTo != "" && v.given.Schema == "" {
		leadsTo = v.own.sql(terms.leadsTo, v.dialect.Quote(v.given))
	}
	if timed {
		at = terms.appliedAt
	}
	query := "SELECT id, version_id, is_applied, " + leadsTo + ", " + at + v.own.sql(" FROM {table} ORDER BY id DESC")
	err = each(ctx, db, query, func(rows *sql.Rows) error {
		var r row
		var found sql.NullString
		err := rows.Scan(&r.key, &r.version, &r.applied, &found, &r.at)
		list, schema = append(list, r), found.String
		return err
	})
	if err == nil && len(list) == 0 { // a version table has the zero version
		err = v.own.hidden(ctx, db)
	}
	return list, schema, err
}

// goosesRows have no keys. goose tells the time of one version a statement.
func (v *Versions) goosesRows(ctx context.Context, db Querier, timed bool) ([]row, error) {
	found, err := v.store.ListMigrations(ctx, db)
	list, seen := make([]row, len(found)), make(map[int64]bool)
	for i, r := range found {
		list[i] = row{version: r.Version, applied: r.IsApplied}
		if timed && r.IsApplied && r.Version != 0 && !seen[r.Version] {
			m, err := v.store.GetMigration(ctx, db, r.Version)
			if err != nil {
				return nil, fmt.Errorf("version %d: %w", r.Version, err)
			}
			list[i].at = sql.NullInt64{Int64: m.Timestamp.UnixMicro(), Valid: true}
		}
		seen[r.Version] = true
	}
	return list, err
}

// exist says whether the table exists. Where goose can't tell and the database answers at all, the table counts as missing:
// its creation then gives the server's own answer.
func (v *Versions) exist(ctx context.Context, db Querier) (exists bool, err error) {
	if v.own != nil {
		if exists, err = v.own.IsThere(ctx, db); err == nil && !exists {
			err = v.own.unusable(ctx, db)
		}
		return exists, err
	}
	err = errors.ErrUnsupported
	if store, ok := v.store.(interface {
		TableExists(context.Context, database.DBTxConn) (bool, error)
	}); ok {
		exists, err = store.TableExists(ctx, db)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		var one int
		return false, db.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
	}
	return exists, err
}

// Missing says whether a statement failed because the table is missing. It returns the statement's error, cause, if that can't be
// told, and ErrHidden if this user can't see the table.
func (v *Versions) Missing(ctx context.Context, db Querier, cause error) (bool, error) {
	there, err := v.exist(ctx, db)
	if errors.Is(err, ErrHidden) {
		return false, err
	}
	if err != nil || !there && v.dialect.Denied(cause) { // MySQL hides tables that a user may not read
		return false, cause
	}
	return !there, nil
}

// newest returns the applied versions of rows, which come newest first, in the order in which they were applied.
func newest(rows []row) []int64 {
	versions := make([]int64, 0, len(rows))
	eachApplied(rows, func(r row) { versions = append(versions, r.version) })
	return versions
}

// eachApplied calls f for the rows that say that a version is applied, the oldest first. rows come newest first. A version
// can have several rows because goose before v3 kept its history in the table: the newest row counts.
func eachApplied(rows []row, f func(row)) {
	var past []bool // the older rows of a version, nil if each version has one row
	if !slices.IsSortedFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(b.version, a.version), -1) }) {
		seen := make(map[int64]bool, len(rows))
		for _, r := range rows {
			past, seen[r.version] = append(past, seen[r.version]), true
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
	At      time.Time // in UTC; zero if the table has no time that the database understands
}

// Entries is Applied with the time of each version.
func (v *Versions) Entries(ctx context.Context, db Querier) (entries []Entry, err error) {
	rows, err := v.readRows(ctx, db, true)
	eachApplied(rows, func(r row) {
		e := Entry{Version: r.version}
		if r.at.Valid {
			e.At = time.UnixMicro(r.at.Int64).UTC()
		}
		entries = append(entries, e)
	})
	return entries, err
}

// Create creates the table with its zero version, as goose does. Another process may create the table at the same moment:
// PostgreSQL fails one of the two even with IF NOT EXISTS, and Create doesn't.
func (v *Versions) Create(ctx context.Context, db *sql.DB) error {
	err := inTransaction(ctx, db, func(tx *sql.Tx) error {
		if err := v.create(ctx, tx); err != nil {
			return err
		}
		return v.insertZero(ctx, tx)
	})
	if err == nil {
		return nil
	}
	rows, _, readErr := v.rows(ctx, db, false)
	switch {
	case readErr != nil:
		if there, checkErr := v.exist(ctx, db); checkErr == nil && there {
			return readErr // a table of that name exists, and is no version table
		}
		return err
	case len(rows) > 0:
		return nil
	}
	return v.insertZero(ctx, db)
}

func (v *Versions) create(ctx context.Context, tx *sql.Tx) error {
	if v.own == nil {
		return v.store.CreateVersionTable(ctx, tx)
	}
	options, err := v.own.options(ctx, tx)
	if err != nil {
		return err
	}
	said, err := v.said(ctx)
	if err == nil && len(said) > 0 {
		said[len(said)-1] += options
		_, err = executeAll(ctx, tx, said)
	}
	return err
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
