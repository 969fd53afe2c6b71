package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// finished keeps the last event of a run.
func finished(into *gooseplus.RunFinished) gooseplus.Option {
	return gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if e, ok := e.(gooseplus.RunFinished); ok {
			*into = e
		}
	})
}

func wantFinished(t *testing.T, got gooseplus.RunFinished, from, to int64, applied, undone int) {
	t.Helper()
	if got.From != from || got.To != to || got.Applied != applied || got.Undone != undone || got.Err == nil {
		t.Errorf("RunFinished from %d to %d, applied %d, undone %d, %v; want from %d to %d, applied %d, undone %d and an error",
			got.From, got.To, got.Applied, got.Undone, got.Err, from, to, applied, undone)
	}
}

// TestLostAnswer loses the answer to something that the database has done. Wherever that is, the run
// has to find out what is there, and to be back at its start.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const insert, remove = "INSERT INTO", "DELETE FROM"

	for name, file := range map[string]*fstest.MapFile{
		"of a step in a transaction":      script("CREATE TABLE x (id INTEGER);", "DROP TABLE IF EXISTS x;"),
		"of a step without a transaction": noTransaction("CREATE TABLE x (id INTEGER);", "DROP TABLE IF EXISTS x;"),
	} {
		t.Run("INSERT of the version "+name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := deploy(t, p, map[string]*fstest.MapFile{"12_x.sql": file, "13_y.sql": table("y")})
				db, f := p.flaky(t)
				f.lose = once("TABLE x", insert, "goose_db_version")
				var end gooseplus.RunFinished
				err := p.over(db, from(fsys), finished(&end)).Migrate(ctx)
				f.wantLost(t, 1)
				if failed := wantFailed(t, err, 12); failed.Statement != "" {
					t.Errorf("Statement = %q, which succeeded", failed.Statement)
				}
				wantIsNot(t, err, gooseplus.ErrDirty)
				wantFinished(t, end, 10, 10, 0, 0)
				p.want(t, earlierVersions, earlierTables)
			})
		})
	}

	t.Run("INSERT of the version of a Go migration without a transaction", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, nil)
			db, f := p.flaky(t)
			f.lose = once("TABLE x", insert, "goose_db_version")
			f.answer = io.ErrUnexpectedEOF // ErrBadConn would have database/sql try once more
			exec := func(s string) *goose.GoFunc {
				return &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error { _, err := db.ExecContext(ctx, s); return err }}
			}
			m := goose.NewGoMigration(12, exec("CREATE TABLE x (id INTEGER)"), exec("DROP TABLE x"))
			wantFailed(t, p.over(db, from(fsys), gooseplus.WithGoMigrations(m)).Migrate(ctx), 12)
			f.wantLost(t, 1)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("COMMIT", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x"), "13_y.sql": table("y")})
			db, f := p.flaky(t)
			f.lose = once("TABLE x", "COMMIT")
			var end gooseplus.RunFinished
			err := p.over(db, from(fsys), finished(&end)).Migrate(ctx)
			f.wantLost(t, 1)
			if failed := wantFailed(t, err, 12); failed.Statement != "" {
				t.Errorf("Statement = %q, which succeeded", failed.Statement)
			}
			wantFinished(t, end, 10, 10, 0, 0)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("COMMIT, RollbackNone", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x"), "13_y.sql": table("y")})
			db, f := p.flaky(t)
			f.lose = once("TABLE x", "COMMIT")
			var end gooseplus.RunFinished
			err := p.over(db, from(fsys), gooseplus.WithRollback(gooseplus.RollbackNone), finished(&end)).Migrate(ctx)
			f.wantLost(t, 1)
			wantStuck(t, err, 10, 12)
			wantFinished(t, end, 10, 12, 3, 0)
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users", "x"})
		})
	})

	t.Run("COMMIT of a run's first step down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x")})
			db, f := p.flaky(t)
			f.lose = once("DROP TABLE x", "COMMIT")
			var end gooseplus.RunFinished
			wantFailedStep(t, p.over(db, from(fsys), finished(&end)).Rollback(ctx, 2), 12, "down")
			f.wantLost(t, 1)
			wantFinished(t, end, 12, 12, 0, 0)
			p.want(t, append(slices.Clone(grownVersions), 12), append(slices.Clone(grownTables), "x"))
		})
	})

	for name, s := range map[string]struct {
		file *fstest.MapFile
		lose []string
	}{
		"COMMIT of a Down on the way back":                               {table("x"), []string{"COMMIT"}},
		"DELETE of the version of a NO TRANSACTION Down on the way back": {noTransaction("CREATE TABLE x (id INTEGER);", "DROP TABLE x;"), []string{remove, "goose_db_version"}},
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := deploy(t, p, map[string]*fstest.MapFile{
					"12_x.sql": s.file, "13_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
				})
				db, f := p.flaky(t)
				f.lose = once("DROP TABLE x", s.lose...)
				var end gooseplus.RunFinished
				wantFailed(t, p.over(db, from(fsys), finished(&end)).Migrate(ctx), 13)
				f.wantLost(t, 1)
				wantFinished(t, end, 10, 10, 0, 0)
				p.want(t, earlierVersions, earlierTables)
			})
		})
	}

	t.Run("DELETE of the version of a Down in a transaction on the way back", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql": table("x"), "13_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
			})
			db, f := p.flaky(t)
			f.lose = once("DROP TABLE x", remove, "goose_db_version")
			var end gooseplus.RunFinished
			err := p.over(db, from(fsys), finished(&end)).Migrate(ctx)
			f.wantLost(t, 1)
			if !p.transactionalDDL {
				// DROP TABLE has ended the transaction, so that the DELETE committed by itself.
				wantFailed(t, err, 13)
				p.want(t, earlierVersions, earlierTables)
				return
			}
			wantStuck(t, err, 10, 12)
			wantIsNot(t, err, gooseplus.ErrDirty)
			wantFinished(t, end, 10, 12, 3, 0)
			p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users", "x"})
		})
	})
}

