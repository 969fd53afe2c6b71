package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// MigrateControl creates and upgrades the tables of the ledger and of River in the control database. Call it before anything
// else, each time: several processes may call it at once, and it does nothing if nothing is to do. The ledger's tables begin
// with fleet_, and River's with river_.
func (f *Fleet) MigrateControl(ctx context.Context) error {
	if err := ledger.Migrator(f.ledger.DB()).Migrate(ctx); err != nil {
		return fmt.Errorf("fleet: the ledger: %w", err)
	}
	migrator, err := rivermigrate.New(riverdatabasesql.New(f.ledger.DB()), &rivermigrate.Config{Logger: f.options.logger})
	if err != nil {
		return fmt.Errorf("fleet: River: %w", err)
	}
	// River's migrations have no lock of their own.
	return alone(ctx, f.ledger.DB(), func() error {
		if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("fleet: River: %w", err)
		}
		return nil
	})
}

// alone calls do while no other process does. A statement that waits for a lock would keep some migrations from their end, so
// that the lock is asked for again and again.
func alone(ctx context.Context, control *sql.DB, do func() error) error {
	conn, err := control.Conn(ctx)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	defer conn.Close()
	for {
		var locked bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtextextended('gooseplus fleet river', 0))`).Scan(&locked); err != nil {
			return fmt.Errorf("fleet: %w", err)
		}
		if locked {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtextextended('gooseplus fleet river', 0))`)
	return do()
}
