package conformance

import (
	"context"
	"fmt"
	"testing"

	"github.com/gooseplus/gooseplus"
)

const everyTable = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT LIKE 'pg\\_%' ORDER BY 1"

// TestHiddenSchema: the role may no longer use the schema of the version table, and PostgreSQL passes over such schemas. Nothing says
// that no migration is applied, and nothing is created in the next schema of the search_path.
func TestHiddenSchema(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range having(server, transactionalDDL).drivers(t, 0) {
		for _, lock := range []bool{false, true} {
			for path, hidden := range map[string]string{"public": "public", `"$user", public`: "$user", "app, public": "app"} {
				t.Run(fmt.Sprintf("lock %t, search_path %s", lock, path), func(t *testing.T) {
					p := x.place(t)
					role := p.role(t)
					if hidden == "$user" {
						hidden = role.name
					}
					p.exec(t, "CREATE SCHEMA IF NOT EXISTS "+hidden, "GRANT CREATE, USAGE ON SCHEMA public, "+hidden+" TO "+role.name,
						"ALTER ROLE "+role.name+" SET search_path TO "+path)
					q := *p
					q.dsn = role.dsn
					q.db = q.instance(t)
					m := q.over(q.db, from(chain(2)), gooseplus.WithGlobalLock(lock))
					if err := m.MigrateTo(ctx, 1); err != nil {
						t.Fatal(err)
					}
					was := column[string](t, p.db, everyTable)
					p.exec(t, "REVOKE ALL ON SCHEMA "+hidden+" FROM PUBLIC, "+role.name)
					_, status := m.Status(ctx)
					_, plan := m.Plan(ctx)
					_, runs := m.Runs(ctx)
					told := map[string]error{"Status": status, "Plan": plan, "Migrate": m.Migrate(ctx), "Rollback": m.Rollback(ctx, 1),
						"Force": m.Force(ctx, 2), "LockVersion": m.LockVersion(ctx, 1)}
					if lock { // otherwise there is no table with runs
						told["Runs"] = runs
					}
					for what, err := range told {
						wantIs(t, err, gooseplus.ErrMigrationTable)
						wantText(t, err, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", hidden, role.name))
						if t.Failed() {
							t.Fatal(what)
						}
					}
					if is := column[string](t, p.db, everyTable); fmt.Sprint(is) != fmt.Sprint(was) {
						t.Errorf("tables %v, they were %v", is, was)
					}
					p.exec(t, fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA %s TO %s", hidden, role.name))
					if err := m.Migrate(ctx); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