// TestSlowCommit cuts the connection off after a COMMIT that the server takes a second for. What
// the run says has to be true when the server is done, too.
func TestSlowCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const setup = `CREATE TABLE slow (id INTEGER);
-- +goose StatementBegin
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();`
	const write, clean = "INSERT INTO slow VALUES (1);", "DELETE FROM slow;"
	start, tables := []int64{1, 10, 5, 11, 12}, []string{"late", "next", "slow", "teams", "users"}
	for name, c := range map[string]struct {
		more map[string]*fstest.MapFile
		opts []gooseplus.Option
		// check says how many rows the slow statement has written, as the run tells it.
		check func(*testing.T, *place, error) int
	}{
		"of a step up": {
			map[string]*fstest.MapFile{"13_y.sql": table("y"), "14_slow.sql": script(write, clean)}, nil,
			func(t *testing.T, p *place, err error) (written int) {
				wantFailed(t, err, 14)
				p.want(t, start, tables)
				return 0
			},
		},
		"of a Down on the way back": {
			map[string]*fstest.MapFile{"13_slow.sql": script(clean, write), "14_bad.sql": script("INSERT INTO nowhere VALUES (1);", "")}, nil,
			func(t *testing.T, p *place, err error) (written int) {
				if !errors.Is(err, gooseplus.ErrRollForward) { // the run has ended the connection before the server had committed
					wantStuck(t, err, 12, 13)
					p.want(t, append(slices.Clone(start), 13), tables)
					return 0
				}
				p.want(t, start, tables)
				return 1
			},
		},
		"of the whole run": {
			map[string]*fstest.MapFile{"13_y.sql": table("y"), "14_slow.sql": script(write, clean)}, []gooseplus.Option{inOne},
			func(t *testing.T, p *place, err error) (written int) {
				wantIs(t, err, gooseplus.ErrRollForward)
				p.want(t, start, tables)
				return 0
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			having(server, transactionalDDL).onEach(t, func(t *testing.T, p *place) {
				fsys := deploy(t, p, map[string]*fstest.MapFile{"12_setup.sql": script(setup, "")})
				if err := p.migrator(from(fsys)).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				maps.Copy(fsys, files(c.more))
				db, cut := throughCutter(t, p, "INSERT INTO slow")
				err := p.over(db, append(c.opts, from(fsys))...).Migrate(ctx)
				if !cut() {
					t.Error("nothing was cut off")
				}
				closeAlone(t, p, db)
				if want, got := c.check(t, p, err), column[int](t, p.db, `SELECT id FROM slow`); len(got) != want {
					t.Errorf("slow has %v, want %d rows: %v", got, want, err)
				}
			})
		})
	}
}

