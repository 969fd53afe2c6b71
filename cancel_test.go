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
)

// TestCancelNotHeard: the run is cancelled in a statement outside a transaction, and the server doesn't hear of it. The
// driver has closed the connection long before the server has finished; the way back must not begin beside it.
func TestCancelNotHeard(t *testing.T) {
	t.Parallel()
	onCutSites(t, func(t *testing.T, s *cutSite) {
		if s.dialect != "postgres" {
			return // MySQL's driver tells its server nothing: the run kills the connection itself
		}
		const busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
		executing := func() (n int) {
			t.Helper()
			if err := s.db.QueryRow(busy).Scan(&n); err != nil {
				t.Error(err)
			}
			return n
		}
		downs := 0
		first := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }},
			&goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
				downs++
				if n := executing(); n > 0 {
					t.Errorf("%d interrupted statements are still executed beside a Down", n)
				}
				return nil
			}})
		second := &fstest.MapFile{Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nSELECT pg_sleep(1.5);\n-- +goose Down\nSELECT 1;\n")}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		m := gooseplus.New(s.open(t, s.proxied), gooseplus.WithFS(fstest.MapFS{"sql/base/2_slow.sql": second}), gooseplus.WithGoMigrations(first),
			gooseplus.WithGlobalLock(true), gooseplus.WithLogger(nil))
		go func() { ended <- m.Migrate(ctx) }()
		for executing() == 0 {
			select {
			case err := <-ended:
				t.Fatalf("the run ended before its slow statement: %v", err)
			case <-time.After(5 * time.Millisecond):
			}
		}
		s.proxy.IgnoreCancels()
		cancel()
		select {
		case err := <-ended:
			if fmt.Sprint(err) == "" || downs != 1 {
				t.Errorf("Migrate = %v after %d Downs, want a way back", err, downs)
			}
			wantIs(t, err, gooseplus.ErrRollForward)
			wantIs(t, err, context.Canceled)
		case <-time.After(time.Minute):
			t.Fatal("the run didn't end")
		}
	})
}
