package conformance

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// ownerPlace has a role that can't log in, and a user that may do nothing but work as that role.
type ownerPlace struct {
	*place
	owner  string
	user   role
	before string // what a new connection of the user's is
}

const connectionIs = "SELECT session_user || ' as ' || current_user || ' ' || current_setting('role') || ' ' || current_setting('search_path')"

func (p *place) owned(t *testing.T) *ownerPlace {
	t.Helper()
	owner := "Owner " + strings.ToLower(rand.Text()[:12])
	quoted := `"` + owner + `"`
	p.exec(t, "CREATE ROLE "+quoted+" NOLOGIN", "GRANT USAGE, CREATE ON SCHEMA public TO "+quoted)
	t.Cleanup(func() { p.exec(t, "DROP OWNED BY "+quoted, "DROP ROLE "+quoted) })
	o := &ownerPlace{place: p, owner: owner, user: p.role(t)}
	database := column[string](t, p.db, "SELECT quote_ident(current_database())")[0]
	p.exec(t, "GRANT CREATE ON DATABASE "+database+" TO "+quoted, "ALTER ROLE "+o.user.name+" NOINHERIT", "GRANT "+quoted+" TO "+o.user.name)
	o.before = fmt.Sprintf(`%[1]s as %[1]s none "$user", public`, o.user.name)
	return o
}

func (p *ownerPlace) migrator(db *sql.DB, opts ...gooseplus.Option) *gooseplus.Migrator {
	return p.locking(db, append([]gooseplus.Option{gooseplus.WithRole(p.owner)}, opts...)...)
}

// wantOwned fails the test unless everything in the database's schemas is the owner's, and there is something.
func (p *ownerPlace) wantOwned(t *testing.T) {
	t.Helper()
	const objects = `SELECT kind || ' ' || name || ' of ' || pg_get_userbyid(owner) FROM (
		SELECT 'relation' AS kind, oid::regclass::text AS name, relowner AS owner, relnamespace AS schema FROM pg_class
		UNION ALL SELECT 'type', typname, typowner, typnamespace FROM pg_type
		UNION ALL SELECT 'function', proname, proowner, pronamespace FROM pg_proc
		UNION ALL SELECT 'schema', nspname, nspowner, oid FROM pg_namespace WHERE nspname <> 'public') AS o
		WHERE schema NOT IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\_%' OR nspname = 'information_schema')`
	if all := column[string](t, p.db, objects); len(all) < 4 {
		t.Errorf("there are only %q", all)
	}
	if others := column[string](t, p.db, objects+` AND pg_get_userbyid(owner) <> $1`, p.owner); len(others) > 0 {
		t.Errorf("not the owner's: %q", others)
	}
}

// wantAsBefore asserts that none of the pool's connections has kept anything.
func (p *ownerPlace) wantAsBefore(t *testing.T, db *sql.DB) {
	t.Helper()
	ctx := context.Background()
	var taken []*sql.Conn
	defer func() {
		for _, c := range taken {
			_ = c.Close()
		}
	}()
	for range max(3, db.Stats().OpenConnections) {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, c)
		var is string
		if err := c.QueryRowContext(ctx, connectionIs).Scan(&is); err != nil {
			t.Fatal(err)
		}
		if is != p.before {
			t.Errorf("a connection of the pool is %q, want %q", is, p.before)
		}
	}
}

// ownerFiles are migrations of every kind. Each notes as whom it works.
func ownerFiles(last *fstest.MapFile) fstest.MapFS {
	return files(map[string]*fstest.MapFile{
		"1_worked.sql": script("CREATE TABLE worked (v INTEGER, who TEXT DEFAULT current_user);\nCREATE TYPE mood AS ENUM ('calm');", "DROP TYPE mood;\nDROP TABLE worked;"),
		"2_apart.sql": noTransaction("INSERT INTO worked VALUES (2);\nCREATE INDEX CONCURRENTLY worked_v ON worked (v);",
			"DROP INDEX CONCURRENTLY IF EXISTS worked_v;\nDELETE FROM worked WHERE v = 2;"),
		"5_hostile.sql": script("INSERT INTO worked VALUES (5);\nRESET ROLE;\nSET search_path = pg_catalog;", "RESET ROLE;\nSET LOCAL ROLE NONE;"),
		"6_hostile.sql": noTransaction("INSERT INTO worked VALUES (6);\nRESET ROLE;", "SET ROLE NONE;"),
		"7_next.sql":    script("INSERT INTO worked VALUES (7);\nCREATE FUNCTION seven() RETURNS INTEGER LANGUAGE sql AS 'SELECT 7';", "DROP FUNCTION seven();\nDELETE FROM worked WHERE v = 7;"),
		"8_last.sql":    last,
	})
}

