package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// removals are what a migration may do to the state table.
var removals = map[string]string{"dropped": "DROP TABLE IF EXISTS goose_db_version_lock;", "emptied": "DELETE FROM goose_db_version_lock;"}

// transactions make a migration with a transaction, and one without.
var transactions = map[string]func(up, down string) *fstest.MapFile{"in a transaction": script, "outside": noTransaction}

// removal is a migration that removes it on its way up, or on its way down.
type removal struct{ up, down *fstest.MapFile }

// onRemovals runs a test for each of the removals, in a step with a transaction and in one without.
func onRemovals(t *testing.T, test func(t *testing.T, p *place, remove removal)) {
	onDatabases(t, func(t *testing.T, p *place) {
		for how, statement := range removals {
			for in, step := range transactions {
				t.Run(how+" "+in, func(t *testing.T) {
					p.forgetAll(t)
					test(t, p, removal{up: step(statement, "SELECT 1;"), down: step("SELECT 1;", statement)})
				})
			}
		}
	})
}

// forgetAll empties the database, of which the tests in this file use three version tables.
func (p *place) forgetAll(t *testing.T) {
	t.Helper()
	p.reset(t)
	for _, table := range []string{"goose_db_version_lock", "goose_db_version_core", "goose_db_version_identity"} {
		p.exec(t, "DROP TABLE IF EXISTS "+table)
	}
}

// TestStateIsPutBack: a migration removes the state table, or its rows. The run puts back its outcome, the protected versions and
// the environments.
func TestStateIsPutBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onRemovals(t, func(t *testing.T, p *place, remove removal) {
		set := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": remove.up, "3_c.sql": table("c"), "4_gone.sql": remove.up, "6_gone.sql": remove.up})
		set["sql/production/5_p.sql"] = table("p")
		var warnings []string
		m := p.locking(p.db, from(set), gooseplus.WithEnvironments("production"), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if w, ok := e.(gooseplus.Warning); ok && strings.Contains(w.Message, "has removed the state table") {
				warnings = append(warnings, w.Message)
			}
		}))
		if err := m.MigrateTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if err := m.LockVersion(ctx, 1); err != nil {
			t.Fatal(err)
		}
		for _, to := range []int64{3, 6} {
			if err := m.MigrateTo(ctx, to); err != nil {
				t.Fatal(err)
			}
		}
		p.want(t, []int64{1, 2, 3, 4, 5, 6}, []string{"a", "c", "p"})
		if len(warnings) != 3 {
			t.Errorf("warnings %q", warnings)
		}
		runs, err := m.Runs(ctx)
		if err != nil || len(runs) != 1 || runs[0].Outcome != gooseplus.RunMigrated || runs[0].From != 3 || runs[0].To != 6 {
			t.Errorf("runs %+v, %v", runs, err)
		}
		if got := (record{p}).marks(t); got != "environment production, protected 1 sql/base/1_a.sql" {
			t.Errorf("remembered: %q", got)
		}
		locks{p}.wantNothingNamed(t)
		if got := column[string](t, p.db, "SELECT id FROM goose_db_version_lock WHERE kind = 'dirty'"); len(got) > 0 {
			t.Errorf("marked %v", got)
		}
		wantIs(t, m.RollbackTo(ctx, 0), gooseplus.ErrVersionLocked)
	})
}

// TestEnvironmentsArePutBack: those that the run brings, and those that other runs have brought.
func TestEnvironmentsArePutBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onRemovals(t, func(t *testing.T, p *place, remove removal) {
		set := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": remove.up})
		set["sql/production/3_p.sql"] = table("p")
		if err := p.locking(p.db, from(set), gooseplus.WithEnvironments("production")).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		const want = "environment production"
		if got := (record{p}).marks(t); got != want {
			t.Errorf("remembered: %q", got)
		}
		set = files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": table("b"), "4_gone.sql": remove.up, "5_c.sql": table("c")})
		if err := p.locking(p.db, from(set), gooseplus.WithUnknownVersions(gooseplus.Ignore)).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if got := (record{p}).marks(t); got != want {
			t.Errorf("remembered: %q", got)
		}
	})
}