// throughCutter opens the place's database through a proxy that cuts one connection off: when it has passed on, after a statement with
// the trigger, the first one that has the server do what is put off to the COMMIT. The server doesn't notice until it answers. cut
// says whether that has happened.
func throughCutter(t *testing.T, p *place, trigger string) (db *sql.DB, cut func() bool) {
	t.Helper()
	u, err := url.Parse(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var done atomic.Bool
	ended := make(chan struct{})
	server := u.Host
	serve := func(client net.Conn) {
		defer client.Close()
		to, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		wg.Go(func() { // ends when either side has
			_, _ = io.Copy(client, to)
			_, _ = client.Close(), to.Close()
		})
		wg.Go(func() { <-ended; _ = to.Close() })
		armed := false
		buffer := make([]byte, 1<<16)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				to.Close()
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
			armed = armed || strings.Contains(string(buffer[:n]), trigger)
			text := strings.ToUpper(string(buffer[:n]))
			if armed && !done.Load() && (strings.Contains(text, "COMMIT") || strings.Contains(text, "SET CONSTRAINTS")) {
				done.Store(true)
				return // and let the server go on
			}
		}
	}
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(client) })
		}
	})
	u.Host = listener.Addr().String()
	if db, err = sql.Open(p.driver, u.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(db.Close(), listener.Close()); err != nil {
			t.Error(err)
		}
		close(ended)
		wg.Wait()
	})
	return db, done.Load
}

// alone closes a pool and waits until no other connection is at work in the database.
func closeAlone(t *testing.T, p *place, db *sql.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	victims{p}.orphansGone(t)
}

// TestInterruptedWithoutTransaction interrupts a NO TRANSACTION step in its second statement: its
// own Down is run.
func TestInterruptedWithoutTransaction(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	half := func(p *place) map[string]*fstest.MapFile {
		return map[string]*fstest.MapFile{
			"12_half.sql": noTransaction("CREATE TABLE half (id INTEGER);\n"+p.sleep, "DROP TABLE half;"),
			"13_x.sql":    table("x"),
		}
	}

	t.Run("migration timeout", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			longEnough(t, 2*time.Second, func(limit time.Duration) bool {
				db, f := p.flaky(t)
				var asleep atomic.Bool
				f.before = func(statement string) {
					if statement == p.sleep {
						asleep.Store(true)
					}
				}
				err := p.over(db, from(deploy(t, p, half(p))), gooseplus.WithMigrationTimeout(limit)).Migrate(ctx)
				if !asleep.Load() {
					p = p.target.place(t)
					return false
				}
				wantFailed(t, err, 12)
				wantIs(t, err, context.DeadlineExceeded)
				p.want(t, earlierVersions, earlierTables)
				return true
			})
		})
	})

	t.Run("the caller cancels", func(t *testing.T) {
		reason := errors.New("the pod is going away")
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, half(p))
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			db, f := p.flaky(t)
			f.before = func(statement string) {
				if statement == p.sleep {
					time.AfterFunc(200*time.Millisecond, func() { cancel(reason) })
				}
			}
			err := p.over(db, from(fsys)).Migrate(ctx)
			failed := wantFailed(t, err, 12)
			if failed.Statement != p.sleep {
				t.Errorf("Statement = %q", failed.Statement)
			}
			wantIs(t, err, reason)
			p.want(t, earlierVersions, earlierTables)
		})
	})

	t.Run("lost connection", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			if p.kill == "" {
				t.Skip("SQLite runs in this process")
			}
			fsys := deploy(t, p, half(p))
			killed := make(chan error, 1)
			go func() { killed <- killSleeper(p) }()
			err := p.migrator(from(fsys)).Migrate(ctx)
			if err := <-killed; err != nil {
				t.Fatal(err)
			}
			wantFailed(t, err, 12)
			p.want(t, earlierVersions, earlierTables)
		})
	})
}

