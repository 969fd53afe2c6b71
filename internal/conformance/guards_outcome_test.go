package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

const runOutcomes = "SELECT outcome FROM goose_db_version_lock WHERE kind = 'run' ORDER BY started_at"

// TestOutcomeThatCannotBeRecorded: the run has done all that it was to do when the state table can't be written any more. It says so,
// and undoes nothing; the next run agrees.
func TestOutcomeThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		db, f := p.flaky(t)
		refused := errors.New("disk full")
		f.refuse = func(statement string) error {
			if strings.Contains(statement, "to_version = ") {
				return refused
			}
			return nil
		}
		err := p.locking(db, from(chain(2))).Migrate(ctx)
		wantIs(t, err, refused)
		wantText(t, err, "the run has ended at version 2, but its outcome could not be recorded")
		wantIsNot(t, err, gooseplus.ErrRollBack)
		wantIsNot(t, err, gooseplus.ErrRollForward)
		wantIsNot(t, err, gooseplus.ErrMigrationTable)
		p.want(t, []int64{1, 2}, []string{"t001", "t002"})
		next := p.instance(t)
		if err := p.locking(next, from(chain(2))).Migrate(ctx); err != nil {
			t.Errorf("the next run: %v", err)
		}
		p.want(t, []int64{1, 2}, []string{"t001", "t002"})
		if got := column[string](t, p.db, runOutcomes); !slices.Equal(got, []string{"crashed"}) {
			t.Errorf("outcomes %q", got)
		}
		locks{p}.wantFree(t)
	})
}

// TestOutcomesOfNamespacesAreOne: the outcomes of all namespaces are recorded at once or not at all.
func TestOutcomesOfNamespacesAreOne(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	set := namespaced(map[string]*fstest.MapFile{"core/1_a.sql": table("a"), "identity/1_b.sql": table("b")})
	opts := []gooseplus.Option{from(set), gooseplus.WithNamespaces("core", "identity")}
	wantDone := func(t *testing.T, p *place) {
		t.Helper()
		p.wantContexts(t, contextVersions{"core": {1}, "identity": {1}}, []string{"a", "b"})
		if err := p.locking(p.instance(t), opts...).Migrate(ctx); err != nil {
			t.Errorf("the next run: %v", err)
		}
	}
	t.Run("one is refused", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			db, f := p.flaky(t)
			n := 0
			f.refuse = func(statement string) error {
				if strings.Contains(statement, "to_version = ") {
					if n++; n > 1 {
						return errors.New("disk full")
					}
				}
				return nil
			}
			wantText(t, p.locking(db, opts...).Migrate(ctx), "could not be recorded")
			if got := column[string](t, p.db, runOutcomes); !slices.Equal(got, []string{"running", "running"}) {
				t.Errorf("outcomes %q", got)
			}
			wantDone(t, p)
		})
	})
	t.Run("the answer to the COMMIT is lost", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			db, f := p.flaky(t)
			f.lose = once("to_version = ", "COMMIT")
			wantText(t, p.locking(db, opts...).Migrate(ctx), "could not be recorded")
			f.wantLost(t, 1)
			wantDone(t, p)
		})
	})
}

// TestLostCommitOfNamespaces: the answer to the COMMIT of the one transaction of several namespaces is lost. The run finds
// out that it was committed.
func TestLostCommitOfNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, lock := range []bool{false, true} {
		t.Run(fmt.Sprintf("lock %v", lock), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				if !p.transactionalDDL {
					return
				}
				set := namespaced(map[string]*fstest.MapFile{"core/1_a.sql": table("a"), "identity/1_b.sql": table("b")})
				db, f := p.flaky(t)
				f.lose = once("CREATE TABLE b", "COMMIT")
				told := 0
				opts := []gooseplus.Option{from(set), gooseplus.WithNamespaces("core", "identity"), gooseplus.WithGlobalLock(lock),
					gooseplus.WithRollback(gooseplus.RollbackTransaction)}
				if err := p.over(db, append(opts, warnings("the answer was lost", &told))...).Migrate(ctx); err != nil {
					t.Error(err)
				}
				f.wantLost(t, 1)
				if told != 1 {
					t.Errorf("%d warnings", told)
				}
				p.wantContexts(t, contextVersions{"core": {1}, "identity": {1}}, []string{"a", "b"})
			})
		})
	}
}

// TestRefusedNamespaces: without the lock, a run over namespaces finds another one at the step that it is about to begin. If it
// has touched nothing, it was refused, and there is no way back; otherwise it undoes what it did.
func TestRefusedNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, touched := range []bool{false, true} {
		t.Run(fmt.Sprintf("touched %v", touched), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				named := map[string]*fstest.MapFile{"identity/1_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE IF EXISTS b;")}
				if touched {
					named["core/1_a.sql"] = table("a")
				} else {
					named["core/1_a.sql"] = noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE IF EXISTS a;")
				}
				db, f := p.flaky(t)
				done := false
				f.before = func(statement string) {
					// On MySQL the step of core is marked too.
					if namespace := "identity"; !done && isClaim(statement) && (p.dialect != "mysql" || !touched || len(column[string](t, p.db, "SELECT id FROM goose_db_version_lock WHERE kind = 'dirty'")) > 0) {
						done = true
						if !touched {
							namespace = "core"
						}
						p.exec(t, "INSERT INTO goose_db_version_lock (id, kind, namespace, version_id, source, direction) VALUES ('of:dirty:other', 'dirty', '"+namespace+"', 1, 'sql/x/1_x.sql', 'up')")
					}
				}
				back := 0
				err := p.over(db, from(namespaced(named)), gooseplus.WithNamespaces("core", "identity"), gooseplus.WithEnvironments("test"), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if _, ok := e.(gooseplus.WayBackStarted); ok {
						back++
					}
				})).Migrate(ctx)
				wantIs(t, err, gooseplus.ErrDirty)
				wantText(t, err, "another process is at it")
				if !done {
					t.Fatal("no claim was seen")
				}
				if rolledForward := errors.Is(err, gooseplus.ErrRollForward); rolledForward != touched || back > 0 != touched {
					t.Errorf("a way back: %v, %d times", rolledForward, back)
				}
				p.wantContexts(t, contextVersions{"core": nil, "identity": nil}, nil)
				if n := column[int](t, p.db, "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'environment'")[0]; n != 0 {
					t.Errorf("%d environments stay", n)
				}
			})
		})
	}
}
