package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// stuckInIdentity is a migration of the third namespace that never ends, and says so.
func stuckInIdentity() gooseplus.Option {
	d := &gooseplus.Definitions{Namespace: "identity"}
	d.Define(3).UpAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error {
		say("stuck", "")
		select {}
	}))
	return gooseplus.WithDefinitions(d)
}

var (
	nextTables   = []string{"customers", "files", "logins", "never", "offices", "roles", "rooms", "tags", "teams", "units"}
	withThree    = []string{"customers", "files", "logins", "never", "offices", "roles", "rooms", "tags", "teams", "three", "units"}
	nextVersions = contextVersions{"core": {1, 2, 4, 5}, "shared": {1, 2}, "identity": {1, 2}, "customer-mgmt": {1, 2}}
)

// killedInIdentity has a process migrate to the next release that is killed in the third namespace, with core and
// shared done.
func killedInIdentity(t *testing.T, p *place, set string) {
	t.Helper()
	if err := p.locking(p.db, from(bounded(nil)), inContexts).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	victim := p.start(t, set, p.dsn)
	victim.let(t)
	victim.until(t, "stuck")
	victim.kill()
}

// onKillable is onDatabases over a file that other processes can use.
func onKillable(t *testing.T, test func(*testing.T, *place)) {
	onDatabases(t, func(t *testing.T, p *place) {
		if p.dialect == "sqlite" {
			p.patient()
			if err := p.db.Close(); err != nil {
				t.Fatal(err)
			}
			p.db = p.open(t)
		}
		test(t, p)
	})
}

// TestNamespacesCrash kills a process in the third of four namespaces.
func TestNamespacesCrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	bad := func(at string) fstest.MapFS {
		return nextContexts(map[string]*fstest.MapFile{at: script("INSERT INTO nowhere VALUES (1);", "")})
	}
	withDown := func(fsys fstest.MapFS) fstest.MapFS { // the stuck one, as the next release has it
		fsys["sql/identity/base/3_three.sql"] = table("three")
		return fsys
	}

	t.Run("the next run completes", func(t *testing.T) {
		onKillable(t, func(t *testing.T, p *place) {
			killedInIdentity(t, p, "stuck")
			m := p.locking(p.db, from(withDown(nextContexts(nil))), inContexts)
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.wantContexts(t, nextVersions.with("identity", 1, 2, 3), withThree)
			want := []string{"core crashed", "shared crashed", "identity crashed", "customer-mgmt crashed",
				"core migrated", "shared migrated", "identity migrated", "customer-mgmt migrated"}
			if got := (record{p}).outcomes(t)[4:]; !slices.Equal(got, want) {
				t.Errorf("outcomes %q, want %q", got, want)
			}
			if left := (record{p}).marks(t); left != "" {
				t.Errorf("marked: %s", left)
			}
		})
	})

	// Wherever the next run fails: before where the dead one was, or after.
	for _, at := range []string{"sql/core/base/6_bad.sql", "sql/shared/3_bad.sql", "sql/identity/base/4_bad.sql", "sql/customer-mgmt/3_bad.sql"} {
		t.Run("the next run fails in "+at, func(t *testing.T) {
			onKillable(t, func(t *testing.T, p *place) {
				killedInIdentity(t, p, "stuck")
				err := p.locking(p.db, from(withDown(bad(strings.TrimPrefix(at, "sql/")))), inContexts).Migrate(ctx)
				wantIs(t, err, gooseplus.ErrRollForward)
				p.wantContexts(t, boundedVersions, boundedTables)
				if left := (record{p}).marks(t); left != "" {
					t.Errorf("marked: %s", left)
				}
				if err := p.locking(p.db, from(nextContexts(nil)), inContexts).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				p.wantContexts(t, nextVersions, nextTables)
			})
		})
	}

	t.Run("one namespace goes on alone", func(t *testing.T) {
		onKillable(t, func(t *testing.T, p *place) {
			killedInIdentity(t, p, "stuck")
			m := p.locking(p.db, from(withDown(nextContexts(nil))), inContexts)
			if err := m.MigrateNamespace(ctx, "identity"); err != nil {
				t.Fatal(err)
			}
			want := []string{"core cut off", "shared cut off", "identity crashed", "customer-mgmt cut off"}
			if got := (record{p}).outcomes(t)[4:8]; !slices.Equal(got, want) {
				t.Errorf("outcomes %q, want %q", got, want)
			}
			// The cut-off runs of other namespaces neither refuse the later boots of this one nor slow them down.
			db, told := p.counted(t)
			again := p.locking(db, from(withDown(nextContexts(nil))), inContexts)
			if statements := told.quick(t, func(ctx context.Context) error { return again.MigrateNamespace(ctx, "identity") }); len(statements) != 1 {
				t.Errorf("%q", statements)
			}
			// A run that covers them returns to their starting point; identity's is where its own run brought it.
			err := p.locking(p.db, from(bad("customer-mgmt/3_bad.sql")), gooseplus.WithNamespaces("core", "shared", "customer-mgmt")).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			p.wantContexts(t, boundedVersions.with("identity", 1, 2, 3), []string{"customers", "files", "logins", "roles", "teams", "three", "units"})
		})
	})

	t.Run("there is nothing left to do", func(t *testing.T) {
		onKillable(t, func(t *testing.T, p *place) {
			killedInIdentity(t, p, "stuck")
			for _, name := range []string{"identity", "customer-mgmt"} {
				if err := p.locking(p.db, from(withDown(nextContexts(nil))), inContexts).MigrateNamespace(ctx, name); err != nil {
					t.Fatal(err)
				}
			}
			// core and shared have all, but not by a run that came to its end: what covers them gives their starting
			// point up, so that nobody returns to it later.
			if err := p.locking(p.db, from(withDown(nextContexts(nil))), inContexts).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			if got := (record{p}).outcomes(t); slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, "cut off") }) {
				t.Errorf("outcomes %q", got)
			}
			wantIs(t, p.locking(p.db, from(withDown(bad("shared/3_bad.sql"))), inContexts).Migrate(ctx), gooseplus.ErrRollForward)
			p.wantContexts(t, nextVersions.with("identity", 1, 2, 3), withThree)
		})
	})
}