// TestServerGoesOn: when the run ends, the server has ended a statement too that was interrupted outside a transaction. What it
// commits later would belong to a migration that is undone.
func TestServerGoesOn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	insert := map[string]string{"mysql": "INSERT INTO later SELECT SLEEP(60)", "postgres": "INSERT INTO later SELECT 1 FROM pg_sleep(60)"}
	at := map[string]string{
		"mysql":    "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'INSERT INTO later%'",
		"postgres": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'INSERT INTO later%'",
	}
	for _, function := range []bool{false, true} {
		for _, lock := range []bool{false, true} {
			t.Run(fmt.Sprintf("function %t, lock %t", function, lock), func(t *testing.T) {
				having(server).onEach(t, func(t *testing.T, p *place) {
					p.exec(t, "CREATE TABLE later (id INTEGER)")
					options := []gooseplus.Option{gooseplus.WithGlobalLock(lock), gooseplus.WithMigrationTimeout(3 * time.Second)}
					if named := map[string]*fstest.MapFile{"1_a.sql": table("a")}; function {
						options = append(options, from(files(named)), gooseplus.WithGoMigrations(goose.NewGoMigration(2,
							&goose.GoFunc{RunDB: poolAll(insert[p.dialect])}, &goose.GoFunc{RunDB: poolAll("DELETE FROM later")})))
					} else {
						named["2_b.sql"] = noTransaction(insert[p.dialect]+";", "DELETE FROM later;")
						options = append(options, from(files(named)))
					}
					wantFailed(t, p.migrator(options...).Migrate(ctx), 2)
					if going := column[int](t, p.db, at[p.dialect]); going[0] != 0 {
						t.Error("the server goes on with the statement")
					}
					p.want(t, nil, []string{"later"})
				})
			})
		}
	}
}

// TestHalfApplied asserts what RollbackNone says of a step that was left half-way.
func TestHalfApplied(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, file := range map[string]func(up, down string) *fstest.MapFile{"script": script, "NO TRANSACTION": noTransaction} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := deploy(t, p, map[string]*fstest.MapFile{
					"12_half.sql": file("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE half;"),
				})
				var end gooseplus.RunFinished
				err := p.migrator(from(fsys), gooseplus.WithRollback(gooseplus.RollbackNone), finished(&end)).Migrate(ctx)
				stuck := wantStuck(t, err, 10, 11)
				wantText(t, stuck.Err, "RollbackNone")
				wantFinished(t, end, 10, 11, 2, 0)
				tables := []string{"late", "next", "teams", "users"}
				if name == "script" && p.transactionalDDL {
					wantIsNot(t, err, gooseplus.ErrDirty)
				} else {
					wantIs(t, err, gooseplus.ErrDirty)
					wantText(t, stuck.Err, "12 (sql/base/12_half.sql)")
					tables = append([]string{"half"}, tables...)
				}
				p.want(t, []int64{1, 10, 5, 11}, tables)
			})
		})
	}
}

// TestOneStatementDown: on the way back, a Down whose only statement was refused has left nothing,
// wherever that is.
func TestOneStatementDown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		fsys := deploy(t, p, map[string]*fstest.MapFile{
			"12_x.sql":   script("CREATE TABLE x (id INTEGER);", "DROP TABLE never;"),
			"13_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
		})
		var end gooseplus.RunFinished
		err := p.migrator(from(fsys), finished(&end)).Migrate(ctx)
		stuck := wantStuck(t, err, 10, 12)
		wantIsNot(t, err, gooseplus.ErrDirty)
		wantText(t, stuck.Err, "12_x.sql:4) down")
		wantFinished(t, end, 10, 12, 3, 0)
		p.want(t, []int64{1, 10, 5, 11, 12}, []string{"late", "next", "teams", "users", "x"})
	})
}

