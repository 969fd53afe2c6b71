package conformance

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestFinishedByAnother: a run with the lock is killed, and somebody finishes what it had planned without the lock: with goose, or
// with a run that has none. If the next run with the lock fails, it undoes its own work alone: not that of the dead run, on which
// somebody else has built.
func TestFinishedByAnother(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		for name, c := range map[string]struct {
			finish func(t *testing.T, set fstest.MapFS) error
			stays  int
		}{
			"with goose": {func(t *testing.T, set fstest.MapFS) error { _, err := p.goose(t, set).Up(ctx); return err }, 20},
			"with goose, and accepted": {func(t *testing.T, set fstest.MapFS) error {
				if _, err := p.goose(t, set).Up(ctx); err != nil {
					return err
				}
				return p.migrator(from(set)).Accept(ctx, 20)
			}, 20},
			"and a person says so": {func(t *testing.T, set fstest.MapFS) error {
				if _, err := p.goose(t, set).Up(ctx); err != nil {
					return err
				}
				return p.migrator(from(set)).Force(ctx, 20)
			}, 20},
			"without the lock": {func(_ *testing.T, set fstest.MapFS) error { return p.migrator(from(set)).Migrate(ctx) }, 20},
			"by nobody":        {func(*testing.T, fstest.MapFS) error { return nil }, 0},
		} {
			t.Run(name, func(t *testing.T) {
				p.forgetAll(t)
				p.exec(t, "CREATE TABLE counted (v INTEGER)")
				victim := p.start(t, "steps", p.dsn)
				victim.let(t)
				for range 3 {
					victim.until(t, "step")
				}
				victim.kill()
				set := processSets["steps"](p)
				if err := c.finish(t, set); err != nil {
					t.Fatal(err)
				}
				set["sql/base/021_mine.sql"] = table("mine")
				set["sql/base/022_bad.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
				var told []string
				err := p.locking(p.db, from(set), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if w, ok := e.(gooseplus.Warning); ok && strings.Contains(w.Message, "another process has applied") {
						told = append(told, w.Message)
					}
				})).Migrate(ctx)
				wantIs(t, err, gooseplus.ErrRollForward)
				if n := column[int](t, p.db, "SELECT count(*) FROM counted")[0]; n != c.stays {
					t.Errorf("%d migrations are applied, want %d", n, c.stays)
				}
				if n := column[int](t, p.db, "SELECT count(*) FROM pg_class WHERE relname = 'mine'")[0]; n != 0 {
					t.Error("the run's own work is there")
				}
				if (len(told) == 1) != (c.stays > 0) {
					t.Errorf("warnings %q", told)
				}
			})
		}
	})
}
