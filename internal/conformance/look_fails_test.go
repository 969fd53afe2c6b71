package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus"
)

var errInjected = errors.New("canceling statement due to statement timeout")

// TestLookFails has the first look fail at a database that refuses the run: the refusal is what counts, and if the
// state table can't be read at all, its error. An error is no answer.
func TestLookFails(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	half := noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO missing VALUES (1);", "DROP TABLE half;\nDROP TABLE missing;")
	for name, s := range map[string]struct {
		prepare func(*testing.T, *place, gooseplus.Option)
		call    func(*gooseplus.Migrator) error
		refusal error
	}{
		"dirty": {
			func(t *testing.T, p *place, lock gooseplus.Option) {
				fsys := files(map[string]*fstest.MapFile{"001_t.sql": table("t001"), "002_half.sql": half})
				wantIs(t, p.migrator(from(fsys), lock).Migrate(ctx), gooseplus.ErrDirty)
			},
			func(m *gooseplus.Migrator) error { return m.MigrateTo(ctx, 1) }, // which has nothing to do
			gooseplus.ErrDirty,
		},
		"protected version": {
			func(t *testing.T, p *place, lock gooseplus.Option) {
				m := p.migrator(from(chain(3)), lock)
				if err := errors.Join(m.Migrate(ctx), m.LockVersion(ctx, 2)); err != nil {
					t.Fatal(err)
				}
			},
			func(m *gooseplus.Migrator) error { return m.RollbackTo(ctx, 0) },
			gooseplus.ErrVersionLocked,
		},
		"protected environment": {
			func(t *testing.T, p *place, lock gooseplus.Option) {
				if err := p.migrator(from(chain(1)), lock, gooseplus.WithEnvironments("production")).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
			},
			func(m *gooseplus.Migrator) error { return m.Migrate(ctx) },
			gooseplus.ErrProtectedEnvironment,
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
				s.prepare(t, p, lock)
				before := p.state(t)
				db, f := p.flaky(t)
				m := p.over(db, from(chain(3)), lock, gooseplus.WithEnvironments("test"))
				for first := range 3 {
					n := 0
					f.refuse = func(statement string) error {
						if strings.Contains(statement, "version_id") {
							if n++; n == first+1 {
								return errInjected
							}
						}
						return nil
					}
					if err := s.call(m); !errors.Is(err, s.refusal) && !errors.Is(err, errInjected) {
						t.Errorf("reading statement %d fails: %v", first+1, err)
					} else if first == 0 && !errors.Is(err, s.refusal) {
						t.Errorf("the look fails once: %v, want %v", err, s.refusal)
					}
				}
				f.refuse = func(statement string) error {
					if strings.Contains(statement, "goose_db_version_lock") && !strings.Contains(statement, "to_regclass") {
						return errInjected
					}
					return nil
				}
				for what, err := range map[string]error{"the run": s.call(m), "Plan": second(m.Plan(ctx)), "Status": second(m.Status(ctx)), "Runs": second(m.Runs(ctx))} {
					if !errors.Is(err, errInjected) {
						t.Errorf("%s of a state table that can't be read: %v", what, err)
					}
				}
				f.refuse = nil
				if after := p.state(t); after.String() != before.String() {
					t.Errorf("the database holds\n  %v, want\n  %v", after, before)
				}
			})
		})
	}
}

func readerName(t *testing.T) string {
	sum := fnv.New64()
	_, _ = sum.Write([]byte(t.Name()))
	return fmt.Sprintf("reader_%x", sum.Sum64())
}

