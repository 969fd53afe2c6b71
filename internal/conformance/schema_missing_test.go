package conformance

import (
	"context"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestSchemaMissing: whatever is called on a schema that doesn't exist says so, and makes nothing.
func TestSchemaMissing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		for _, lock := range []bool{false, true} {
			name := p.names(1)[0]
			m := p.migrator(from(chain(2)), gooseplus.WithGlobalLock(lock), gooseplus.WithSchema(name))
			for what, err := range map[string]error{
				"Migrate": m.Migrate(ctx), "Plan": second(m.Plan(ctx)), "Version": second(m.Version(ctx)), "Status": second(m.Status(ctx)), "Runs": second(m.Runs(ctx)),
				"Rollback": m.Rollback(ctx, 1), "Force": m.Force(ctx, 1), "LockVersion": m.LockVersion(ctx, 1), "UnlockVersion": m.UnlockVersion(ctx, 1), "Accept": m.Accept(ctx, 1),
			} {
				if err == nil || !strings.Contains(err.Error(), "the schema does not exist: ") || !strings.Contains(err.Error(), name) {
					t.Errorf("%s, lock %t: %v", what, lock, err)
				}
			}
			if there := column[string](t, p.db, "SELECT schema_name FROM information_schema.schemata WHERE schema_name = '"+name+"'"); len(there) > 0 {
				t.Errorf("lock %t: the schema was created", lock)
			}
		}
	})
}

// TestNothingToAccept: an empty database stays so.
func TestNothingToAccept(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		err := p.locking(p.db, from(chain(2))).Accept(context.Background(), 1)
		wantText(t, err, "version 1: it isn't applied")
		if got := column[string](t, p.db, p.anyTable()); len(got) > 0 {
			t.Errorf("there is %q", got)
		}
	})
}
