package conformance

import (
	"fmt"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestUnusualSessions: the DSN has variables of MySQL that cut off what is read, refuse what is written, or change what a COMMIT
// does. They make no difference to a run, and stay as they are for the application.
func TestUnusualSessions(t *testing.T) {
	t.Parallel()
	for _, set := range []string{
		"sql_select_limit=1", "sql_select_limit=0", "sql_safe_updates=1", "sql_big_selects=0&max_join_size=1",
		"completion_type=1", "completion_type=2", "autocommit=0&sql_select_limit=1&sql_safe_updates=1&completion_type=2",
	} {
		for _, lock := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lock %v", set, lock), func(t *testing.T) {
				having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
					p.dsn += "&" + set
					db := p.open(t)
					defer db.Close()
					const ask = "SELECT CONCAT_WS(' ', @@autocommit, @@sql_select_limit, @@sql_safe_updates, @@sql_big_selects, @@completion_type) LIMIT 1"
					before := column[string](t, db, ask)[0]
					with := func(n int) *gooseplus.Migrator {
						return p.over(db, from(chain(n)), gooseplus.WithGlobalLock(lock))
					}
					for n := 3; n <= 4; n++ {
						if err := with(n).Migrate(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					p.want(t, []int64{1, 2, 3, 4}, []string{"t001", "t002", "t003", "t004"})
					bad := chain(6)
					bad["sql/base/006_t.sql"] = halfway()
					wantFailed(t, p.over(db, from(bad), gooseplus.WithGlobalLock(lock)).Migrate(t.Context()), 6)
					p.want(t, []int64{1, 2, 3, 4}, []string{"t001", "t002", "t003", "t004"})
					if status, err := with(5).Status(t.Context()); err != nil || status.CurrentVersion != 4 || status.PendingCount != 1 {
						t.Errorf("status %+v, %v", status, err)
					}
					if err := with(4).RollbackTo(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					p.want(t, []int64{1}, []string{"t001"})
					if after := column[string](t, db, ask)[0]; after != before {
						t.Errorf("the application's session was %s, and is %s", before, after)
					}
				})
			})
		}
	}
}