// TestAdoptionIsPutBack: a person has said what the history of another tool means, and the run ends where nothing is applied. The
// next one need not ask that person again.
func TestAdoptionIsPutBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onRemovals(t, func(t *testing.T, p *place, remove removal) {
		p.exec(t, "DROP TABLE IF EXISTS schema_version", "CREATE TABLE schema_version (version INT NOT NULL)", "INSERT INTO schema_version VALUES (2)")
		set := func(remove *fstest.MapFile) gooseplus.Option {
			return from(files(map[string]*fstest.MapFile{"1_gone.sql": remove, "2_b.sql": table("b")}))
		}
		m := p.locking(p.db, set(remove.up))
		wantIs(t, m.Migrate(ctx), gooseplus.ErrForeignHistory)
		if err := m.Force(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.MigrateTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if err := m.RollbackTo(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if err := p.locking(p.db, set(script("SELECT 1;", "SELECT 1;"))).Migrate(ctx); err != nil {
			t.Error(err)
		}
		p.want(t, []int64{1, 2}, []string{"b", "schema_version"})
	})
}

// TestStateIsPutBackOfNamespaces: the last migration of all, or one between, removes it. Each namespace's row has its outcome.
func TestStateIsPutBackOfNamespaces(t *testing.T) {
	t.Parallel()
	onRemovals(t, func(t *testing.T, p *place, remove removal) {
		for i, named := range []map[string]*fstest.MapFile{
			{"core/1_a.sql": table("a"), "core/2_gone.sql": remove.up, "identity/1_b.sql": table("b")},
			{"core/1_a.sql": table("a"), "core/2_c.sql": table("c"), "identity/1_b.sql": table("b"), "identity/2_gone.sql": remove.up},
			{"core/1_a.sql": table("a"), "core/2_c.sql": table("c"), "identity/1_b.sql": remove.up, "identity/2_broken.sql": script("SELECT * FROM nowhere;", "SELECT 1;")},
		} {
			p.forgetAll(t)
			set := namespaced(named)
			m := p.locking(p.db, from(set), gooseplus.WithNamespaces("core", "identity"))
			err := m.Migrate(context.Background())
			want := gooseplus.RunMigrated
			if i == 2 {
				wantIs(t, err, gooseplus.ErrRollForward)
				want = gooseplus.RunRolledBack
			} else if err != nil {
				t.Error(err)
			}
			runs, err := m.Runs(context.Background())
			if err != nil || len(runs) != 2 || runs[0].Outcome != want || runs[1].Outcome != want {
				t.Errorf("set %d: runs %+v, %v", i, runs, err)
			}
		}
	})
}

// TestStateIsPutBackInOneTransaction: with RollbackTransaction the outcome alone is left to record.
func TestStateIsPutBackInOneTransaction(t *testing.T) {
	t.Parallel()
	for how, statement := range removals {
		t.Run(how, func(t *testing.T) {
			having(transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
				set := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": script(statement, "SELECT 1;"), "3_c.sql": table("c")})
				m := p.locking(p.db, from(set), gooseplus.WithRollback(gooseplus.RollbackTransaction))
				if err := m.Migrate(context.Background()); err != nil {
					t.Error(err)
				}
				p.want(t, []int64{1, 2, 3}, []string{"a", "c"})
				if runs, err := m.Runs(context.Background()); err != nil || len(runs) != 1 || runs[0].Outcome != gooseplus.RunMigrated {
					t.Errorf("runs %+v, %v", runs, err)
				}
				// A run that asked for the table now would wait for its own transaction.
				set["sql/base/4_gone.sql"], set["sql/base/5_broken.sql"] = script(statement, "SELECT 1;"), script("SELECT * FROM nowhere;", "SELECT 1;")
				err := p.locking(p.db, from(set), gooseplus.WithRollback(gooseplus.RollbackTransaction)).Migrate(context.Background())
				wantIs(t, err, gooseplus.ErrRollForward)
				if err != nil && strings.Contains(err.Error(), "timeout") {
					t.Error(err)
				}
			})
		})
	}
}

// TestStateIsPutBackWhileUndoing: the Down of a migration removes it.
func TestStateIsPutBackWhileUndoing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, lock := range []bool{true, false} {
		t.Run(fmt.Sprintf("lock %v", lock), func(t *testing.T) {
			onRemovals(t, func(t *testing.T, p *place, remove removal) {
				set := files(map[string]*fstest.MapFile{"1_gone.sql": remove.down, "2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE b;"), "3_gone.sql": remove.down})
				m := p.migrator(from(set), gooseplus.WithGlobalLock(lock), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if w, ok := e.(gooseplus.Warning); ok && !strings.Contains(w.Message, "a migration has removed the state table") {
						t.Error(w.Message)
					}
				}))
				if err := m.Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				if err := m.RollbackTo(ctx, 0); err != nil {
					t.Error(err)
				}
				p.want(t, nil, nil)
				if status, err := m.Status(ctx); err != nil || status.Dirty || status.PendingCount != 3 {
					t.Errorf("%+v, %v", status, err)
				}
				if err := m.Migrate(ctx); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestStateIsPutBackBeforeACrash: the process ends between the step that has removed it and its record. The next one knows that the
// step may be half-applied: it is not taken for one that was rolled back.
func TestStateIsPutBackBeforeACrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		for how, statement := range removals {
			t.Run(how, func(t *testing.T) {
				p.forgetAll(t)
				remove := noTransaction(createB+"\n"+statement, "SELECT 1;")
				set := from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": remove}))
				if err := p.locking(p.db, set).MigrateTo(ctx, 1); err != nil {
					t.Fatal(err)
				}
				p.wantDirtyAfter(t, func(marks int, statement string) bool {
					return marks == 2 && !strings.Contains(statement, "INSERT") && statement != "COMMIT"
				}, set, gooseplus.WithRollbackTimeout(time.Millisecond))
			})
		}
	})
	// A step of MySQL that was in a transaction, and in the middle of its Down.
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		step := script(createB+"\n"+removals["emptied"]+"\nINSERT INTO nowhere VALUES (1);", dropB)
		set := from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": step}))
		if err := p.locking(p.db, set).MigrateTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		p.wantDirtyAfter(t, func(_ int, statement string) bool { return strings.Contains(statement, dropB[:len(dropB)-1]) }, set)
	})
}

