package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

const provisionEnv = "GOOSEPLUS_PROVISION" // a provisionOrder, in JSON

// provisionOrder is what a process of its own does: it provisions a tenant.
type provisionOrder struct {
	Driver, Dialect, DSN, Schema string

	Pause time.Duration // within the third migration
	Stay  bool          // for ever, when the batch is committed
}

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
	m := p.locking(db, from(p.sleepers(o.Pause)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		switch e := e.(type) {
		case gooseplus.BatchStarted:
			say("step", "")
		case gooseplus.MigrationStarted:
			if e.Step.Version == 3 {
				say("step", "")
			}
		case gooseplus.BatchFinished:
			say("committed", "")
			if o.Stay {
				select {}
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
		s := p.provisioning(t, provisionOrder{Schema: name, Pause: time.Minute})
		s.hear("step")
		asleep := "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() AND datname = current_database()"
		if p.dialect == "mysql" {
			asleep = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(60%' AND db LIKE '" + p.prefix + "%' AND id <> CONNECTION_ID()"
		}
		p.untilAny(t, "the statement", asleep)
		s.kill()
		err := p.locking(p.db, from(p.sleepers(0))).Provision(context.Background(), gooseplus.Tenant{Schema: name})
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

// provisioning starts such a process.
func (p *fleetPlace) provisioning(t *testing.T, o provisionOrder) *process {
	t.Helper()
	o.Driver, o.Dialect, o.DSN = p.driver, p.dialect, p.dsn
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, provisionEnv+"="+string(text), os.Args[0], "-test.run=^TestProvisionProcess$")
}

// hear reads what a process says, up to a word. It returns all words.
func (s *process) hear(what string) (said []string) {
	for r := range s.said {
		if said = append(said, r.what); r.what == what {
			break
		}
	}
	return said
}

// TestProvisionKilledAfterCommit: a process is killed when its migrations are committed, before it gives the lock back. Its run has
// ended with them: the next one that fails doesn't take them back.
func TestProvisionKilledAfterCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		if !p.transactionalDDL {
			return
		}
		s := p.provisioning(t, provisionOrder{Schema: "shop", Stay: true})
		s.hear("committed")
		s.kill()
		if got := column[string](t, p.db, `SELECT outcome || ' ' || to_version FROM "shop".goose_db_version_lock WHERE kind IN ('run', 'fence')`); !slices.Equal(got, []string{"migrated 4"}) {
			t.Errorf("outcomes %q", got)
		}
		more := p.sleepers(0)
		more["sql/base/005_t.sql"] = script("SELECT broken;", "")
		err := p.locking(p.db, from(more)).Provision(ctx, gooseplus.Tenant{Schema: "shop"})
		wantIs(t, err, gooseplus.ErrRollForward)
		p.wantIn(t, "shop", []int64{1, 2, 3, 4}, -1)
	})
}

// TestProvisionProcesses: of several processes that make the same tenant at once, one makes it, and the others find it ready.
func TestProvisionProcesses(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		if p.dialect == "mysql" {
			t.Cleanup(func() { p.exec(t, "DROP SCHEMA IF EXISTS "+p.quote(name)) })
		}
		var all []*process
		for range 3 {
			all = append(all, p.provisioning(t, provisionOrder{Schema: name}))
		}
		made := 0
		for _, s := range all {
			said := s.hear("done")
			if !slices.Contains(said, "done") {
				t.Errorf("a process said %q", said)
			}
			if slices.Contains(said, "step") {
				made++
			}
		}
		if made != 1 {
			t.Errorf("%d processes have made the tenant", made)
		}
		p.wantIn(t, name, []int64{1, 2, 3, 4}, -1)
	})
}

// TestProvisionCommitUnknown: the answer to the COMMIT of the migrations, with which the run has ended, is lost, or the server refuses it.
// The run finds out which.
func TestProvisionCommitUnknown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		if !p.transactionalDDL {
			return
		}
		db, f := p.flaky(t)
		f.lose = once("to_version = ", "COMMIT")
		told := 0
		if err := p.locking(db, from(chain(4)), warnings("the answer was lost", &told)).Provision(ctx, gooseplus.Tenant{Schema: "lost"}); err != nil {
			t.Error(err)
		}
		f.wantLost(t, 1)
		if told != 1 {
			t.Errorf("%d warnings", told)
		}
		p.wantIn(t, "lost", []int64{1, 2, 3, 4}, -1)
		outcomes := `SELECT outcome FROM "lost".goose_db_version_lock WHERE kind IN ('run', 'fence')`
		if got := column[string](t, p.db, outcomes); !slices.Equal(got, []string{"migrated"}) {
			t.Errorf("outcomes %q", got)
		}

		db, f = p.flaky(t)
		sealed := false
		f.refuse = func(statement string) error {
			if strings.Contains(statement, "to_version = ") {
				sealed = true
			} else if sealed && statement == "COMMIT" {
				sealed = false
				return errors.New("disk full")
			}
			return nil
		}
		err := p.locking(db, from(chain(4))).Provision(ctx, gooseplus.Tenant{Schema: "refused"})
		wantIs(t, err, gooseplus.ErrRollForward)
		wantText(t, err, "disk full")
		wantText(t, err, "which this call had created, was dropped")
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
