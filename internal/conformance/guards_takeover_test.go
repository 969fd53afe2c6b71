package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

const namedBackends = "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'backend'"

// namedAt counts the connections that the state table names when a statement comes.
func namedAt(t *testing.T, p *place, f *flaky, text string) *int {
	named := -1
	var once sync.Once
	f.before = func(statement string) {
		if strings.Contains(statement, text) {
			once.Do(func() { named = column[int](t, p.db, namedBackends)[0] })
		}
	}
	return &named
}

// TestGuardRecoveredStep: what clears away a step that was cut off is done on a connection that the state table names, also
// if the run has no step of its own.
func TestGuardRecoveredStep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		set := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b")})
		if err := p.locking(p.db, from(set)).MigrateTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[2]")
		p.exec(t, "INSERT INTO goose_db_version_lock (id, kind, version_id, source, direction, run_id, transactions) VALUES ('of:dirty:dead', 'dirty', 2, 'sql/base/2_b.sql', 'up', 'run:dead', 0)",
			"CREATE TABLE b (id INTEGER)")
		db, f := p.flaky(t)
		named := namedAt(t, p, f, "DROP TABLE b")
		if err := p.locking(db, from(set)).MigrateTo(ctx, 1); err != nil {
			t.Error(err)
		}
		p.want(t, []int64{1}, []string{"a"})
		if *named < 1 {
			t.Errorf("the state table names %d connections, want that one", *named)
		}
		locks{p}.wantNothingNamed(t)
	})
}

// TestGuardDownWithoutTransaction: a Down that no transaction covers is executed on a connection that the state table names,
// also if all steps of the run have one.
func TestGuardDownWithoutTransaction(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		named := -1
		var d gooseplus.Definitions
		d.Define(1).Up("CREATE TABLE a (id INTEGER)").DownAction(gooseplus.DBFunc(func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "DROP TABLE a")
			named = column[int](t, p.db, namedBackends)[0]
			return err
		}))
		d.Define(2).Up("INSERT INTO nowhere VALUES (1)").Down("SELECT 1")
		wantFailed(t, p.locking(p.db, from(fstest.MapFS{}), gooseplus.WithDefinitions(&d)).Migrate(context.Background()), 2)
		p.want(t, nil, nil)
		if named < 1 {
			t.Errorf("the state table names %d connections, want that of the Down", named)
		}
		locks{p}.wantNothingNamed(t)
	})
}

// TestGuardDeclaredDeadBeforeItsConnection: a run that is declared dead after it has marked its step, and before the state table names its
// connection, executes nothing: who looks for its connections has missed this one.
func TestGuardDeclaredDeadBeforeItsConnection(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		db, f := p.flaky(t)
		var dead sync.Once
		f.before = func(statement string) {
			if strings.Contains(statement, "(id, kind, run_id, backend)") {
				dead.Do(func() { p.exec(t, strings.Split(declareDead, "\n")...) })
			}
		}
		set := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE IF EXISTS a;")})
		wantIs(t, p.locking(db, from(set)).Migrate(context.Background()), gooseplus.ErrLockLost)
		p.want(t, nil, nil)
	})
}

// TestGuardLockFreeInTheLastMoment: the lock that is given back when the wait for it is over is tried once more.
func TestGuardLockFreeInTheLastMoment(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		release := locks{p}.hold(t)
		longEnough(t, 300*time.Millisecond, func(wait time.Duration) bool {
			db, asked := p.askedAfter(t, wait, release)
			err := p.locking(db, from(chain(1)), gooseplus.WithLockWait(wait)).Migrate(context.Background())
			if *asked < 2 {
				return false
			}
			if err != nil {
				t.Error(err)
			}
			return true
		})
		p.want(t, []int64{1}, []string{"t001"})
	})
}

// TestGuardNothingToDoInTheLastMoment: the last try finds that nothing is left to do, which is no reason to say that somebody has
// the lock. The run had seen nothing before.
func TestGuardNothingToDoInTheLastMoment(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		reader := *p
		reader.dsn = readerDSN(t, p, p.asGooseLeavesIt(t))
		longEnough(t, 300*time.Millisecond, func(wait time.Duration) bool {
			release := locks{p}.hold(t)
			defer release()
			db, f := reader.flaky(t)
			looks, asked := f.lateFirst(), f.askedAfter(wait, release)
			err := p.locking(db, from(chain(1)), gooseplus.WithLockWait(wait)).Migrate(context.Background())
			if *asked < 2 || *looks < 2 {
				return false
			}
			if errors.Is(err, gooseplus.ErrLocked) && strings.Contains(err.Error(), "context deadline exceeded") {
				return false // nor did the server answer the last look within a second
			}
			if err != nil {
				t.Error(err)
			}
			return true
		})
		record{p}.wantNoState(t)
	})
}

