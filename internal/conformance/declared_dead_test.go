package conformance

import (
	"context"
	"database/sql"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestDeclaredDead has another runner declare a run dead that has not noticed that it lost the lock. From then on the
// run changes nothing, on its way back neither, and marks nothing.
func TestDeclaredDead(t *testing.T) {
	t.Parallel()
	declare := []string{
		"DELETE FROM goose_db_version_lock WHERE kind = 'fence'",
		"UPDATE goose_db_version_lock SET outcome = 'cut off' WHERE kind = 'run'",
	}
	for name, dead := range map[string]int64{"in a step": 2, "before the mark of the next": 0} {
		t.Run(name, func(t *testing.T) {
			having(server).onDatabases(t, func(t *testing.T, p *place) {
				p.counting(t)
				var downs atomic.Int32
				apart := func(v int64) *goose.Migration {
					return goose.NewGoMigration(v, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
						if v == dead {
							p.exec(t, declare...)
						}
						return nil
					}}, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
						downs.Add(1)
						return nil
					}})
				}
				db, f := p.flaky(t)
				var marks atomic.Int32
				f.before = func(statement string) {
					if strings.Contains(statement, "f.transactions FROM") && marks.Add(1) == 3 && dead == 0 {
						p.exec(t, declare...)
					}
				}
				err := p.locking(db, gooseplus.WithGoMigrations(apart(1), apart(2), apart(3)), from(fstest.MapFS{})).
					Migrate(context.Background())
				wantIs(t, err, gooseplus.ErrLockLost)
				if n := downs.Load(); n > 0 {
					t.Errorf("%d Downs were executed", n)
				}
				if left := column[int64](t, p.db, "SELECT version_id FROM goose_db_version_lock WHERE kind = 'dirty'"); len(left) != 1 || left[0] != 2 {
					t.Errorf("marked are %v, want 2, at which the run was last", left)
				}
			})
		})
	}
}
