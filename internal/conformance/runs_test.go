package conformance

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestRuns reads what is recorded of a run while it works, after it succeeded, and after it failed.
func TestRuns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		p.patient()
		db, counter := p.counted(t)
		reader := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(chain(1)))
		if runs, err := reader.Runs(ctx); err != nil || len(runs) != 0 {
			t.Fatalf("before the first run: %v, %v", runs, err)
		}
		wantReads(t, "Runs", counter.take())

		// The original gooseplus's table remembers none.
		if _, err := p.db.Exec(`CREATE TABLE goose_db_version_lock (status INTEGER NOT NULL DEFAULT 0)`); err != nil {
			t.Fatal(err)
		}
		if runs, err := reader.Runs(ctx); err != nil || len(runs) != 0 {
			t.Fatalf("of the original's table: %v, %v", runs, err)
		}

		var during []gooseplus.Run
		var whileRunning error
		look := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
			during, whileRunning = reader.Runs(ctx)
			return nil
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
		before := time.Now().Add(-time.Second)
		m := p.migrator(from(chain(1)), gooseplus.WithGoMigrations(look), gooseplus.WithGlobalLock(true))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if whileRunning != nil || len(during) != 1 || during[0].Outcome != gooseplus.RunRunning || !during[0].Ended.IsZero() {
			t.Errorf("while it runs: %+v, %v", during, whileRunning)
		}

		failing := goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
			return errors.New("postgres://app:s3cret@db/app is closed")
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
		m = p.migrator(from(chain(1)), gooseplus.WithGoMigrations(look, failing), gooseplus.WithGlobalLock(true))
		if err := m.Migrate(ctx); !errors.Is(err, gooseplus.ErrRollForward) {
			t.Fatal(err)
		}

		counter.take()
		runs, err := reader.Runs(ctx)
		if err != nil || len(runs) != 2 {
			t.Fatalf("%v, %v", runs, err)
		}
		wantReads(t, "Runs", counter.take())
		if r := runs[1]; r.Outcome != gooseplus.RunMigrated || r.From != 0 || r.To != 2 || r.Error != "" || r.Holder == "" ||
			r.Started.Before(before) || r.Ended.Before(r.Started) || r.Started.Location() != time.UTC {
			t.Errorf("the run that succeeded: %+v", r)
		}
		want := gooseplus.ErrRollForward.Error() + ": migration 3 up: postgres://app:xxxxx@db/app is closed"
		if r := runs[0]; r.Outcome != gooseplus.RunRolledBack || r.From != 2 || r.To != 2 || r.Error != want {
			t.Errorf("the run that failed: %+v", r)
		}
	})
}