// nextInOne are nextContexts in which every step is in a transaction, and no Down is of any use.
func nextInOne() fstest.MapFS {
	useless := func(name string) *fstest.MapFile { return script("CREATE TABLE "+name+" (id INTEGER);", "") }
	return nextContexts(map[string]*fstest.MapFile{"core/base/5_rooms.sql": useless("rooms"), "shared/2_tags.sql": useless("tags")})
}

// TestNamespacesKilledInOneTransaction: nothing is left of any of them.
func TestNamespacesKilledInOneTransaction(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onKillable(t, func(t *testing.T, p *place) {
		if p.dialect == "mysql" {
			return // it has no such transaction
		}
		killedInIdentity(t, p, "in one")
		m := p.locking(p.db, from(nextInOne()), inContexts, inOne)
		if steps, err := m.Plan(ctx); err != nil || len(steps) != 5 {
			t.Errorf("%v, %v", steps, err)
		}
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.wantContexts(t, nextVersions, nextTables)
	})
}

// TestNamespacesAtOnce boots processes over all namespaces, and over single ones, at the same moment.
func TestNamespacesAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onKillable(t, func(t *testing.T, p *place) {
		var all []*process
		for range 3 {
			all = append(all, p.start(t, "next", p.dsn))
		}
		for _, s := range all {
			s.until(t, "ready")
		}
		for _, s := range all {
			s.let(t)
		}
		for _, s := range all {
			s.until(t, "done")
		}
		p.wantContexts(t, nextVersions, nextTables)
		var want []string
		for _, name := range []string{"core", "shared", "identity", "customer-mgmt"} {
			want = append(want, name+" migrated")
		}
		if got := (record{p}).outcomes(t); !slices.Equal(got, want) {
			t.Errorf("outcomes %q, want %q", got, want)
		}
	})

	t.Run("one namespace beside all", func(t *testing.T) {
		onKillable(t, func(t *testing.T, p *place) {
			hold := newBarrier()
			d := &gooseplus.Definitions{Namespace: "shared"}
			d.Define(9).UpAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error { hold.wait(); return nil })).
				DownAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error { return nil }))
			fsys := nextContexts(map[string]*fstest.MapFile{"identity/base/3_bad.sql": script("INSERT INTO nowhere VALUES (1);", "")})
			first := p.boot(ctx, p.instance(t), from(fsys), inContexts, gooseplus.WithDefinitions(d))
			await(t, "the second namespace", hold.reached)
			// core is complete, as far as anybody can see, but its run may still fail: who boots has to wait for it.
			waiting := make(chan struct{})
			ended := make(chan error, 1)
			core := p.locking(p.instance(t), from(nextContexts(nil)), inContexts, gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
				if _, ok := e.(gooseplus.LockWaiting); ok {
					close(waiting)
				}
			}))
			go func() { ended <- core.MigrateNamespace(ctx, "core") }()
			await(t, "core waiting", waiting)
			select {
			case err := <-ended:
				t.Errorf("core did not wait: %v", err)
			default:
			}
			close(hold.released)
			wantIs(t, first.wait(t), gooseplus.ErrRollForward)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			p.wantContexts(t, contextVersions{"core": {1, 2, 4, 5}}, []string{"offices", "rooms", "teams", "units"})
		})
	})
}

// TestNamespacesLockLost kills the lock's connection in the middle: nothing is undone without the lock, and the next
// run takes all starting points over.
func TestNamespacesLockLost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		if err := p.locking(p.db, from(bounded(nil)), inContexts).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		d := &gooseplus.Definitions{Namespace: "identity"}
		reached := make(chan struct{})
		d.Define(3).UpAction(gooseplus.TxFunc(func(ctx context.Context, _ *sql.Tx) error { close(reached); <-ctx.Done(); return ctx.Err() })).
			DownAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error { return nil }))
		r := p.boot(ctx, p.instance(t), from(nextContexts(nil)), inContexts, gooseplus.WithDefinitions(d))
		await(t, "the third namespace", reached)
		id := fmt.Sprint(locks{p}.connection(t))
		p.exec(t, fmt.Sprintf(p.kill, id))
		err := r.wait(t)
		wantIs(t, err, gooseplus.ErrLockLost)
		wantIs(t, err, gooseplus.ErrRollBack)
		fsys := nextContexts(map[string]*fstest.MapFile{"customer-mgmt/3_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
			"identity/base/3_three.sql": table("three")})
		wantIs(t, p.locking(p.db, from(fsys), inContexts).Migrate(ctx), gooseplus.ErrRollForward)
		p.wantContexts(t, boundedVersions, boundedTables)
	})
}