// readerOf connects as a user who may read these tables and nothing else.
func readerOf(t *testing.T, p *place, tables ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open(p.driver, readerDSN(t, p, tables...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func readerDSN(t *testing.T, p *place, tables ...string) (dsn string) {
	t.Helper()
	user := readerName(t)
	if p.dialect == "postgres" {
		p.exec(t, "CREATE ROLE "+user+" LOGIN PASSWORD 'r'")
		t.Cleanup(func() { p.exec(t, "DROP OWNED BY "+user, "DROP ROLE "+user) })
		u, err := url.Parse(p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, "r")
		dsn = u.String()
	} else {
		c, err := mysql.ParseDSN(p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		p.exec(t, "CREATE USER "+user+" IDENTIFIED BY 'r'")
		t.Cleanup(func() { p.exec(t, "DROP USER "+user) })
		c.User, c.Passwd = user, "r"
		dsn = c.FormatDSN()
	}
	for _, table := range tables {
		p.exec(t, "GRANT SELECT ON "+table+" TO "+user)
	}
	return dsn
}

// TestReaderWithoutTheStateTable: who may read the version table and not the state table can't know that a database is
// in order.
func TestReaderWithoutTheStateTable(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		half := noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO missing VALUES (1);", "DROP TABLE half;\nDROP TABLE missing;")
		fsys := files(map[string]*fstest.MapFile{"001_t.sql": table("t001"), "002_half.sql": half})
		wantIs(t, p.locking(p.db, from(fsys)).Migrate(ctx), gooseplus.ErrDirty)
		db := readerOf(t, p, "goose_db_version")
		for _, lock := range []bool{true, false} {
			m := p.over(db, from(chain(1)), gooseplus.WithGlobalLock(lock))
			err := m.Migrate(ctx)
			wantIs(t, err, gooseplus.ErrMigrationTable)
			wantText(t, err, "_lock")
			wantText(t, err, "GRANT SELECT ON")
			wantIs(t, second(m.Plan(ctx)), gooseplus.ErrMigrationTable)
		}
		m := p.over(db, from(chain(1)))
		wantIs(t, second(m.Status(ctx)), gooseplus.ErrMigrationTable)
		if p.dialect == "mysql" { // elsewhere only dirty steps write to the state table without the lock
			p.exec(t, "CREATE TABLE goose_db_version_a LIKE goose_db_version", "INSERT INTO goose_db_version_a SELECT * FROM goose_db_version")
			p.exec(t, "GRANT SELECT ON goose_db_version_a TO "+readerName(t))
			wantIs(t, p.over(db, gooseplus.WithFS(fstest.MapFS{"sql/a/001_t.sql": table("t001")}), gooseplus.WithNamespaces("a")).Migrate(ctx), gooseplus.ErrMigrationTable)
		}
		if v, err := m.Version(ctx); v != 1 || err != nil {
			t.Errorf("Version = %d, %v", v, err)
		}
	})
}

// asGooseLeavesIt applies a version, and removes the state table. It returns the tables to which a reader needs a grant: MariaDB shows
// only to those who may read all tables that there is no state table.
func (p *place) asGooseLeavesIt(t *testing.T) (tables string) {
	t.Helper()
	if err := p.migrator(from(chain(1))).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
	if p.dialect == "mysql" {
		return "*"
	}
	return "goose_db_version"
}

// lateFirst has the first look at the tables get no answer in time. It counts the looks.
func (f *flaky) lateFirst() (looks *int) {
	looks = new(int)
	f.refuse = func(statement string) error {
		if strings.Contains(statement, "goose_db_version") {
			if *looks++; *looks == 1 {
				time.Sleep(1500 * time.Millisecond)
				return context.DeadlineExceeded
			}
		}
		return nil
	}
	return looks
}

// TestReaderOfAGooseDatabase: where no run has ever had anything to remember, there is no state table, and whoever may read
// the database's tables gets nil, with the lock and without.
func TestReaderOfAGooseDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		all := p.asGooseLeavesIt(t)
		for who, db := range map[string]*sql.DB{"the owner": p.db, "a reader": readerOf(t, p, all)} {
			for _, lock := range []bool{true, false} {
				if err := p.over(db, from(chain(1)), gooseplus.WithGlobalLock(lock)).Migrate(ctx); err != nil {
					t.Errorf("%s, lock %t: %v", who, lock, err)
				}
			}
		}
		record{p}.wantNoState(t)
	})
}

// TestReaderOnASlowServer: a first look without an answer in time is no reason to write, if the next one finds nothing to do.
func TestReaderOnASlowServer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		all := p.asGooseLeavesIt(t)
		reader := *p
		reader.dsn = readerDSN(t, p, all)
		for _, wait := range []time.Duration{-1, 0, time.Minute} {
			db, f := reader.flaky(t)
			looks := f.lateFirst()
			if err := p.over(db, from(chain(1)), gooseplus.WithGlobalLock(true), gooseplus.WithLockWait(wait)).Migrate(ctx); err != nil {
				t.Errorf("lock wait %v: %v", wait, err)
			}
			if *looks < 2 {
				t.Error("no look came late: the test shows nothing")
			}
			wantIs(t, p.over(db, from(chain(2)), gooseplus.WithGlobalLock(true)).Migrate(ctx), gooseplus.ErrMigrationTable)
		}
		record{p}.wantNoState(t)
	})
}

// TestReaderOfTenants: the look at many tenants finds the one that is dirty, and doesn't call one up to date of which it
// may not know.
func TestReaderOfTenants(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.create(t, names...)
		half := noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO missing VALUES (1);", "DROP TABLE half;\nDROP TABLE missing;")
		set := files(map[string]*fstest.MapFile{"001_t.sql": table("t001"), "002_half.sql": half})
		for i, name := range names {
			m := p.migrator(forgetful([]gooseplus.Option{from(set), gooseplus.WithSchema(name)})...)
			if i == 0 {
				wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
			} else if err := m.MigrateTo(ctx, 1); err != nil {
				t.Fatal(err)
			}
		}
		var tables []string
		for _, name := range names {
			tables = append(tables, p.quote(name)+".goose_db_version")
		}
		p.exec(t, "CREATE TABLE anything (id INTEGER)") // or MySQL refuses the pool's own database
		db := readerOf(t, p.place, append(tables, "anything")...)
		if p.dialect == "postgres" {
			for _, name := range names {
				p.exec(t, "GRANT USAGE ON SCHEMA "+p.quote(name)+" TO "+readerName(t))
			}
		}
		look := func(lock bool) map[gooseplus.TenantState]int {
			states := make(map[gooseplus.TenantState]int)
			report, _ := p.over(db, forgetful([]gooseplus.Option{from(chain(1)), gooseplus.WithGlobalLock(lock)})...).MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithConcurrency(1))
			for _, r := range report.Tenants {
				states[r.State]++
				if r.State != gooseplus.TenantUpToDate {
					t.Logf("%s: %v", r.State, r.Err)
				}
			}
			return states
		}
		for _, lock := range []bool{false, true} {
			states := look(lock)
			upToDate := 0
			if p.dialect == "postgres" {
				upToDate = 2 // whose tables of transactional steps need no state table
			}
			if states[gooseplus.TenantUpToDate] != upToDate || states[gooseplus.TenantFailed] != 3-upToDate {
				t.Errorf("lock %t, the version tables alone: %v", lock, states)
			}
		}
		for _, name := range tables {
			if p.dialect == "mysql" || name == tables[0] {
				p.exec(t, "GRANT SELECT ON "+strings.Replace(name, "goose_db_version", "goose_db_version_lock", 1)+" TO "+readerName(t))
			}
		}
		if states := look(false); states[gooseplus.TenantUpToDate] != 2 || states[gooseplus.TenantDirty] != 1 {
			t.Errorf("with the state tables: %v", states)
		}
	})
}
