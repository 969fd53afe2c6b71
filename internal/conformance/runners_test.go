package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/history"
)

// barrier is a Go migration in which a run waits: it says on reached that it is there, and goes on
// when released.
type barrier struct{ reached, released chan struct{} }

func newBarrier() barrier { return barrier{make(chan struct{}), make(chan struct{})} }

func (b barrier) wait() {
	close(b.reached)
	<-b.released
}

// idle are the ways in which a Go migration can do nothing but call f.
var idle = map[string]func(version int64, f func()) *goose.Migration{
	"in a transaction": func(version int64, f func()) *goose.Migration {
		up := &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { f(); return nil }}
		down := &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}
		return goose.NewGoMigration(version, up, down)
	},
	"without a transaction": func(version int64, f func()) *goose.Migration {
		up := &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { f(); return nil }}
		down := &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }}
		return goose.NewGoMigration(version, up, down)
	},
}

// TestTwoRunners lets another run, the winner, begin and end while one is inside a step. Nothing of
// what the winner applied, or built on, may be undone, as far as the loser's other steps go too.
func TestTwoRunners(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	again := func(name string) *fstest.MapFile {
		return script("CREATE TABLE IF NOT EXISTS "+name+" (id INTEGER);", "DROP TABLE IF EXISTS "+name+";")
	}
	for mode, migration := range idle {
		for situation, s := range map[string]struct {
			held  int64
			files map[string]*fstest.MapFile
			named string
		}{
			"in the first step of the loser": {1, map[string]*fstest.MapFile{"2_a.sql": again("a"), "3_b.sql": again("b")}, "[1 2 3]"},
			"in a later step of the loser":   {2, map[string]*fstest.MapFile{"1_a.sql": again("a"), "3_b.sql": again("b")}, "[2 3]"},
			"in the last step of the loser":  {3, map[string]*fstest.MapFile{"1_a.sql": again("a"), "2_b.sql": again("b")}, "[3 4]"},
		} {
			t.Run(situation+" "+mode, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					hold := newBarrier()
					loser := p.migrator(from(files(s.files)), gooseplus.WithGoMigrations(migration(s.held, hold.wait)))
					// The winner's deployment has one migration more.
					more := files(s.files)
					more["sql/base/4_more.sql"] = table("more")
					// If the loser is at a step that no transaction protects, a later run keeps away.
					marked := mode == "without a transaction" || !p.transactionalDDL
					lost := make(chan error, 1)
					go func() { lost <- loser.Migrate(ctx) }()
					<-hold.reached
					winner := p.migrator(from(more), gooseplus.WithGoMigrations(migration(s.held, func() {})))
					won := winner.Migrate(ctx)
					if marked {
						wantIs(t, won, gooseplus.ErrDirty)
						_, won = p.goose(t, more, migration(s.held, func() {})).Up(ctx)
					}
					close(hold.released)
					err := <-lost
					if won != nil {
						t.Fatal(won)
					}
					stuck := wantStuck(t, err, 0, 4)
					wantText(t, stuck.Err, "another process")
					wantText(t, stuck.Err, strings.TrimSuffix(s.named, "]"))
					wantText(t, stuck.Cause, "another process")
					if !marked {
						wantIsNot(t, err, gooseplus.ErrDirty)
					} else {
						wantIs(t, err, gooseplus.ErrDirty)
					}
					p.want(t, []int64{1, 2, 3, 4}, []string{"a", "b", "more"})
				})
			})
		}
	}
}