// TestMixedGoMigration has Go migrations of which one direction is in a transaction and the other
// isn't. Each direction is judged by its own mode.
func TestMixedGoMigration(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	boom := errors.New("boom")
	inTx := func(end error, statements ...string) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			for _, s := range statements {
				if err := execTx(ctx, tx, s); err != nil {
					return err
				}
			}
			return end
		}}
	}
	noTx := func(end error, statements ...string) *goose.GoFunc {
		return &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			for _, s := range statements {
				if _, err := db.ExecContext(ctx, s); err != nil {
					return err
				}
			}
			return end
		}}
	}
	const create, drop, mark = "CREATE TABLE x (id INTEGER)", "DROP TABLE IF EXISTS x", "CREATE TABLE down_was_run (id INTEGER)"
	for name, s := range map[string]struct {
		up, down          *goose.GoFunc
		upWhole, downIsTx bool
	}{
		"Up in a transaction, Down without": {inTx(boom, create), noTx(nil, drop, mark), true, false},
		"Up without, Down in a transaction": {noTx(boom, create), inTx(nil, drop, mark), false, true},
	} {
		t.Run("a failing "+name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := deploy(t, p, nil)
				err := p.migrator(from(fsys), gooseplus.WithGoMigrations(goose.NewGoMigration(12, s.up, s.down))).Migrate(ctx)
				wantFailed(t, err, 12)
				wantIs(t, err, boom)
				tables := earlierTables
				if !s.upWhole || !p.transactionalDDL {
					tables = append([]string{"down_was_run"}, tables...)
				}
				p.want(t, earlierVersions, tables)
			})
		})
	}
	for name, s := range map[string]struct {
		up, down  *goose.GoFunc
		downWhole bool
	}{
		"Up in a transaction, Down without": {inTx(nil, create), noTx(boom, drop), false},
		"Up without, Down in a transaction": {noTx(nil, create), inTx(boom, drop), true},
	} {
		t.Run("an applied "+name+", that fails", func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := deploy(t, p, map[string]*fstest.MapFile{"13_bad.sql": script("INSERT INTO nowhere VALUES (1);", "")})
				said := make(map[string]bool)
				observer := gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if e, ok := e.(gooseplus.MigrationStarted); ok && e.Step.Version == 12 {
						said[e.Step.Direction] = e.Step.Transactional
					}
				})
				err := p.migrator(from(fsys), observer, gooseplus.WithGoMigrations(goose.NewGoMigration(12, s.up, s.down))).Migrate(ctx)
				wantStuck(t, err, 10, 12)
				wantIs(t, err, boom)
				want := map[string]bool{"up": !s.downWhole && p.transactionalDDL, "down": s.downWhole && p.transactionalDDL}
				if fmt.Sprint(said) != fmt.Sprint(want) {
					t.Errorf("Transactional is %v, want %v", said, want)
				}
				tables := []string{"late", "next", "teams", "users"}
				if s.downWhole && p.transactionalDDL {
					wantIsNot(t, err, gooseplus.ErrDirty)
					tables = append(tables, "x")
				} else {
					wantIs(t, err, gooseplus.ErrDirty)
				}
				p.want(t, []int64{1, 10, 5, 11, 12}, tables)
			})
		})
	}
}

// TestOwnTransaction: a file that commits by itself is not whole or absent, whatever goose puts
// around it.
func TestOwnTransaction(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, up := range map[string]string{
		"COMMIT": "CREATE TABLE own (id INTEGER);\nCOMMIT;\nINSERT INTO nowhere VALUES (1);",
		"commit after a comment": "CREATE TABLE own (id INTEGER);\n/* so that the next\n sees it */ commit;\n" +
			"INSERT INTO nowhere VALUES (1);",
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := deploy(t, p, map[string]*fstest.MapFile{"12_own.sql": script(up, "DROP TABLE own;"), "13_x.sql": table("x")})
				wantFailed(t, p.migrator(from(fsys)).Migrate(ctx), 12)
				p.want(t, earlierVersions, earlierTables)
			})
		})
	}
	t.Run("without a Down it may be half-applied", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_own.sql": script("CREATE TABLE own (id INTEGER);\nCOMMIT;\nINSERT INTO nowhere VALUES (1);", ""),
			})
			err := p.migrator(from(fsys)).Migrate(ctx)
			wantStuck(t, err, 10, 11)
			wantIs(t, err, gooseplus.ErrDirty)
			p.want(t, []int64{1, 10, 5, 11}, []string{"late", "next", "own", "teams", "users"})
		})
	})
}

// TestRefusedCommit: the statements of a step were all executed, so none of them is what failed.
func TestRefusedCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range having(server, transactionalDDL) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql": script("CREATE TABLE x (id INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO x VALUES (1), (1);\nSELECT 1;", "DROP TABLE x;"),
			})
			err := p.migrator(from(fsys)).Migrate(ctx)
			if failed := wantFailed(t, err, 12); failed.Statement != "" {
				t.Errorf("Statement = %q, which succeeded", failed.Statement)
			}
			wantDriverError(t, p, err)
			p.want(t, earlierVersions, earlierTables)
		})
	}
}
