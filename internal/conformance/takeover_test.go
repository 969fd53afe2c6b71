package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// takeoverLimit is how long after a cut, or after the server is back, somebody has to have the lock at the latest.
const takeoverLimit = 45 * time.Second

// TestTakeover cuts the holder's machine off without a word: packets are dropped both ways, or nobody but a machine in
// between answers. Somebody else takes over. A process that waited on the machine that was cut off ends with its context.
func TestTakeover(t *testing.T) {
	t.Parallel()
	onMachines(t, 0, func(t *testing.T, r *round) {
		at := r.begin(t)
		// Quick steps may have ended before the cut: then the calls would do what they are told.
		mate := r.boot(t, task{Within: 5*time.Second + moment(r.random, 10*time.Second), Calls: r.situation != quickSteps})
		waited := mate.until(t, "waiting", "ended")
		other := r.other(t)
		r.pause()
		r.machine.cut(t)
		cut := time.Now()
		r.wantReturned(t, mate, waited, cut)
		r.wantTakenOver(t, other, cut)
		told, ended := at.told(t)
		r.log(t, "the holder ended", ended.Sub(cut))
		if r.situation != quickSteps && !told.Lost {
			t.Errorf("the holder doesn't know that it has lost the lock: %+v", told)
		}
		if ended.Sub(cut) > time.Minute+r.lag.since(cut) { // it tries to undo what it did, to no avail
			t.Errorf("the holder ended %v after the cut", ended.Sub(cut))
		}
		r.wantSettled(t, other.err)
	})
}

// TestTakeoverPowerLoss takes the power from the holder's machine, which sends no end of its connections.
func TestTakeoverPowerLoss(t *testing.T) {
	t.Parallel()
	onMachines(t, 3, func(t *testing.T, r *round) {
		at := r.begin(t)
		var other *replica
		if r.random.IntN(2) == 0 {
			other = r.other(t)
		}
		r.pause()
		r.machine.cut(t)
		at.kill()
		cut := time.Now()
		if other == nil {
			other = r.place.boot(context.Background(), r.place.instance(t), r.place.cutSet(r.situation, nil)...)
		}
		r.wantTakenOver(t, other, cut)
		r.wantSettled(t, other.err)
	})
}

// TestTakeoverHealed joins the holder's machine to the network again, at any moment: while nobody has noticed, or when
// somebody else has the lock. Either the holder goes on or the other one takes over, and both know.
func TestTakeoverHealed(t *testing.T) {
	t.Parallel()
	onMachines(t, 1, func(t *testing.T, r *round) {
		r.linger = 5*time.Second + moment(r.random, 15*time.Second)
		at := r.begin(t)
		other := r.other(t)
		r.pause()
		r.machine.cut(t)
		cut := time.Now()
		time.Sleep(moment(r.random, 40*time.Second)) // what makes the rounds differ
		healed := time.Now()
		r.machine.heal(t)
		r.log(t, "healed", healed.Sub(cut))
		// A holder that has noticed nothing keeps the lock for as long as its migration takes.
		r.wantTakenOver(t, other, later(cut, healed.Add(r.linger-takeoverLimit)))
		told, ended := at.told(t)
		r.log(t, "the holder ended", ended.Sub(cut))
		if told.OK && other.err != nil {
			t.Errorf("the holder has succeeded, and the other one has not: %v", other.err)
		}
		if ended.Sub(healed) > takeoverLimit+r.lag.since(healed) {
			t.Errorf("the holder ended %v after it was joined again", ended.Sub(healed))
		}
		r.wantSettled(t, other.err)
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// TestTakeoverOfATransaction: an idle transaction of a dead run, of one's own role, is ended. Nothing else would end it.
func TestTakeoverOfATransaction(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.counting(t)
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil)), from(fstest.MapFS{})}
		if err := p.locking(p.instance(t), set...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[2]")
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
		locks{p}.wantFree(t)
	})
}

// TestTakeoverFromAnotherRole: what a dead run of another role still does is waited for, and named.
func TestTakeoverFromAnotherRole(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
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
		record{p}.stale(t, "[2]")
		p.exec(t, fmt.Sprintf("INSERT INTO goose_db_version_lock (id, kind, run_id, backend) VALUES ('backend:dead:%d/', 'backend', 'run:dead', '%[1]d/')", pid))
		set := []gooseplus.Option{gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})}
		err = p.locking(other, append(set, gooseplus.WithLockWait(300*time.Millisecond))...).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrLocked)
		wantText(t, err, fmt.Sprintf("pg_terminate_backend(%d)", pid))
		err = p.locking(other, append(set, gooseplus.WithLockWait(300*time.Millisecond))...).Force(context.Background(), 1)
		wantIs(t, err, gooseplus.ErrLocked)
		p.exec(t, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // or the pool has it again
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
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
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
		record{p}.stale(t, "[]")
		p.exec(t, fmt.Sprintf("INSERT INTO goose_db_version_lock (id, kind, run_id, backend) VALUES ('backend:dead:%d', 'backend', 'run:dead', '%[1]d')", id))
		if err := p.locking(p.instance(t), gooseplus.WithGoMigrations(counts(1, nil), counts(2, nil)), from(fstest.MapFS{})).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
		if err := conn.PingContext(context.Background()); err != nil {
			t.Errorf("somebody else's connection was ended: %v", err)
		}
		p.wantCounted(t, 1, 2)
		locks{p}.wantFree(t)
	})
}

// through is the place's database through a way that can go silent.
func through(t *testing.T, p *place) (*sql.DB, *dbtest.Proxy) {
	t.Helper()
	way, dsn := dbtest.Through(t, p.dsn)
	db, err := sql.Open(p.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // its connections are dead
	return db, way
}