func ownerInGo(panics bool) gooseplus.Option {
	note := func(v int) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			return execTx(ctx, tx, fmt.Sprintf("INSERT INTO worked VALUES (%d); SET ROLE NONE", v))
		}}
	}
	return gooseplus.WithGoMigrations(
		goose.NewGoMigration(3, note(3), note(-3)),
		goose.NewGoMigration(4, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			for _, text := range []string{"INSERT INTO worked VALUES (4)", "CREATE TABLE apart (id INTEGER)"} {
				if _, err := db.ExecContext(ctx, text); err != nil {
					return err
				}
			}
			if panics {
				panic("a test")
			}
			return nil
		}}, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS apart; DELETE FROM worked WHERE v = 4")
			return err
		}}))
}

// TestRole: a user that may do nothing itself migrates as the owner, whatever the migrations do to their connections, and
// however the run ends.
func TestRole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	last := script("INSERT INTO worked VALUES (8);", "DELETE FROM worked WHERE v = 8;")
	for name, test := range map[string]func(*testing.T, *ownerPlace, *sql.DB){
		"success and all the way down": func(t *testing.T, p *ownerPlace, db *sql.DB) {
			m := p.migrator(db, from(ownerFiles(last)), ownerInGo(false))
			if steps, err := m.Plan(ctx); err != nil || len(steps) != 8 {
				t.Errorf("Plan: %v, %v", steps, err)
			}
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.wantOwned(t)
			if who := column[string](t, p.db, "SELECT v || ' ' || who FROM worked WHERE who <> $1 ORDER BY v", p.owner); len(who) > 0 {
				t.Errorf("it was not the owner who worked: %q", who)
			}
			if s, err := m.Status(ctx); err != nil || s.PendingCount != 0 || s.CurrentVersion != 8 {
				t.Errorf("Status: %+v, %v", s, err)
			}
			if list, err := m.Runs(ctx); err != nil || len(list) == 0 {
				t.Errorf("Runs: %+v, %v", list, err)
			}
			for what, err := range map[string]error{"Migrate": m.Migrate(ctx), "Accept": m.Accept(ctx, 8), "LockVersion": m.LockVersion(ctx, 1),
				"UnlockVersion": m.UnlockVersion(ctx, 1), "Force": m.Force(ctx, 8), "Wait": m.Wait(ctx)} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			p.wantAsBefore(t, db)
			if err := m.RollbackTo(ctx, 1); err != nil {
				t.Error(err)
			}
			p.want(t, []int64{1}, []string{"worked"})
		},
		"failure": func(t *testing.T, p *ownerPlace, db *sql.DB) {
			bad := script("SET SESSION ROLE NONE;\nSET ROLE NONE;\nSELECT 1 / 0;", "SELECT 1;")
			wantIs(t, p.migrator(db, from(ownerFiles(bad)), ownerInGo(false)).Migrate(ctx), gooseplus.ErrRollForward)
			p.want(t, nil, nil)
			p.wantOwned(t)
		},
		"panic": func(t *testing.T, p *ownerPlace, db *sql.DB) {
			err := p.migrator(db, from(ownerFiles(last)), ownerInGo(true)).Migrate(ctx)
			wantText(t, err, "panic")
			wantIs(t, err, gooseplus.ErrRollForward)
			p.want(t, nil, nil)
		},
		"killed": func(t *testing.T, p *ownerPlace, db *sql.DB) {
			slow := script("SELECT pg_sleep(60);", "SELECT 1;")
			done := make(chan error, 1)
			go func() { done <- p.migrator(db, from(ownerFiles(slow)), ownerInGo(false)).Migrate(ctx) }()
			eventually(t, "the statement is killed", func() bool {
				return len(column[bool](t, p.db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND query LIKE 'SELECT pg_sleep(60)%'", p.user.name)) > 0
			})
			wantIs(t, <-done, gooseplus.ErrRollForward)
			p.want(t, nil, nil)
		},
		"one transaction": func(t *testing.T, p *ownerPlace, db *sql.DB) {
			set := ownerFiles(last)
			delete(set, "sql/base/2_apart.sql")
			delete(set, "sql/base/6_hostile.sql")
			m := p.migrator(db, from(set), gooseplus.WithRollback(gooseplus.RollbackTransaction))
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.wantOwned(t)
			if err := m.RollbackTo(ctx, 0); err != nil {
				t.Error(err)
			}
			p.want(t, nil, nil)
		},
		"tenants": func(t *testing.T, p *ownerPlace, db *sql.DB) {
			names := (&fleetPlace{place: p.place}).names(20)
			m := p.migrator(db, from(things(nil)), thingsInGo)
			report, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCreateSchema(true))
			if err != nil {
				t.Fatal(err)
			}
			wantReport(t, report, 20, 20, 0, 0, 0)
			p.wantOwned(t)
			report, err = m.MigrateTenants(ctx, gooseplus.SchemasLike(db, names[0][:len(names[0])-4]+"%"))
			if err != nil {
				t.Fatal(err)
			}
			wantReport(t, report, 20, 0, 20, 0, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
				o := p.owned(t)
				db := o.user.open(t)
				test(t, o, db)
				o.wantAsBefore(t, db)
			})
		})
	}
}