// wantDirtyAfter ends a run at the first statement for which last is true, as a crash would. It asserts that the next run finds a
// half-applied step. marks counts the marks of steps that were sent.
func (p *place) wantDirtyAfter(t *testing.T, last func(marks int, statement string) bool, opts ...gooseplus.Option) {
	t.Helper()
	ctx := context.Background()
	db, f := p.flaky(t)
	marks, gone := 0, false
	first, end := context.WithCancel(ctx)
	defer end()
	f.refuse = func(statement string) error {
		if strings.Contains(statement, "INSERT") && strings.Contains(statement, "'dirty', ") {
			marks++
		}
		if gone = gone || last(marks, statement); gone {
			end()
			return errInjected
		}
		return nil
	}
	if err := p.locking(db, opts...).Migrate(first); err == nil || !gone {
		t.Fatalf("the process didn't end after %d marks: %v", marks, err)
	}
	_ = db.Close()
	wantIs(t, p.locking(p.db, opts...).Migrate(ctx), gooseplus.ErrDirty)
	p.want(t, []int64{1}, []string{"a", "b"})
}

// TestStateThatCannotBePutBack: a migration has the rows of the state table hidden from their owner. The lock isn't lost, and nobody
// has declared the run dead.
func TestStateThatCannotBePutBack(t *testing.T) {
	t.Parallel()
	const hide = "ALTER TABLE goose_db_version_lock ENABLE ROW LEVEL SECURITY;\nALTER TABLE goose_db_version_lock FORCE ROW LEVEL SECURITY;"
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		role := p.role(t)
		p.exec(t, "GRANT CREATE, USAGE ON SCHEMA public TO "+role.name)
		q := *p
		q.dsn = role.dsn
		outside := noTransaction("CREATE TABLE c (id INTEGER);", "DROP TABLE c;")
		for told, named := range map[string]map[string]*fstest.MapFile{
			"migration 3 (sql/base/3_c.sql:2) up: this user lacks a privilege":  {"1_a.sql": table("a"), "2_hide.sql": script(hide, "SELECT 1;"), "3_c.sql": table("c")},
			"migration 3 (sql/base/3_c.sql) up: this user lacks a privilege":    {"1_a.sql": table("a"), "2_hide.sql": script(hide, "SELECT 1;"), "3_c.sql": outside},
			"migration 2 (sql/base/2_hide.sql) up: this user lacks a privilege": {"1_a.sql": table("a"), "2_hide.sql": noTransaction(hide, "SELECT 1;"), "3_c.sql": table("c")},
			"a migration has removed its row from":                              {"1_a.sql": table("a"), "2_hide.sql": script(hide, "SELECT 1;")},
		} {
			t.Run(told, func(t *testing.T) {
				p.forgetAll(t)
				forgetful := []gooseplus.Option{gooseplus.WithChecksums(gooseplus.Ignore), gooseplus.WithUnknownVersions(gooseplus.Ignore)}
				err := q.locking(q.instance(t), append(forgetful, from(files(named)))...).Migrate(context.Background())
				if err == nil || errors.Is(err, gooseplus.ErrLockLost) {
					t.Fatal(err)
				}
				wantText(t, err, told)
				wantText(t, err, "row-level security")
			})
		}
	})
}

