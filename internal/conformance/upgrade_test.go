package conformance

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestUpgradeFromTheVersionBefore: what it remembers is kept, its holder is waited for, and roles keep their privileges.
func TestUpgradeFromTheVersionBefore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		if err := p.locking(p.instance(t), gooseplus.WithGlobalLock(false), from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil))).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
		record{p}.earlier(t)
		r := p.role(t)
		p.exec(t, "GRANT SELECT ON goose_db_version_lock TO "+r.name, "GRANT SELECT ON goose_db_version TO "+r.name)
		set := []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil))}

		// As it is, it is read by everybody who doesn't write.
		if s, err := p.locking(p.instance(t), set...).Status(ctx); err != nil || !s.Migrations[0].Locked {
			t.Errorf("before the upgrade: %+v, %v", s, err)
		}
		holder, err := p.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := holder.Exec("SELECT status FROM goose_db_version_lock WHERE id = 'mutex' FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		wantIs(t, p.locking(p.instance(t), append(set, gooseplus.WithLockWait(0))...).Migrate(ctx), gooseplus.ErrLocked)
		b := p.boot(ctx, p.instance(t), set...)
		await(t, "the wait for the version before", b.waiting)
		if err := holder.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := b.wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1, 2)
		locks{p}.wantFree(t)
		kept := column[string](t, p.db, "SELECT id FROM goose_db_version_lock WHERE id IN ('of:protected:1:', 'of:environment:production', 'run:old', 'mutex') ORDER BY id")
		if want := []string{"of:environment:production", "of:protected:1:", "run:old"}; !slices.Equal(kept, want) {
			t.Errorf("kept %q, want %q", kept, want)
		}
		if _, err := p.locking(r.open(t), set...).Status(ctx); err != nil {
			t.Errorf("a role that could read the table: %v", err)
		}
	})
}

// TestLockOriginalReplicaFirst: a replica of the original holds its lock, on its own table, while this
// version boots for the first time.
func TestLockOriginalReplicaFirst(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		p.exec(t, "CREATE TABLE goose_db_version_lock (status INTEGER NOT NULL DEFAULT 0)", "INSERT INTO goose_db_version_lock (status) VALUES (0)")
		original, err := p.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := original.Exec("SELECT status FROM goose_db_version_lock FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		migrations := []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil))}
		wantIs(t, p.boot(context.Background(), p.instance(t), append(migrations, gooseplus.WithLockWait(0))...).wait(t), gooseplus.ErrLocked)
		b := p.boot(context.Background(), p.instance(t), migrations...)
		await(t, "the wait for the original", b.waiting)
		if err := original.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := b.wait(t); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1)
		locks{p}.wantFree(t)
	})
}
