package conformance

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// role is a user of the place's server, with no privileges but those that it is given.
type role struct {
	p         *place
	name, dsn string
}

func (p *place) role(t *testing.T) role {
	t.Helper()
	name, password := "r"+strings.ToLower(rand.Text()[:12]), rand.Text()
	r := role{p: p, name: name}
	if p.dialect == "mysql" {
		p.exec(t, "CREATE USER "+name+" IDENTIFIED BY '"+password+"'")
		t.Cleanup(func() { p.exec(t, "DROP USER "+name) })
		cfg, err := mysql.ParseDSN(p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		cfg.User, cfg.Passwd = name, password
		r.dsn = cfg.FormatDSN()
		return r
	}
	p.exec(t, "CREATE ROLE "+name+" LOGIN PASSWORD '"+password+"'")
	t.Cleanup(func() { p.exec(t, "DROP OWNED BY "+name, "DROP ROLE "+name) })
	u, err := url.Parse(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, password)
	r.dsn = u.String()
	return r
}

func (r role) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(r.p.driver, r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestPrivileges gives a user exactly what the manual says that it needs.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		nothing := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil)
		one := []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil))}
		two := []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil), nothing)}
		if err := p.locking(p.instance(t), one...).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		r := p.role(t)
		grant := func(what, on string) { p.exec(t, "GRANT "+what+" ON "+on+" TO "+r.name) }
		db := r.open(t)

		grant("SELECT", "goose_db_version")
		grant("SELECT", "goose_db_version_lock")
		for _, lock := range []bool{true, false} {
			m := p.locking(db, append(one, gooseplus.WithGlobalLock(lock))...)
			if err := m.Migrate(ctx); err != nil {
				t.Errorf("lock %t, nothing pending: %v", lock, err)
			}
			if _, err := m.Status(ctx); err != nil {
				t.Errorf("Status: %v", err)
			}
			if _, err := m.Version(ctx); err != nil {
				t.Errorf("Version: %v", err)
			}
			if _, err := m.Runs(ctx); err != nil {
				t.Errorf("Runs: %v", err)
			}
			if steps, err := p.locking(db, append(two, gooseplus.WithGlobalLock(lock))...).Plan(ctx); err != nil || len(steps) != 1 {
				t.Errorf("Plan: %v, %v", steps, err)
			}
			for _, protect := range []func(context.Context, int64) error{m.LockVersion, m.UnlockVersion} {
				err := protect(ctx, 1)
				wantIs(t, err, gooseplus.ErrMigrationTable)
				wantText(t, err, "it needs GRANT SELECT")
			}
		}
		err := p.locking(db, two...).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrMigrationTable)
		wantIsNot(t, err, gooseplus.ErrDirty)
		wantText(t, err, "denied")

		// One privilege is missing: the run is refused before its first step.
		grant("SELECT, INSERT, UPDATE", "goose_db_version_lock")
		grant("SELECT, INSERT, DELETE", "goose_db_version")
		if p.dialect == "postgres" {
			grant("USAGE", "SEQUENCE goose_db_version_id_seq")
		}
		err = p.locking(db, two...).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrMigrationTable)
		wantText(t, err, "denied")
		p.wantCounted(t, 1)
		if s, err := p.locking(p.instance(t), two...).Status(ctx); err != nil || s.Dirty {
			t.Errorf("after a refusal: %+v, %v", s, err)
		}

		grant("DELETE", "goose_db_version_lock")
		if err := p.locking(db, two...).Migrate(ctx); err != nil {
			t.Errorf("with all privileges: %v", err)
		}
		if err := p.locking(db, two...).Force(ctx, 1); err != nil {
			t.Errorf("Force: %v", err)
		}
		p.wantCounted(t, 1)
		locks{p}.wantNothingNamed(t)
	})
}