// TestHiddenVersions: a migration has the rows of the version table hidden from their owner. A table without any visible row is not
// an empty one, neither for the run nor for the next process.
func TestHiddenVersions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const hide = "ALTER TABLE goose_db_version ENABLE ROW LEVEL SECURITY;\nALTER TABLE goose_db_version FORCE ROW LEVEL SECURITY;"
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		role := p.role(t)
		p.exec(t, "GRANT CREATE, USAGE ON SCHEMA public TO "+role.name)
		q := *p
		q.dsn = role.dsn
		for name, step := range transactions {
			for _, lock := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, lock %t", name, lock), func(t *testing.T) {
					p.forgetAll(t)
					q.db = q.instance(t)
					m := q.over(q.db, gooseplus.WithGlobalLock(lock), from(files(map[string]*fstest.MapFile{
						"1_a.sql": table("a"), "2_hide.sql": step(hide, "SELECT 1;"), "3_c.sql": table("c"),
					})))
					err := m.Migrate(ctx)
					if name == "in a transaction" { // it is rolled back, as its version can't be recorded
						wantIs(t, err, gooseplus.ErrRollForward)
						q.want(t, nil, nil)
						return
					}
					wantIs(t, err, gooseplus.ErrRollBack)
					wantText(t, err, "row-level security")
					if _, err := m.Status(ctx); err == nil {
						t.Error("Status of hidden rows")
					} else {
						wantText(t, err, `ALTER TABLE "goose_db_version" NO FORCE ROW LEVEL SECURITY`)
					}
					wantText(t, m.Migrate(ctx), `ALTER TABLE "goose_db_version" NO FORCE ROW LEVEL SECURITY`)
					p.want(t, []int64{1}, []string{"a"})
				})
			}
		}
	})
}

// TestSpoiltState: somebody has renamed the column that tells what a row of the state table is. Nothing passes for remembering nothing.
func TestSpoiltState(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		m := p.locking(p.db, from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b")})))
		if err := m.MigrateTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		p.exec(t, "ALTER TABLE goose_db_version_lock RENAME COLUMN kind TO sort")
		_, status := m.Status(ctx)
		_, runs := m.Runs(ctx)
		for what, err := range map[string]error{"Status": status, "Runs": runs, "Migrate": m.Migrate(ctx), "LockVersion": m.LockVersion(ctx, 1)} {
			if err == nil {
				t.Errorf("%s found nothing wrong", what)
				continue
			}
			wantIs(t, err, gooseplus.ErrMigrationTable)
			wantText(t, err, "goose_db_version_lock")
		}
		p.want(t, []int64{1}, []string{"a"})
		p.exec(t, "ALTER TABLE goose_db_version_lock RENAME COLUMN sort TO kind")
		if err := m.Migrate(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestStateThatCannotBeMadeAgain: a migration drops the state table, and its user may no longer create tables. The version table
// says what is applied, and the error why the run ends.
func TestStateThatCannotBeMadeAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		role := p.role(t)
		q := *p
		q.dsn = role.dsn
		for name, step := range transactions {
			t.Run(name, func(t *testing.T) {
				p.forgetAll(t)
				p.exec(t, "GRANT CREATE, USAGE ON SCHEMA public TO "+role.name)
				set := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": step("DROP TABLE goose_db_version_lock;", "SELECT 1;"), "3_rows.sql": script("INSERT INTO a VALUES (3);", "DELETE FROM a;")}
				m := q.locking(q.instance(t), from(files(set)))
				if err := m.MigrateTo(ctx, 1); err != nil {
					t.Fatal(err)
				}
				p.exec(t, "REVOKE CREATE ON SCHEMA public FROM "+role.name)
				err := m.Migrate(ctx)
				wantText(t, err, "permission denied for schema public")
				wantText(t, err, "goose_db_version_lock")
				wantIsNot(t, err, gooseplus.ErrLockLost)
				p.exec(t, "GRANT CREATE ON SCHEMA public TO "+role.name)
				if err := m.Migrate(ctx); err != nil {
					t.Error(err)
				}
				p.want(t, []int64{1, 2, 3}, []string{"a"})
			})
		}
	})
}

// TestStateIsPutBackInABatch: migrations that run together remove it.
func TestStateIsPutBackInABatch(t *testing.T) {
	t.Parallel()
	for how, statement := range removals {
		t.Run(how, func(t *testing.T) {
			having(schemas).onDatabases(t, func(t *testing.T, at *place) {
				p := &fleetPlace{place: at}
				m := p.migrator(from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": script(statement, "SELECT 1;"), "3_c.sql": table("c")})))
				tenant := gooseplus.Tenant{Schema: p.names(1)[0]}
				if err := m.Provision(context.Background(), tenant); err != nil {
					t.Error(err)
				}
				runs, err := m.Tenant(tenant).Runs(context.Background())
				if err != nil || len(runs) != 1 || runs[0].Outcome != gooseplus.RunMigrated || runs[0].To != 3 {
					t.Errorf("runs %+v, %v", runs, err)
				}
			})
		})
	}
}
