package conformance

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

const provisionEnv = "GOOSEPLUS_PROVISION" // a provisionOrder, in JSON

// provisionOrder is what a process of its own does: it provisions a tenant.
type provisionOrder struct{ Driver, Dialect, DSN, Schema string }

// sleepers are four migrations, of which the third takes its time.
func (x target) sleepers(pause time.Duration) fstest.MapFS {
	named := chain(4)
	named["sql/base/003_t.sql"] = script("CREATE TABLE t003 (id INTEGER);\n"+x.sleeping(pause)+";", "DROP TABLE t003;")
	return named
}

// TestProvisionProcess is no test but such a process. It says together or step when its migrations begin.
func TestProvisionProcess(t *testing.T) {
	text := os.Getenv(provisionEnv)
	if text == "" {
		return
	}
	var o provisionOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	p := &place{target: target{driver: o.Driver, dialect: o.Dialect}, dsn: o.DSN}
	db := p.open(t)
	defer db.Close()
	m := p.locking(db, from(p.sleepers(time.Minute)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		switch e := e.(type) {
		case gooseplus.BatchStarted:
			say("step", "")
		case gooseplus.MigrationStarted:
			if e.Step.Version == 3 {
				say("step", "")
			}
		}
	}))
	if err := m.Provision(context.Background(), gooseplus.Tenant{Schema: o.Schema}); err != nil {
		say("failed", err.Error())
		t.FailNow()
	}
	say("done", "")
}

// TestProvisionKilled: a process is killed while the server executes its migrations. The next one goes on.
func TestProvisionKilled(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		if p.dialect == "mysql" {
			t.Cleanup(func() { p.exec(t, "DROP SCHEMA IF EXISTS "+p.quote(name)) })
		}
		text, err := json.Marshal(provisionOrder{p.driver, p.dialect, p.dsn, name})
		if err != nil {
			t.Fatal(err)
		}
		s := startProcess(t, provisionEnv+"="+string(text), os.Args[0], "-test.run=^TestProvisionProcess$")
		for r := range s.said {
			if r.what == "step" {
				break
			}
		}
		asleep := "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() AND datname = current_database()"
		if p.dialect == "mysql" {
			asleep = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(60%' AND id <> CONNECTION_ID()"
		}
		for deadline := time.Now().Add(30 * time.Second); column[int](t, p.db, asleep)[0] == 0 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		s.kill()
		err = p.locking(p.db, from(p.sleepers(0))).Provision(context.Background(), gooseplus.Tenant{Schema: name})
		if p.dialect == "mysql" { // where DDL commits by itself, only a person can tell what is there
			wantIs(t, err, gooseplus.ErrDirty)
			p.wantIn(t, name, []int64{1, 2}, -1)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		p.wantIn(t, name, []int64{1, 2, 3, 4}, -1)
		if n := column[int](t, p.db, asleep)[0]; n != 0 {
			t.Errorf("the server still executes %d statements of the killed process", n)
		}
	})
}

// TestTogetherWithoutTheLock: a run whose lock is lost while its text is executed commits nothing of it.
func TestTogetherWithoutTheLock(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		if p.dialect != "postgres" {
			return
		}
		cut := make(chan struct{})
		m := p.locking(p.db, from(p.sleepers(3*time.Second)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if _, ok := e.(gooseplus.BatchStarted); ok {
				close(cut)
			}
		}))
		ended := make(chan error, 1)
		go func() { ended <- m.Provision(context.Background(), gooseplus.Tenant{Schema: "shop"}) }()
		<-cut
		other := p.instance(t)
		if n := column[int](t, other, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"); !slices.Contains(n, 1) {
			t.Fatalf("%v connections had the lock", n)
		}
		err := <-ended
		wantIs(t, err, gooseplus.ErrLockLost)
		wantText(t, err, "which this call had created, was left, as the lock was lost")
		p.wantIn(t, "shop", nil, -1)
	})
}