// TestGuardLostRunKeepsItsRow: a run that has lost the lock leaves its row to the next holder, who undoes what it did.
func TestGuardLostRunKeepsItsRow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		set := func(second func(context.Context, *sql.Tx) error) []gooseplus.Option {
			return []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(counts(1, nil), counts(2, second))}
		}
		err := p.locking(p.instance(t), set(func(ctx context.Context, _ *sql.Tx) error {
			p.exec(t, fmt.Sprintf(p.kill, locks{p}.connection(t)))
			<-ctx.Done()
			wantIs(t, context.Cause(ctx), gooseplus.ErrLockLost) // and not the migration timeout
			return ctx.Err()
		})...).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrLockLost)
		const outcomes = "SELECT outcome FROM goose_db_version_lock WHERE kind = 'run' ORDER BY started_at"
		if got := column[string](t, p.db, outcomes); !slices.Equal(got, []string{"running"}) {
			t.Errorf("outcomes %q, want that it is left to the next holder", got)
		}
		boom := func(context.Context, *sql.Tx) error { return errBoom }
		wantIs(t, p.locking(p.instance(t), set(boom)...).Migrate(ctx), gooseplus.ErrRollForward)
		p.wantCounted(t)
		if got := column[string](t, p.db, outcomes); !slices.Equal(got, []string{"crashed", "rolled back"}) {
			t.Errorf("outcomes %q", got)
		}
	})
}

const errBoom = errorText("boom")

// TestGuardOtherNamespacesRun: a run of one namespace doesn't take over from a run of another one that was cut off.
func TestGuardOtherNamespacesRun(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		if err := p.locking(p.db, from(bounded(nil)), inContexts).MigrateNamespace(ctx, "core"); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[1]")
		p.exec(t, "UPDATE goose_db_version_lock SET namespace = 'identity' WHERE id = 'run:dead'")
		bad := bounded(map[string]*fstest.MapFile{"core/base/4_bad.sql": script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")})
		wantFailed(t, p.locking(p.db, from(bad), inContexts).MigrateNamespace(ctx, "core"), 4)
		p.wantContexts(t, contextVersions{"core": {1, 2}}, []string{"teams", "units"})
		if got := (record{p}).outcomeOfStale(t); got != "[cut off]" {
			t.Errorf("the run of the other namespace is %s, want cut off", got)
		}
	})
}

// TestGuardDownThatRemovedItsRow: a Down that ends half-way after its version's row is gone leaves the version dirty: that
// the row is gone says nothing of the rest. The Down is not executed once more.
func TestGuardDownThatRemovedItsRow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		set := files(map[string]*fstest.MapFile{
			"1_a.sql": table("a"),
			"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DELETE FROM goose_db_version WHERE version_id = 2;\nINSERT INTO b VALUES (1);\nINSERT INTO nowhere VALUES (1);"),
		})
		m := p.migrator(from(set))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		err := m.Rollback(ctx, 1)
		wantIs(t, err, gooseplus.ErrRollBack)
		wantIs(t, err, gooseplus.ErrDirty)
		p.want(t, []int64{1}, []string{"a", "b"})
		if n := column[int](t, p.db, "SELECT count(*) FROM b")[0]; n != 1 {
			t.Errorf("the Down was executed %d times", n)
		}
		wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
	})
}

