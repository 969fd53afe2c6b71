package versions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Entry is an applied version.
type Entry struct {
	Version int64
	At      time.Time // in UTC; zero when the table doesn't say, or not in a form that the database takes for a time
}

// History is Applied with the time of each version, in one statement too: goose's own store tells
// the time of one version a statement. Dialects whose names gooseplus doesn't quote go that way.
func (t *Table) History(ctx context.Context, db database.DBTxConn) ([]Entry, error) {
	if t.history == "" {
		return t.historyOneByOne(ctx, db)
	}
	var rows []row
	err := t.read(ctx, db, func() (err error) {
		rows, err = t.queryHistory(ctx, db)
		return err
	})
	if err != nil {
		return nil, err
	}
	// As in Applied, the newest row of a version counts, and comes first.
	var entries []Entry
	seen := make(map[int64]bool, len(rows))
	for _, r := range rows {
		if r.applied && r.Version != 0 && !seen[r.Version] {
			entries = append(entries, r.Entry)
		}
		seen[r.Version] = true
	}
	slices.Reverse(entries)
	return entries, nil
}

type row struct {
	Entry
	applied bool
}

// historyQuery is goose's ListMigrations with the time, which the server renders as microseconds of
// Unix time: what a driver makes of the column depends on the driver and its DSN, and nothing but
// the server knows the time zone in which its clock was written down. (A column without a time zone
// holds the wall clock of the session that wrote it; the one that reads is taken to be set the same.)
func historyQuery(d dialect.Dialect, n dialect.Name) string {
	var at string
	switch d.Goose {
	case goose.DialectPostgres:
		at = `CAST(EXTRACT(EPOCH FROM CAST(tstamp AS timestamptz)) * 1000000 AS bigint)`
	case goose.DialectMySQL:
		at = `CAST(UNIX_TIMESTAMP(tstamp) * 1000000 AS SIGNED)`
	default: // SQLite's clock is UTC
		at = `CAST(strftime('%s', tstamp) AS INTEGER) * 1000000`
	}
	return `SELECT version_id, is_applied, ` + at + ` FROM ` + d.Quote(n) + ` ORDER BY id DESC`
}

func (t *Table) queryHistory(ctx context.Context, db database.DBTxConn) (list []row, err error) {
	rows, err := db.QueryContext(ctx, t.history)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r row
		var at sql.NullInt64
		if err := rows.Scan(&r.Version, &r.applied, &at); err != nil {
			return nil, err
		}
		if at.Valid {
			r.At = time.UnixMicro(at.Int64).UTC()
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func (t *Table) historyOneByOne(ctx context.Context, db database.DBTxConn) ([]Entry, error) {
	applied, _, err := t.Applied(ctx, db)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(applied))
	for i, version := range applied {
		found, err := t.store.GetMigration(ctx, db, version)
		if err != nil {
			return nil, fmt.Errorf("version %d: %w", version, err)
		}
		entries[i] = Entry{Version: version, At: found.Timestamp.UTC()}
	}
	return entries, nil
}