// goose is goose's own Provider over the files of base, which knows nothing of a state table.
func (p *place) goose(t *testing.T, fsys fstest.MapFS, own ...*goose.Migration) *goose.Provider {
	t.Helper()
	base, err := fs.Sub(fsys, "sql/base")
	if err != nil {
		t.Fatal(err)
	}
	dialect := map[string]goose.Dialect{"postgres": goose.DialectPostgres, "mysql": goose.DialectMySQL, "sqlite": goose.DialectSQLite3}[p.dialect]
	provider, err := goose.NewProvider(dialect, p.db, base, goose.WithGoMigrations(own...), goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

// foreign records versions as a runner does that is none of gooseplus's.
func (p *place) foreign(versions ...int64) error {
	for _, v := range versions {
		if _, err := p.db.Exec(fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, TRUE)", v)); err != nil {
			return err
		}
	}
	return nil
}

// TestForeignVersions has rows of another runner's appear in the middle of a run, in version 12.
func TestForeignVersions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for situation, s := range map[string]struct {
		foreign int64
		bad     bool
		rows    []int64
		reached int64
	}{
		"a version that nobody knows, and the run fails later": {99, true, []int64{1, 10, 5, 11, 99, 12}, 99},
		"a version that the run applied, and it fails later":   {11, true, []int64{1, 10, 5, 11, 11, 12}, 12},
		"a version that the run applied, and nothing fails":    {11, false, []int64{1, 10, 5, 11, 11, 12, 13}, 13},
	} {
		for name, strategy := range map[string]gooseplus.Strategy{
			"RollbackDown": gooseplus.RollbackDown, "RollbackNone": gooseplus.RollbackNone,
		} {
			t.Run(situation+" "+name, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					last, tables := table("x"), []string{"late", "next", "teams", "users", "x"}
					if s.bad {
						last, tables = script("INSERT INTO nowhere VALUES (1);", ""), tables[:4]
					}
					fsys := deploy(t, p, map[string]*fstest.MapFile{"13_x.sql": last})
					var foreign error
					meanwhile := idle["without a transaction"](12, func() { foreign = p.foreign(s.foreign) })
					err := p.migrator(from(fsys), gooseplus.WithGoMigrations(meanwhile), gooseplus.WithRollback(strategy)).Migrate(ctx)
					if foreign != nil {
						t.Fatal(foreign)
					}
					stuck := wantStuck(t, err, 10, s.reached)
					wantIsNot(t, err, gooseplus.ErrDirty)
					if strategy == gooseplus.RollbackDown {
						wantText(t, stuck.Err, fmt.Sprintf("[%d]", s.foreign))
						wantText(t, stuck.Err, "another process")
					}
					p.want(t, s.rows, tables)
				})
			})
		}
	}

	t.Run("the failed step itself is the other runner's by now", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, nil)
			boom := fmt.Errorf("boom")
			var foreign error
			down := false
			up := &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { foreign = p.foreign(12); return boom }}
			m := goose.NewGoMigration(12, up, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { down = true; return nil }})
			err := p.migrator(from(fsys), gooseplus.WithGoMigrations(m)).Migrate(ctx)
			if foreign != nil {
				t.Fatal(foreign)
			}
			stuck := wantStuck(t, err, 10, 12)
			wantIs(t, err, boom)
			wantIs(t, err, gooseplus.ErrDirty)
			wantText(t, stuck.Err, "another process")
			if down {
				t.Error("the Down of what the other runner applied was run")
			}
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users"})
		})
	})
}

// TestForeignVersionAtCommit: the row of the winner's appears after the loser has inserted its own,
// and the loser's COMMIT is refused. The table's row of the version is the winner's then.
func TestForeignVersionAtCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	// nothing else refuses a COMMIT
	for _, x := range having(server, transactionalDDL) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			setup := files(map[string]*fstest.MapFile{"1_plans.sql": script(`CREATE TABLE plans (id INTEGER);
-- +goose StatementBegin
CREATE FUNCTION one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF (SELECT count(*) FROM plans) > 1 THEN RAISE EXCEPTION 'there is one already'; END IF;
	RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER one AFTER INSERT ON plans DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION one();`, "")})
			if err := p.migrator(from(setup)).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			// An earlier look would find the winner: the row that remembers the version is one row for both.
			setup["sql/base/2_plan.sql"] = script("INSERT INTO plans VALUES (1);", "DELETE FROM plans;")
			db, f := p.flaky(t)
			var won error
			ran := 0
			f.before = func(statement string) {
				if statement == "COMMIT" && ran == 0 {
					ran++
					won = p.migrator(forgetful([]gooseplus.Option{from(setup)})...).Migrate(ctx)
				}
			}
			err := p.over(db, forgetful([]gooseplus.Option{from(setup)})...).Migrate(ctx)
			if won != nil || ran != 1 {
				t.Fatalf("the winner ran %d times: %v", ran, won)
			}
			stuck := wantStuck(t, err, 1, 2)
			wantText(t, stuck.Cause, "there is one already")
			wantText(t, stuck.Err, "another process")
			p.want(t, []int64{1, 2}, []string{"plans"})
			if rows := column[int](t, p.db, `SELECT id FROM plans`); len(rows) != 1 {
				t.Errorf("plans has %v", rows)
			}
		})
	}
}

