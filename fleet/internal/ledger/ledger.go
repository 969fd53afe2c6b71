// Package ledger is what a fleet remembers: its tables in the control database, and every statement on them.
//
// Times are the control database's own, so that the clocks of workers don't matter.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus"
)

//go:embed sql
var migrations embed.FS

// Migrator is the Migrator of the ledger's own tables.
func Migrator(control *sql.DB) *gooseplus.Migrator {
	return gooseplus.New(control, gooseplus.WithFS(migrations), gooseplus.WithBasePath("sql"), gooseplus.SetEnvironments(nil),
		gooseplus.WithNamespaces("fleet"), gooseplus.WithVersionTable("fleet_version"), gooseplus.WithGlobalLock(true))
}

// Leases are how long something belongs to a worker that gives no sign of life.
type Leases struct {
	Slot        time.Duration // with the tenants that are claimed with it
	Coordinator time.Duration // of a rollout
}

// A Ledger reads and writes the tables of the control database.
type Ledger struct {
	db     *sql.DB
	leases Leases
}

// New returns the Ledger of a control database.
func New(control *sql.DB, leases Leases) *Ledger { return &Ledger{control, leases} }

// DB is the control database.
func (l *Ledger) DB() *sql.DB { return l.db }

// queryer is a *sql.DB or a *sql.Tx.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// InTx calls do in a transaction, which it commits if do returns nil.
func (l *Ledger) InTx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// exec returns how many rows a statement changed.
func exec(ctx context.Context, db queryer, query string, args ...any) (int64, error) {
	r, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// collect scans the rows of a query.
func collect[T any](ctx context.Context, db queryer, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, rows.Err()
}

// note records what a person or the fleet did.
func note(ctx context.Context, db queryer, rollout int64, subject, what string, args ...any) error {
	_, err := db.ExecContext(ctx, `INSERT INTO fleet_event (rollout, subject, what) VALUES (nullif($1::bigint, 0), $2, $3)`,
		rollout, subject, fmt.Sprintf(what, args...))
	return err
}
