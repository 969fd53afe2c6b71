package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// through is the place's database through a way that can go silent.
func (p *place) through(t *testing.T) (*sql.DB, *dbtest.Proxy) {
	t.Helper()
	way, dsn := dbtest.Through(t, p.dsn)
	db, err := sql.Open(p.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // its connections are dead
	return db, way
}

// TestTakeover cuts the holder off without a word, idle in a transaction, idle outside one, and in the middle of
// a statement. Somebody else takes over within 45 seconds.
func TestTakeover(t *testing.T) {
	t.Parallel()
	statement := func(p *place) string { return p.sleeping(200 * time.Second) }
	for name, s := range map[string]struct {
		tx   bool
		busy bool
	}{"idle in a transaction": {tx: true}, "idle outside one": {}, "in a statement": {tx: true, busy: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onLockServers(t, "postgres pgx mysql", func(t *testing.T, p *place) {
				if s.busy && p.driver == "pgx" {
					return // lib/pq shows it
				}
				for range chaosRounds(1, 50) {
					p.counting(t)
					db, way := p.through(t)
					reached, first := make(chan struct{}), true
					act := func(ctx context.Context, q interface {
						ExecContext(context.Context, string, ...any) (sql.Result, error)
					}) error {
						if _, err := q.ExecContext(ctx, "INSERT INTO counted VALUES (1)"); err != nil || !first {
							return err
						}
						first = false
						close(reached)
						if s.busy {
							_, err := q.ExecContext(ctx, statement(p))
							return err
						}
						<-ctx.Done()
						return ctx.Err()
					}
					up := &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return act(ctx, tx) }}
					down := &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return execTx(ctx, tx, "DELETE FROM counted WHERE v = 1") }}
					if !s.tx {
						up = &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error { return act(ctx, db) }}
					}
					set := []gooseplus.Option{from(fstest.MapFS{}), gooseplus.WithGoMigrations(goose.NewGoMigration(1, up, down))}
					holder := p.boot(context.Background(), db, set...)
					await(t, "the migration", reached)
					if s.busy {
						p.untilAny(t, "the statement", p.working("SLEEP(2"))
					}
					way.Silence()
					cut := time.Now()
					waiter := p.boot(context.Background(), p.instance(t), set...)
					select {
					case <-waiter.done:
					case <-time.After(90 * time.Second):
						t.Fatal("nobody took over within 90 s")
					}
					took := time.Since(cut)
					t.Logf("taken over %v after the cut: %v", took, waiter.err)
					if took > 50*time.Second {
						t.Errorf("nobody took over for %v", took)
					}
					// What is outside a transaction may be half-applied, which a person has to look at.
					if whole := s.tx && p.transactionalDDL; whole && waiter.err != nil || !whole && waiter.err != nil && !errors.Is(waiter.err, gooseplus.ErrDirty) {
						t.Errorf("the next: %v", waiter.err)
					}
					await(t, "the end of the holder", holder.done)
					if holder.err == nil {
						t.Error("the holder knows nothing of it")
					}
				}
			})
		})
	}
}

// TestTakeoverOfATransaction: an idle transaction of a dead run, of one's own role, is ended at once.
func TestTakeoverOfATransaction(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres pgx", func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.stale(t, "[2]")
		p.exec(t, "INSERT INTO goose_db_version_lock (id, kind, run_id, transactions) VALUES ('fence:dead', 'fence', 'run:dead', 0)")
		orphan, err := p.db.Begin() // the server has not noticed yet that its client is gone
		if err != nil {
			t.Fatal(err)
		}
		defer orphan.Rollback()
		if _, err := orphan.Exec("UPDATE goose_db_version_lock SET transactions = transactions + 1 WHERE id = 'fence:dead'"); err != nil {
			t.Fatal(err)
		}
		set = []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		if err := p.boot(context.Background(), p.instance(t), set...).wait(t); err != nil {
			t.Error(err)
		}
		if err := orphan.Commit(); err == nil {
			t.Error("the transaction of the dead run was not ended")
		}
		p.wantCounted(t, 1, 2)
		p.wantFree(t)
	})
}

// TestTakeoverFromAnotherRole: what a dead run of another role still does is waited for, and named.
func TestTakeoverFromAnotherRole(t *testing.T) {
	t.Parallel()
	onLockServers(t, "postgres", func(t *testing.T, p *place) {
		p.counting(t)
		if err := p.locking(p.instance(t), gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		role := p.role(t)
		p.exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON goose_db_version_lock, goose_db_version, counted TO "+role.name,
			"GRANT USAGE ON SEQUENCE goose_db_version_id_seq TO "+role.name)
		other := role.open(t)
		conn, err := p.db.Conn(context.Background()) // of the owner
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var pid int
		if err := conn.QueryRowContext(context.Background(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		p.stale(t, "[2]")
		p.exec(t, fmt.Sprintf("INSERT INTO goose_db_version_lock (id, kind, run_id, backend) VALUES ('backend:dead:%d/', 'backend', 'run:dead', '%[1]d/')", pid))
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		err = p.locking(other, append(set, gooseplus.WithLockWait(300*time.Millisecond))...).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrLocked)
		wantText(t, err, fmt.Sprintf("pg_terminate_backend(%d)", pid))
		err = p.locking(other, append(set, gooseplus.WithLockWait(300*time.Millisecond))...).Force(context.Background(), 1)
		wantIs(t, err, gooseplus.ErrLocked)
		p.exec(t, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))
		if err := p.locking(other, set...).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
		p.wantCounted(t, 1, 2)
	})
}

// TestTakeoverAfterRenumbering: a connection of MySQL has the number that one of a dead run had before the server was
// restarted. It keeps nobody from the lock.
func TestTakeoverAfterRenumbering(t *testing.T) {
	t.Parallel()
	onLockServers(t, "mysql", func(t *testing.T, p *place) {
		p.counting(t)
		if err := p.locking(p.instance(t), gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		conn, err := p.db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var id int
		if err := conn.QueryRowContext(context.Background(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
			t.Fatal(err)
		}
		p.stale(t, "[]")
		p.exec(t, fmt.Sprintf("INSERT INTO goose_db_version_lock (id, kind, run_id, backend) VALUES ('backend:dead:%d', 'backend', 'run:dead', '%[1]d')", id))
		if err := p.locking(p.instance(t), gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
		if err := conn.PingContext(context.Background()); err != nil {
			t.Errorf("somebody else's connection was ended: %v", err)
		}
		p.wantCounted(t, 1, 2)
		p.wantFree(t)
	})
}