// TestRoleRefused: nothing is touched if the user may not work as the role, or if there is none.
func TestRoleRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		o := p.owned(t)
		p.exec(t, "REVOKE \""+o.owner+"\" FROM "+o.user.name)
		for role, text := range map[string]string{o.owner: "may not work as the role", "nobody": `there is no role "nobody"`} {
			db := o.user.open(t)
			for _, lock := range []bool{true, false} {
				m := p.locking(db, gooseplus.WithRole(role), gooseplus.WithGlobalLock(lock), from(chain(1)))
				for _, err := range []error{m.Migrate(ctx), second(m.Status(ctx)), second(m.Version(ctx)), second(m.Plan(ctx)), second(m.Runs(ctx)),
					m.Rollback(ctx, 1), m.Force(ctx, 1), second(m.MigrateTenants(ctx, gooseplus.Schemas("x"), gooseplus.WithCreateSchema(true)))} {
					wantIs(t, err, gooseplus.ErrMigrationTable)
					wantText(t, err, text)
				}
			}
			o.wantAsBefore(t, db)
		}
		if n := column[int](t, p.db, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")[0]; n > 0 {
			t.Errorf("%d objects were created", n)
		}
	})
	for _, tc := range []struct{ dialect, role, text string }{
		{"mysql", "x", "SET DEFAULT ROLE"}, {"sqlite", "x", "WithRole"}, {"postgres", "", "empty"}, {"postgres", "none", "no role"},
		{"postgres", strings.Repeat("x", 64), "longer than 63 bytes"},
	} {
		wantText(t, gooseplus.New(nil, gooseplus.WithDialect(tc.dialect), from(chain(1)), gooseplus.WithRole(tc.role)).Err(), tc.text)
	}
}

// TestRoleTakesOver: the owner may neither see nor end what a dead run of the user's still does, and the user may.
func TestRoleTakesOver(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		o := p.owned(t)
		db := o.user.open(t)
		if err := o.migrator(db, from(chain(1))).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[2]")
		p.exec(t, "INSERT INTO goose_db_version_lock (id, kind, run_id, transactions) VALUES ('fence:dead', 'fence', 'run:dead', 0)")
		orphan, err := o.user.open(t).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer orphan.Rollback()
		for _, text := range []string{`SET LOCAL ROLE "` + o.owner + `"`, "UPDATE goose_db_version_lock SET transactions = transactions + 1 WHERE id = 'fence:dead'"} {
			if _, err := orphan.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
		var pid int
		if err := orphan.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		p.exec(t, fmt.Sprintf("INSERT INTO goose_db_version_lock (id, kind, run_id, backend) SELECT 'backend:dead:x', 'backend', 'run:dead', pid || '/' || "+
			"extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = %d", pid))
		if err := o.migrator(db, from(chain(2))).Migrate(ctx); err != nil {
			t.Error(err)
		}
		if err := orphan.Commit(); err == nil {
			t.Error("the transaction of the dead run was not ended")
		}
		p.want(t, []int64{1, 2}, []string{"t001", "t002"})
		o.wantOwned(t)
		o.wantAsBefore(t, db)
	})
}

// TestRoleRoundTrips: a statement of the Migrator's own is three with a role, and no connection needs to be put right.
func TestRoleRoundTrips(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		o := p.owned(t)
		o.place = &place{target: p.target, db: p.db, dsn: o.user.dsn}
		db, count := o.counted(t)
		m := o.migrator(db, from(chain(1)))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if told := count.quick(t, m.Migrate); len(told) != 3 || told[0] != `BEGIN; SET LOCAL ROLE "`+o.owner+`"` || told[2] != "COMMIT" {
			t.Errorf("a boot with nothing pending: %q", told)
		}
	})
}
