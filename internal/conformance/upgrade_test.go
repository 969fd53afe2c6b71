package conformance

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// earlier makes the state table as the version before this one had it.
func (p *place) earlier(t *testing.T) {
	t.Helper()
	columns := `(status INTEGER NOT NULL DEFAULT 0, id VARCHAR(180) NOT NULL DEFAULT 'mutex', kind VARCHAR(20) NOT NULL DEFAULT 'mutex',
		namespace VARCHAR(255) NOT NULL DEFAULT '', version_id BIGINT NOT NULL DEFAULT 0, name VARCHAR(255) NOT NULL DEFAULT '',
		holder VARCHAR(255) NOT NULL DEFAULT '', started_at VARCHAR(40) NOT NULL DEFAULT '', ended_at VARCHAR(40) NOT NULL DEFAULT '',
		from_version BIGINT NOT NULL DEFAULT 0, to_version BIGINT NOT NULL DEFAULT 0, outcome VARCHAR(20) NOT NULL DEFAULT '',
		backend VARCHAR(100) NOT NULL DEFAULT '', start_set TEXT, planned TEXT, error_text TEXT, PRIMARY KEY (id))`
	if p.dialect == "postgres" {
		p.exec(t, "CREATE TABLE goose_db_version_lock "+columns+" PARTITION BY LIST (id)",
			"CREATE TABLE goose_db_version_lock_mutex PARTITION OF goose_db_version_lock FOR VALUES IN ('mutex')",
			"CREATE TABLE goose_db_version_lock_rows PARTITION OF goose_db_version_lock DEFAULT")
	} else {
		p.exec(t, "CREATE TABLE goose_db_version_lock "+columns)
	}
	p.exec(t, "INSERT INTO goose_db_version_lock (status) VALUES (0)",
		"INSERT INTO goose_db_version_lock (id, kind, version_id) VALUES ('of:protected:1:', 'protected', 1)",
		"INSERT INTO goose_db_version_lock (id, kind, name) VALUES ('of:environment:production', 'environment', 'production')",
		"INSERT INTO goose_db_version_lock (id, kind, holder, started_at, outcome, start_set, planned) VALUES ('run:old', 'run', 'h/1/old', '2020-01-01T00:00:00.000000Z', 'migrated', '[]', '[1]')")
}

// TestUpgradeFromTheVersionBefore: what it remembers is kept, its holder is waited for, and roles keep their privileges.
func TestUpgradeFromTheVersionBefore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
		p.counting(t)
		if err := p.locking(p.instance(t), gooseplus.WithGlobalLock(false), from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil))).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
		p.earlier(t)
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
		p.wantFree(t)
		kept := column[string](t, p.db, "SELECT id FROM goose_db_version_lock WHERE id IN ('of:protected:1:', 'of:environment:production', 'run:old', 'mutex') ORDER BY id")
		if want := []string{"of:environment:production", "of:protected:1:", "run:old"}; !slices.Equal(kept, want) {
			t.Errorf("kept %q, want %q", kept, want)
		}
		if _, err := p.locking(r.open(t), set...).Status(ctx); err != nil {
			t.Errorf("a role that could read the table: %v", err)
		}
	})
}