// TestOrphanThatStays: the server goes on with a statement that was interrupted, and the run's role may not end it. The way
// back gives up after the 15 seconds for which it tries to reach a server, undoes nothing beside that statement, and leaves its row to the next holder.
func TestOrphanThatStays(t *testing.T) {
	t.Parallel()
	for _, namespaces := range []bool{false, true} {
		having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
			db, way, end := p.withoutTerminate(t)
			slow := noTransaction("SELECT pg_sleep(100);", "CREATE TABLE undone (id INTEGER);")
			set, versionTable := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_slow.sql": slow}), "goose_db_version"
			var opts []gooseplus.Option
			if namespaces {
				set, versionTable = namespaced(map[string]*fstest.MapFile{"core/1_a.sql": table("a"), "identity/2_slow.sql": slow}), "goose_db_version_core"
				opts = append(opts, gooseplus.WithNamespaces("core", "identity"))
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			const limit = 2 * time.Minute // the way back gives up long before
			ended := make(chan error, 1)
			go func() {
				ended <- p.locking(db, append(opts, from(set), gooseplus.WithRollbackTimeout(limit))...).Migrate(ctx)
			}()
			p.untilAny(t, "the statement", p.working("pg_sleep(100"))
			way.IgnoreCancels()
			cancel()
			began := time.Now()
			err := <-ended
			if took := time.Since(began); took > limit/2 {
				t.Errorf("it gave up after %v", took)
			}
			wantIs(t, err, gooseplus.ErrRollBack)
			wantIs(t, err, gooseplus.ErrDirty)
			wantText(t, err, "the server may still execute a statement that was interrupted")
			if tables := column[string](t, p.db, p.target.tables); !slices.Equal(tables, []string{"a"}) {
				t.Errorf("tables %v", tables)
			}
			if got := column[int64](t, p.db, "SELECT version_id FROM "+versionTable+" WHERE version_id > 0"); !slices.Equal(got, []int64{1}) {
				t.Errorf("versions %v", got)
			}
			for _, outcome := range column[string](t, p.db, "SELECT outcome FROM goose_db_version_lock WHERE kind = 'run'") {
				if outcome != "running" {
					t.Errorf("outcome %q, want that the next holder finds out", outcome)
				}
			}
			end()
		})
	}
}

// withoutTerminate is the database of a role that can't end connections, through a proxy. Call end when the role's connections
// are to end.
func (p *place) withoutTerminate(t *testing.T) (db *sql.DB, way *dbtest.Proxy, end func()) {
	t.Helper()
	role := p.role(t)
	p.exec(t, "GRANT CREATE, USAGE ON SCHEMA public TO "+role.name, "REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC")
	q := *p
	q.dsn = role.dsn
	db, way = through(t, &q)
	return db, way, func() {
		p.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role.name+"'")
		eventually(t, "the end of its connections", func() bool {
			return len(column[int64](t, p.db, "SELECT pid FROM pg_stat_activity WHERE usename = '"+role.name+"'")) == 0
		})
	}
}

// TestOrphansOfAFunction: a Go migration was interrupted while the server executed two statements for it, which nobody can end.
// The state table names both connections for the next holder.
func TestOrphansOfAFunction(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		db, way, end := p.withoutTerminate(t)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		both := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			errs := make(chan error, 2)
			for range cap(errs) {
				go func() {
					_, err := db.ExecContext(ctx, "SELECT pg_sleep(100)")
					errs <- err
				}()
			}
			return errors.Join(<-errs, <-errs)
		}}, nil)
		ended := make(chan error, 1)
		go func() { ended <- p.locking(db, gooseplus.WithGoMigrations(both), from(fstest.MapFS{})).Migrate(ctx) }()
		var working []int64
		eventually(t, "two statements", func() bool {
			working = column[int64](t, p.db, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(100)' ORDER BY pid")
			return len(working) == 2
		})
		way.IgnoreCancels()
		cancel()
		wantIs(t, <-ended, gooseplus.ErrDirty)
		named := backendsOf(t, p)
		slices.Sort(named)
		if !slices.Equal(named, working) {
			t.Errorf("the state table names %v, and the server works on %v", named, working)
		}
		end()
	})
}

// TestGuardNamedAgain: after a migration has removed the state table, the connection of the next step is named in the new one.
func TestGuardNamedAgain(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		set := files(map[string]*fstest.MapFile{
			"1_gone.sql": noTransaction("DROP TABLE goose_db_version_lock;", "SELECT 1;"), "2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE b;"),
		})
		db, f := p.flaky(t)
		db.SetMaxOpenConns(3) // both steps have the same connection
		db.SetMaxIdleConns(3)
		named := namedAt(t, p, f, "CREATE TABLE b")
		if err := p.locking(db, from(set)).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
		p.want(t, []int64{1, 2}, []string{"b"})
		if *named < 1 {
			t.Errorf("the state table names %d connections, want that one", *named)
		}
		locks{p}.wantNothingNamed(t)
	})
}
