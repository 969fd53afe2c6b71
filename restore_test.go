package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// A migration empties the state table, and the lock is lost before that is noticed, or while the rows are put back. The run puts
// nothing back for others to find, or records nothing at least.
func TestStateRemovedAndLockLost(t *testing.T) {
	t.Parallel()
	const holder = " FROM pg_locks l WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
	const ends = "WHILE EXISTS (SELECT" + holder + ") LOOP PERFORM pg_terminate_backend(l.pid)" + holder + "; PERFORM pg_sleep(0.01); END LOOP"
	for when, then := range map[string]string{
		"before": "DO $$ BEGIN " + ends + "; END $$",
		"meanwhile": "CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + ends + "; RETURN NULL; END $$; " +
			"CREATE TRIGGER ends AFTER INSERT ON goose_db_version_lock FOR EACH ROW WHEN (NEW.kind = 'run') EXECUTE FUNCTION ends()",
	} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
			m := gooseplus.New(db, gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithGlobalLock(true), gooseplus.WithGoMigrations(
				goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, "DELETE FROM goose_db_version_lock; "+then)
					return err
				}}, nil)))
			m.SetLockTimes(time.Hour, time.Hour, time.Hour) // nobody else notices
			wantIs(t, m.Migrate(t.Context()), gooseplus.ErrLockLost)
			var applied, rows int
			if err := db.QueryRow("SELECT (SELECT count(*) FROM goose_db_version WHERE version_id > 0), (SELECT count(*) FROM goose_db_version_lock)").Scan(&applied, &rows); err != nil {
				t.Fatal(err)
			}
			if applied > 0 || when == "before" && rows > 0 {
				t.Errorf("%d versions and %d rows", applied, rows)
			}
		})
	}
}

// A run that needs no state table makes none when it fails.
func TestFailedRunMakesNoStateTable(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", dbtest.SQLiteFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	calls := 0
	m := gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithChecksums(gooseplus.Ignore),
		gooseplus.WithUnknownVersions(gooseplus.Ignore), gooseplus.WithGoMigrations(goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
			calls++
			return fmt.Errorf("call %d", calls)
		}}, nil)))
	wantIs(t, m.Migrate(t.Context()), gooseplus.ErrRollForward)
	var tables int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version_lock'").Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables > 0 || calls != 1 {
		t.Errorf("%d state tables, %d calls", tables, calls)
	}
}
