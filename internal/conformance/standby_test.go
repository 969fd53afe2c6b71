package conformance

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// TestStandby: on a hot standby of PostgreSQL a boot with nothing pending succeeds, with the lock or without. With something
// pending it is refused, since nothing can be written there.
func TestStandby(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := dbtest.OwnPostgres(t, false)
	d := server.NewDatabase(t)
	first := targetsOf("postgres")[0]
	first.database = func(testing.TB) string { return d.DSN }
	primary := first.place(t)
	if err := primary.locking(primary.db, from(chain(2))).Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	standby := dbtest.Standby(t, server)
	for _, x := range targetsOf("postgres") {
		db, err := sql.Open(x.driver, d.On(standby))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		p := &place{target: x, db: db, dsn: d.On(standby)}
		for _, lock := range []bool{false, true} {
			if err := p.migrator(from(chain(2)), gooseplus.WithGlobalLock(lock)).Migrate(ctx); err != nil {
				t.Errorf("%s, lock %v, nothing pending: %v", x.name, lock, err)
			}
			m := p.migrator(from(chain(3)), gooseplus.WithGlobalLock(lock))
			if steps, err := m.Plan(ctx); err != nil || len(steps) != 1 {
				t.Errorf("%s, lock %v: the plan has %d steps, %v", x.name, lock, len(steps), err)
			}
			err := m.Migrate(ctx)
			if err == nil || !strings.Contains(err.Error(), "during recovery") && !strings.Contains(err.Error(), "read-only transaction") {
				t.Errorf("%s, lock %v, something pending: %v", x.name, lock, err)
			}
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
		}
	}
}
