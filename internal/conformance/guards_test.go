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

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// declareDead is what somebody who takes over does to a run that is under way.
const declareDead = "DELETE FROM goose_db_version_lock WHERE kind = 'fence';\n" +
	"UPDATE goose_db_version_lock SET outcome = 'cut off' WHERE kind = 'run' AND outcome = 'running';"

// TestGuardDeclaredDead: a run that was declared dead between two steps takes no further one, nor a step back, whether a
// transaction covers it or not.
func TestGuardDeclaredDead(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, next := range map[string]*fstest.MapFile{
		"before a transaction":      table("b"),
		"before a step without one": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE IF EXISTS b;"),
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				if p.dialect == "sqlite" && name != "before a transaction" {
					t.Skip("the lock's file ends with its process: nobody declares dead a run that works")
				}
				dying := files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);\n"+declareDead, "DROP TABLE a;"), "2_b.sql": next})
				wantIs(t, p.locking(p.db, from(dying)).Migrate(ctx), gooseplus.ErrLockLost)
				p.want(t, []int64{1}, []string{"a"})
			})
		})
	}
}

// TestGuardDeclaredDeadUnheard: neither does a Go migration that doesn't look at its errors, nor one that has no statement.
func TestGuardDeclaredDeadUnheard(t *testing.T) {
	t.Parallel()
	for name, up := range map[string]func(*sql.Tx){
		"no statement": func(*sql.Tx) {},
		"errors": func(tx *sql.Tx) {
			_, _ = tx.Exec("CREATE TABLE b (id INTEGER)")
			_, _ = tx.Exec("CREATE TABLE c (id INTEGER)")
		},
		"rows": func(tx *sql.Tx) {
			if rows, err := tx.Query("SELECT 1"); err == nil {
				_ = rows.Close()
			}
			_, _ = tx.Exec("CREATE TABLE b (id INTEGER)")
		},
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				dying := files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);\n"+declareDead, "DROP TABLE a;")})
				deaf := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(_ context.Context, tx *sql.Tx) error { up(tx); return nil }},
					&goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
				wantIs(t, p.locking(p.db, from(dying), gooseplus.WithGoMigrations(deaf)).Migrate(context.Background()), gooseplus.ErrLockLost)
				p.want(t, []int64{1}, []string{"a"})
			})
		})
	}
}

// TestGuardDeclaredDeadAtTheEnd: a run that has nothing left but to record its outcome says so too.
func TestGuardDeclaredDeadAtTheEnd(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		dying := files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);\n"+declareDead, "DROP TABLE a;")})
		wantIs(t, p.locking(p.db, from(dying)).Migrate(context.Background()), gooseplus.ErrLockLost)
		p.want(t, []int64{1}, []string{"a"})
	})
}

// TestGuardDeclaredDeadBeforeTheOneTransaction: neither does RollbackTransaction begin.
func TestGuardDeclaredDeadBeforeTheOneTransaction(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		db, f := p.flaky(t)
		var dead sync.Once
		f.before = func(statement string) {
			if strings.Contains(statement, "SET transactions = transactions + 1") {
				dead.Do(func() { p.exec(t, strings.Split(declareDead, "\n")...) })
			}
		}
		m := p.locking(db, from(chain(2)), gooseplus.WithRollback(gooseplus.RollbackTransaction))
		err := m.Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrLockLost)
		if errors.Is(err, gooseplus.ErrMigrationTable) {
			t.Error(err)
		}
		p.want(t, nil, nil)
	})
}

// TestGuardForce: neither does Force write anything for a run that was declared dead.
func TestGuardForce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		if err := p.locking(p.db, from(chain(2))).MigrateTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		db, f := p.flaky(t)
		var dead sync.Once
		f.before = func(statement string) {
			if strings.Contains(statement, "SET transactions = transactions + 1") {
				dead.Do(func() { p.exec(t, strings.Split(declareDead, "\n")...) })
			}
		}
		wantIs(t, p.locking(db, from(chain(2))).Force(ctx, 2), gooseplus.ErrLockLost)
		p.want(t, []int64{1}, []string{"t001"})
	})
}

// TestGuardForceIsWhole: Force that can't finish, or commit, says so, and changes nothing.
func TestGuardForceIsWhole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for part, places := range map[string]choice{"goose_db_version_lock": having(), "COMMIT": having(transactionalDDL)} {
		t.Run(part, func(t *testing.T) {
			places.onDatabases(t, func(t *testing.T, p *place) {
				if err := p.locking(p.db, from(chain(2))).MigrateTo(ctx, 1); err != nil {
					t.Fatal(err)
				}
				db, f := p.flaky(t)
				refused, fenced := errors.New("disk full"), false
				f.refuse = func(statement string) error {
					if fenced && strings.Contains(statement, part) {
						fenced = false
						return refused
					}
					fenced = fenced || strings.Contains(statement, "SET transactions = transactions + 1")
					return nil
				}
				wantIs(t, p.locking(db, from(chain(2))).Force(ctx, 2), refused)
				p.want(t, []int64{1}, []string{"t001"})
			})
		})
	}
}

// TestGuardRegister: a run that loses the lock before others can find its row does nothing: who has the lock now has missed it.
func TestGuardRegister(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		db, f := p.flaky(t)
		var lost sync.Once
		f.before = func(statement string) {
			if strings.Contains(statement, "start_set, planned") && strings.Contains(statement, "INSERT") {
				lost.Do(func() {
					id := locks{p}.connection(t)
					p.exec(t, fmt.Sprintf(p.kill, id))
					eventually(t, "the end of the lock's connection", func() bool {
						there := "SELECT pid FROM pg_stat_activity"
						if p.dialect == "mysql" {
							there = "SELECT id FROM information_schema.processlist"
						}
						return !slices.Contains(column[int64](t, p.db, there), id)
					})
				})
			}
		}
		wantIs(t, p.locking(db, from(chain(2))).Migrate(context.Background()), gooseplus.ErrLockLost)
		p.want(t, nil, nil)
	})
}

// TestGuardInheritedWork: what a run has to undo for another one is done on a connection that the state table names, even
// if its own steps need none.
func TestGuardInheritedWork(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		set := map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE a;")}
		if err := p.locking(p.db, from(files(set))).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[1]")
		set["2_bad.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
		db, f := p.flaky(t)
		var once sync.Once
		named := -1
		f.before = func(statement string) {
			if strings.Contains(statement, "DROP TABLE a") {
				once.Do(func() {
					named = column[int](t, p.db, "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'backend'")[0]
				})
			}
		}
		wantFailed(t, p.locking(db, from(files(set))).Migrate(ctx), 2)
		p.want(t, nil, nil)
		if named < 1 {
			t.Errorf("the state table names %d connections, want that one", named)
		}
	})
}

// TestGuardOtherRunnerOnTheWayBack: a database to which somebody has added a version meanwhile is not back at the starting point.
func TestGuardOtherRunnerOnTheWayBack(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		err := p.migrator(from(files(map[string]*fstest.MapFile{
			"1_a.sql":   script("CREATE TABLE a (id INTEGER);", "DROP TABLE a;\nINSERT INTO goose_db_version (version_id, is_applied) VALUES (9, TRUE);"),
			"2_bad.sql": script("INSERT INTO nowhere VALUES (1);", "SELECT 1;"),
		}))).Migrate(context.Background())
		wantStuck(t, err, 0, 9)
		wantText(t, err, "another process")
		p.want(t, []int64{9}, nil)
	})
}
