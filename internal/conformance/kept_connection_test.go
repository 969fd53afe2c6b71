package conformance

import (
	"context"
	"database/sql"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestKeptConnection: a Go migration that keeps a connection has the run wait for it, and doesn't take the time away in which the
// outcome is recorded: the next run would take a completed one for one that was cut off.
func TestKeptConnection(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		keeps := goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.Conn(context.WithoutCancel(ctx))
			return err
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
		if err := p.locking(p.db, from(chain(1)), gooseplus.WithGoMigrations(keeps)).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
		p.want(t, []int64{1, 2}, []string{"t001"})
		if outcomes := column[string](t, p.db, "SELECT outcome FROM goose_db_version_lock WHERE kind = 'run'"); len(outcomes) != 1 || outcomes[0] != "migrated" {
			t.Errorf("the outcomes are %q", outcomes)
		}
	})
}