// TestReadOnlyRole: sessions that are read-only see that nothing is pending; a run that would have to write is refused.
func TestReadOnlyRole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		one := []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil))}
		if err := p.locking(p.instance(t), one...).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		r := p.role(t)
		p.exec(t, fmt.Sprintf("GRANT SELECT ON goose_db_version, goose_db_version_lock TO %s", r.name),
			fmt.Sprintf("ALTER ROLE %s SET default_transaction_read_only = on", r.name))
		db := r.open(t)
		if err := p.locking(db, one...).Migrate(ctx); err != nil {
			t.Errorf("nothing pending: %v", err)
		}
		err := p.locking(db, from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil))).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrMigrationTable)
		p.wantCounted(t, 1)
	})
}

// TestCatalogsThatAreNotForAll: somebody has taken catalogs away from everybody, which goose doesn't read. What a run can't know of a
// connection, it can't put back: the connection is replaced.
func TestCatalogsThatAreNotForAll(t *testing.T) {
	t.Parallel()
	for _, catalog := range []string{"pg_proc", "pg_settings"} {
		having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
			p.exec(t, "REVOKE ALL ON pg_catalog."+catalog+" FROM PUBLIC")
			role := p.role(t)
			p.exec(t, "GRANT CREATE, USAGE ON SCHEMA public TO "+role.name)
			db := role.open(t)
			fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": script("CREATE TABLE b (id INTEGER);\nSET search_path = public;", "DROP TABLE b;"),
				"3_c.sql": noTransaction("CREATE TABLE c (id INTEGER);\nSET search_path = '';", "DROP TABLE c;"), "4_d.sql": table("d")})
			if err := p.locking(db, from(fsys)).Migrate(t.Context()); err != nil {
				t.Error(err)
			}
			p.want(t, []int64{1, 2, 3, 4}, []string{"a", "b", "c", "d"})
			for _, c := range pin(t, db, max(1, db.Stats().OpenConnections)) {
				var path string
				if err := c.QueryRowContext(t.Context(), "SHOW search_path").Scan(&path); err != nil || path != `"$user", public` {
					t.Errorf("a connection of the pool has the search_path %q, %v", path, err)
				}
				c.Close()
			}
		})
	}
}

// TestHiddenState: row-level security hides the rows of the state table from a user who is not its owner. That there is no dirty version,
// and no protection, must not be believed.
func TestHiddenState(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		role := p.role(t)
		known := from(files(map[string]*fstest.MapFile{"1_a.sql": table("a")}))
		next := from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "")}))
		wantIs(t, p.migrator(next).Migrate(t.Context()), gooseplus.ErrRollBack)
		p.exec(t, "GRANT USAGE, CREATE ON SCHEMA public TO "+role.name, "GRANT ALL ON ALL TABLES IN SCHEMA public TO "+role.name,
			"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "+role.name)
		db := role.open(t)
		wantIs(t, p.over(db, known, lock).Migrate(t.Context()), gooseplus.ErrDirty)
		for _, hidden := range []bool{true, false} {
			p.exec(t, "ALTER TABLE goose_db_version_lock "+map[bool]string{true: "ENABLE", false: "DISABLE"}[hidden]+" ROW LEVEL SECURITY")
			for _, set := range []gooseplus.Option{known, next} {
				m := p.over(db, set, lock)
				status, statusErr := m.Status(t.Context())
				err := m.Migrate(t.Context())
				if !hidden {
					wantIs(t, err, gooseplus.ErrDirty)
					if !status.Dirty || statusErr != nil {
						t.Errorf("the status: dirty %v, %v", status.Dirty, statusErr)
					}
					continue
				}
				for _, err := range []error{err, statusErr} {
					wantIs(t, err, gooseplus.ErrMigrationTable)
					wantText(t, err, "row-level security hides its rows")
					wantText(t, err, "goose_db_version_lock")
				}
			}
		}
		p.want(t, []int64{1}, []string{"a", "b"})
	})
}