// TestPlannedAgain has another run end between the look and the reading of the starting point.
func TestPlannedAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for situation, s := range map[string]struct {
		meanwhile int64
		applied   int
	}{
		"a version is applied": {2, 1},
		"all are applied":      {3, 0},
	} {
		t.Run(situation, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := chain(3)
				if err := p.migrator(from(fsys)).MigrateTo(ctx, 1); err != nil {
					t.Fatal(err)
				}
				db, f := p.flaky(t)
				reads := 0
				var other error
				f.before = func(statement string) {
					if !strings.HasPrefix(statement, "SELECT") {
						return
					}
					if reads++; reads == 2 {
						other = p.migrator(from(fsys)).MigrateTo(ctx, s.meanwhile)
					}
				}
				var finished gooseplus.RunFinished
				observed := gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if e, ok := e.(gooseplus.RunFinished); ok {
						finished = e
					}
				})
				if err := p.over(db, from(fsys), observed).Migrate(ctx); err != nil || other != nil {
					t.Fatal(err, other)
				}
				p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
				if finished.From != s.meanwhile || finished.To != 3 || finished.Applied != s.applied {
					t.Errorf("%+v", finished)
				}
			})
		})
	}
}

// TestSettle: a look that settles sees what a transaction has written that was open when it began.
func TestSettle(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range targets {
		waiting := map[string]string{
			"postgres": `SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock'
				AND relation = 'goose_db_version'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
			"mysql": `SELECT count(*) FROM information_schema.processlist
				WHERE db = DATABASE() AND info LIKE '%LOCK IN SHARE MODE' AND id <> CONNECTION_ID()`,
		}[x.dialect]
		if waiting == "" {
			continue // SQLite's COMMIT is no request to anybody
		}
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			if err := p.migrator(from(chain(1))).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			d, err := dialect.Lookup(p.dialect)
			if err != nil {
				t.Fatal(err)
			}
			known, err := history.NewVersions(d, goose.DefaultTablename)
			if err != nil {
				t.Fatal(err)
			}
			for _, commit := range []bool{false, true} {
				tx, err := p.db.BeginTx(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := execTx(ctx, tx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, TRUE)"); err != nil {
					t.Fatal(err)
				}
				at, err := known.Owned(ctx, p.db, false)
				if err != nil || fmt.Sprint(at.Applied) != "[1]" {
					t.Errorf("without settling: %v, %v", at.Applied, err)
				}
				var ended atomic.Bool
				type answer struct {
					rows  history.Rows
					early bool
					err   error
				}
				settled := make(chan answer, 1)
				go func() {
					rows, err := known.Owned(ctx, p.db, true)
					settled <- answer{rows, !ended.Load(), err}
				}()
				eventually(t, "the look waits", func() bool { return len(settled) > 0 || column[int](t, p.db, waiting)[0] > 0 })
				ended.Store(true)
				want := "[1]"
				if commit {
					want, err = "[1 2]", tx.Commit()
				} else {
					err = tx.Rollback()
				}
				if err != nil {
					t.Fatal(err)
				}
				got := <-settled
				if got.err != nil || got.early || fmt.Sprint(got.rows.Applied) != want {
					t.Errorf("settled, commit %t: %+v, want %s", commit, got, want)
				}
			}
		})
	}
}
