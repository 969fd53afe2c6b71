package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/pressly/goose/v3"
)

func TestLockNeedsConnections(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		db := p.instance(t)
		db.SetMaxOpenConns(1)
		started := time.Now()
		err := p.locking(db, from(chain(2))).Migrate(context.Background())
		if took := time.Since(started); took > patience/2 { // it would wait for ever
			t.Errorf("that took %v", took)
		}
		if p.dialect == "sqlite" {
			if err != nil {
				t.Error(err)
			}
			return
		}
		wantText(t, err, "SetMaxOpenConns(1)")
		m := p.locking(db, from(chain(2)), gooseplus.WithTimeout(patience))
		wantText(t, m.LockVersion(context.Background(), 1), "SetMaxOpenConns(1)") // which has no steps to count
		if tables := column[string](t, p.db, p.target.tables); len(tables) > 0 {
			t.Errorf("tables %v", tables)
		}
		db.SetMaxOpenConns(2)
		if p.dialect == "mysql" {
			db.SetMaxOpenConns(3) // a step that isn't transactional takes one more
		}
		if err := p.locking(db, from(chain(2))).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestLockTwoConnections: a Go migration without a transaction takes two connections, and the lock a third.
func TestLockTwoConnections(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		db := p.instance(t)
		db.SetMaxOpenConns(2)
		m := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "CREATE TABLE t001 (id INTEGER)")
			return err
		}}, nil)
		started := time.Now()
		err := p.locking(db, from(fstest.MapFS{}), gooseplus.WithGoMigrations(m), gooseplus.WithMigrationTimeout(patience)).Migrate(context.Background())
		t.Logf("%v: %v", time.Since(started), err)
		if took := time.Since(started); took > patience/2 || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it took %v to say that there are too few connections: %v", took, err)
		}
	})
}

func TestLockNothingPending(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		db, c := p.counted(t)
		m := p.locking(db, from(chain(3)))
		if err := m.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		t.Logf("the run of 3 took %d statements", len(c.take()))
		for range 2 {
			if told := c.quick(t, m.Migrate); len(told) != 1 {
				t.Errorf("%d statements: %q", len(told), told)
			}
		}
	})
}

// TestLockConcurrentIndex: CREATE INDEX CONCURRENTLY waits for every snapshot that is older than
// itself; neither the lock nor those who wait for it may have one.
func TestLockConcurrentIndex(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
				var name string
				if err := p.db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
					t.Fatal(err)
				}
				p.exec(t, fmt.Sprintf(`ALTER DATABASE "%s" SET default_transaction_isolation = '%s'`, name, isolation))
				g := newGate()
				set := []gooseplus.Option{
					gooseplus.WithMigrationTimeout(patience),
					gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: g.pass}, nil)),
					from(files(map[string]*fstest.MapFile{
						"001_t.sql": script("CREATE TABLE t001 (id INTEGER);\nINSERT INTO t001 SELECT generate_series(1, 100000);", "DROP TABLE t001;"),
						"003_i.sql": noTransaction("CREATE INDEX CONCURRENTLY i ON t001 (id);", "DROP INDEX CONCURRENTLY IF EXISTS i;"),
						"004_t.sql": table("t004"),
					}))}
				all := []*replica{p.boot(context.Background(), p.instance(t), set...)}
				await(t, "the gate", g.reached)
				for range 10 {
					all = append(all, p.boot(context.Background(), p.instance(t), set...))
				}
				for _, r := range all[1:] {
					await(t, "waiting", r.waiting)
				}
				close(g.open)
				started := time.Now()
				for _, r := range all {
					if err := r.wait(t); err != nil {
						t.Error(err)
					}
				}
				t.Logf("done %v after the gate", time.Since(started))
				if v := p.state(t).versions; !slices.Equal(v, upTo(4)) {
					t.Errorf("versions %v", v)
				}
			})
		})
	}
}

// TestLockLeavesConnections: a Go migration that takes as many connections as it can get leaves two of the pool's to a run with
// the lock: that of the lock, and one for the run's own statements. Without the lock, and on SQLite, all are the migration's.
func TestLockLeavesConnections(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{true, false} {
		t.Run(fmt.Sprintf("lock %v", lock), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				db := p.instance(t)
				db.SetMaxOpenConns(5)
				taken, want, own := 0, 5, error(nil)
				if lock && p.dialect != "sqlite" {
					want = 3
				}
				takes := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, given *sql.DB) error {
					for {
						soon, cancel := context.WithTimeout(ctx, time.Second)
						conn, err := given.Conn(soon)
						cancel()
						if err != nil {
							break
						}
						defer conn.Close()
						taken++
					}
					soon, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					own = db.PingContext(soon) // as the run does
					return nil
				}}, nil)
				if err := p.over(db, from(fstest.MapFS{}), gooseplus.WithGlobalLock(lock), gooseplus.WithGoMigrations(takes)).Migrate(context.Background()); err != nil {
					t.Fatal(err)
				}
				if taken != want || own != nil {
					t.Errorf("it got %d connections of 5, and the run: %v", taken, own)
				}
			})
		})
	}
}

// TestConnectionOfItsOwnRows: a Go migration that executes something while rows of its own have the only connection is told so when
// its time is over.
func TestConnectionOfItsOwnRows(t *testing.T) {
	t.Parallel()
	m := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if _, err := db.ExecContext(ctx, "CREATE TABLE t001 (id INTEGER)"); err != nil {
				return err
			}
		}
		return rows.Err()
	}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
	onEach(t, func(t *testing.T, p *place) {
		db := p.instance(t)
		db.SetMaxOpenConns(1)
		err := p.over(db, from(fstest.MapFS{}), gooseplus.WithGoMigrations(m), gooseplus.WithMigrationTimeout(time.Second)).Migrate(context.Background())
		wantIs(t, err, context.DeadlineExceeded)
		wantText(t, err, "while rows or a transaction of its own may have been open: the run lends it at most 1, see SetMaxOpenConns")
	})
}

// TestShortWaitsForConnections: a Go migration on several goroutines, each of which waits its turn, doesn't run out of time for that.
func TestShortWaitsForConnections(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		m := goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			sleep := strings.Replace(p.sleep, "30", "0.1", 1)
			errs := make(chan error)
			for range 10 {
				go func() { errs <- execDB(ctx, db, sleep) }()
			}
			var all error
			for range 10 {
				all = errors.Join(all, <-errs)
			}
			return errors.Join(all, execDB(ctx, db, p.sleep))
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
		db := p.instance(t)
		db.SetMaxOpenConns(2)
		err := p.over(db, from(fstest.MapFS{}), gooseplus.WithGoMigrations(m), gooseplus.WithMigrationTimeout(3*time.Second)).Migrate(context.Background())
		wantIs(t, err, context.DeadlineExceeded)
		if strings.Contains(err.Error(), "waited for a connection") {
			t.Error(err)
		}
	})
}

func execDB(ctx context.Context, db *sql.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)
	return err
}
