package conformance

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestProvisionCannotDrop: the migrations fail, and so does dropping what the call has created. The error says what is still
// there, and the statement that it names removes it. Another call goes on with it.
func TestProvisionCannotDrop(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		if p.dialect == "mysql" {
			t.Cleanup(func() { p.exec(t, "DROP SCHEMA IF EXISTS "+p.quote(name)) })
		}
		db, f := p.flaky(t)
		denied := errors.New("the schema is protected")
		f.refuse = func(statement string) error {
			if strings.HasPrefix(statement, "DROP SCHEMA") || strings.HasPrefix(statement, "DROP DATABASE") {
				return denied
			}
			return nil
		}
		fail := func() error {
			t.Helper()
			err := p.locking(db, from(broken())).Provision(ctx, gooseplus.Tenant{Schema: name})
			wantIs(t, err, denied)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantText(t, err, "3 (sql/base/003_t.sql:3) up")
			wantText(t, err, "which this call had created, is still there: the schema is protected: execute ")
			p.wantIn(t, name, nil, -1)
			return err
		}
		_, statement, _ := strings.Cut(fail().Error(), ": execute ")
		statement, _, _ = strings.Cut(statement, ", or call Provision again")
		p.exec(t, statement)
		if p.has(t, name) {
			t.Errorf("%s has not removed it", statement)
		}
		_ = fail()
		if err := p.locking(p.db, from(chain(4))).Provision(ctx, gooseplus.Tenant{Schema: name}); err != nil {
			t.Fatal(err)
		}
		p.wantIn(t, name, upTo(4), -1)
	})
}

// TestProvisionCannotDropDatabase is the same for a tenant's database.
func TestProvisionCannotDropDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		tenant, _ := p.ownDatabase(t, name)
		denied := errors.New("it is protected")
		for what, drop := range map[string]func(context.Context) error{
			"it is protected":  func(context.Context) error { return denied },
			"panic: it breaks": func(context.Context) error { panic("it breaks") },
		} {
			half := tenant
			half.Drop = drop
			err := p.migrator(from(broken())).Provision(ctx, half)
			if what == "it is protected" {
				wantIs(t, err, denied)
			}
			wantIs(t, err, gooseplus.ErrRollForward)
			wantText(t, err, "its database, which this call had created, is still there: the tenant's Drop: ")
			wantText(t, err, what)
			wantText(t, err, "drop it, or call Provision again")
			if !p.hasDatabase(t, name) {
				t.Errorf("%s: the database is not there", what)
			}
			p.exec(t, "DROP DATABASE "+name)
		}
	})
}

// TestProvisionDatabaseLockLost: the lock of the call is lost while the new database is migrated. Somebody else may be at work on it
// by now: it stays, and nothing of the migrations is left in it.
func TestProvisionDatabaseLockLost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		tenant, made := p.ownDatabase(t, name)
		holder := "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
		end := "SELECT pg_terminate_backend(%d)"
		if p.dialect == "mysql" {
			holder = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
			end = "KILL %d"
		}
		other := p.instance(t)
		within, ended := make(chan struct{}), make(chan struct{})
		lost := goose.NewGoMigration(5, &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error {
			close(within)
			<-ctx.Done()
			close(ended)
			return context.Cause(ctx)
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
		told := make(chan error, 1)
		go func() { told <- p.migrator(from(chain(4)), gooseplus.WithGoMigrations(lost)).Provision(ctx, tenant) }()
		<-within
		for _, id := range column[int64](t, other, holder) {
			_, _ = other.Exec(fmt.Sprintf(end, id)) // some have ended by themselves
		}
		await(t, "the end of the migration", ended)
		err := <-told
		wantIs(t, err, gooseplus.ErrLockLost)
		wantText(t, err, "its database, which this call had created, was left: ")
		wantText(t, err, "call Provision again")
		if !p.hasDatabase(t, name) || *made != 1 {
			t.Fatalf("the database isn't there, or was created %d times", *made)
		}
		if err := p.migrator(from(chain(4))).Provision(ctx, tenant); err != nil || *made != 1 {
			t.Errorf("again: %v, created %d times", err, *made)
		}
	})
}

// hasDatabase says whether the server has a database.
func (p *fleetPlace) hasDatabase(t *testing.T, database string) bool {
	t.Helper()
	if p.dialect == "mysql" {
		return p.has(t, database)
	}
	return column[int](t, p.db, "SELECT count(*) FROM pg_database WHERE datname = '"+database+"'")[0] > 0
}

// ownDatabase is a tenant that has a database of its own.
func (p *fleetPlace) ownDatabase(t *testing.T, name string) (tenant gooseplus.Tenant, made *int) {
	t.Helper()
	made = new(int)
	if t.Name() != "TestProvisionEdgeProcess" {
		t.Cleanup(func() { p.exec(t, "DROP DATABASE IF EXISTS "+name) })
	}
	run := func(ctx context.Context, statement string) error {
		_, err := p.db.ExecContext(ctx, statement)
		return err
	}
	return gooseplus.Tenant{
		Name:   name,
		Open:   func(context.Context) (*sql.DB, error) { return sql.Open(p.driver, otherDatabase(t, p.dsn, name)) },
		Create: func(ctx context.Context) error { *made++; return run(ctx, "CREATE DATABASE "+name) },
		Drop:   func(ctx context.Context) error { return run(ctx, "DROP DATABASE "+name) },
	}, made
}

const provisionEdgeEnv = "GOOSEPLUS_PROVISION_EDGE" // a provisionEdge, in JSON

// provisionEdge is what a process of its own does: it provisions a database, or migrates schemas with a checkpoint.
type provisionEdge struct {
	Driver, Dialect, DSN string

	Database string
	Broken   bool // its last migration waits for the test, and then fails

	Schemas []string // with a checkpoint, in the middle of which the server sleeps
	Fleet   bool     // by MigrateTenants, and not by Provision
}

// TestProvisionEdgeProcess is no test but such a process. It says begin, step in the migration that waits, and done or failed.
func TestProvisionEdgeProcess(t *testing.T) {
	text := os.Getenv(provisionEdgeEnv)
	if text == "" {
		return
	}
	var o provisionEdge
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	p := &fleetPlace{place: &place{target: target{driver: o.Driver, dialect: o.Dialect}, dsn: o.DSN}}
	p.db = p.open(t)
	defer p.db.Close()
	ctx := context.Background()
	say("begin", "")
	var err error
	made := new(int)
	switch {
	case o.Fleet:
		_, err = p.locking(p.db, from(p.sleepingCheckpoint(t, time.Minute)), useCheckpoints).MigrateTenants(ctx, gooseplus.Schemas(o.Schemas...))
	case len(o.Schemas) > 0:
		err = p.locking(p.db, from(p.sleepingCheckpoint(t, time.Minute)), useCheckpoints).Provision(ctx, gooseplus.Tenant{Schema: o.Schemas[0]})
	default:
		var tenant gooseplus.Tenant
		tenant, made = p.ownDatabase(t, o.Database)
		five := gooseplus.WithGoMigrations(goose.NewGoMigration(5, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
			if !o.Broken {
				return nil
			}
			say("step", "")
			_, err := io.Copy(io.Discard, os.Stdin)
			return errors.Join(errors.New("it is broken"), err)
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}))
		err = p.migrator(from(chain(4)), five).Provision(ctx, tenant)
	}
	if err != nil {
		say("failed", err.Error())
		return
	}
	say("done", map[bool]string{true: "made"}[*made > 0])
}

func (p *fleetPlace) edge(t *testing.T, o provisionEdge) *process {
	t.Helper()
	o.Driver, o.Dialect, o.DSN = p.driver, p.dialect, p.dsn
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, provisionEdgeEnv+"="+string(text), os.Args[0], "-test.run=^TestProvisionEdgeProcess$")
}

// TestProvisionDatabaseProcesses: a process fails and drops its database while others wait. One of them makes it again, and
// the others find it ready.
func TestProvisionDatabaseProcesses(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		name := p.names(1)[0]
		tenant, _ := p.ownDatabase(t, name)
		bad := p.edge(t, provisionEdge{Database: name, Broken: true})
		bad.until(t, "step")
		var others []*process
		for range 3 {
			s := p.edge(t, provisionEdge{Database: name})
			s.until(t, "begin")
			others = append(others, s)
		}
		if !p.hasDatabase(t, name) {
			t.Error("the database of the first process is not there while it migrates")
		}
		bad.let(t)
		if said := bad.until(t, "failed", "done"); !strings.Contains(said.more, "the database, which this call had created, was dropped") {
			t.Errorf("the first process said %+v", said)
		}
		made := 0
		for _, s := range others {
			said := s.until(t, "failed", "done")
			if said.what != "done" {
				t.Errorf("a process said %+v", said)
			}
			if said.more == "made" {
				made++
			}
		}
		if made != 1 {
			t.Errorf("%d processes have made the database", made)
		}
		db, err := tenant.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if got := column[int64](t, db, "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY id"); !slices.Equal(got, upTo(5)) {
			t.Errorf("versions %v", got)
		}
	})
}

// sleepingCheckpoint is a checkpoint in the middle of which the server sleeps.
func (p *fleetPlace) sleepingCheckpoint(t *testing.T, pause time.Duration) fstest.MapFS {
	t.Helper()
	fsys := (&place{target: p.target}).withCheckpoint(t, []string{"a", "b", "c"},
		"CREATE TABLE a (id INTEGER);", "CREATE TABLE b (id INTEGER);", p.sleeping(pause)+";", "CREATE TABLE c (id INTEGER);")
	fsys["sql/base/4_d.sql"] = table("d")
	return fsys
}

// TestCheckpointKilled: the process is killed in the middle of a checkpoint. Where DDL has transactions, the next run goes on;
// elsewhere the tenant is dirty, and dropped and made again, or mended as the error says.
func TestCheckpointKilled(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, fleet := range []bool{false, true} {
		name := map[bool]string{false: "Provision", true: "MigrateTenants"}[fleet]
		t.Run(name, func(t *testing.T) {
			onSchemas(t, func(t *testing.T, p *fleetPlace) {
				names := p.names(2)
				if fleet {
					p.create(t, names...)
				} else {
					names = names[:1]
					if p.dialect == "mysql" {
						t.Cleanup(func() { p.exec(t, "DROP SCHEMA IF EXISTS "+p.quote(names[0])) })
					}
				}
				s := p.edge(t, provisionEdge{Schemas: names, Fleet: fleet})
				asleep := "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60%' AND pid <> pg_backend_pid() AND datname = current_database()"
				if p.dialect == "mysql" {
					asleep = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(60%' AND db LIKE '" + p.prefix + "%' AND id <> CONNECTION_ID()"
				}
				eventually(t, "the server is in the middle of the checkpoints", func() bool { return column[int](t, p.db, asleep)[0] == len(names) })
				s.kill()
				m := p.locking(p.db, from(p.sleepingCheckpoint(t, 0)), useCheckpoints)
				again := func() error {
					if !fleet {
						return m.Provision(ctx, gooseplus.Tenant{Schema: names[0]})
					}
					return second(m.MigrateTenants(ctx, gooseplus.Schemas(names...)))
				}
				err := again()
				if p.dialect == "mysql" {
					wantIs(t, err, gooseplus.ErrDirty)
					wantText(t, err, "Force(0) if nothing of the checkpoint is left")
					for i, name := range names {
						if i == 0 && !fleet { // nobody has used it
							p.exec(t, "DROP SCHEMA "+p.quote(name))
							continue
						}
						p.exec(t, "DROP TABLE "+p.quote(name)+".a", "DROP TABLE "+p.quote(name)+".b")
						if err := m.Tenant(gooseplus.Tenant{Schema: name}).Force(ctx, 0); err != nil {
							t.Fatal(err)
						}
					}
					err = again()
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range names {
					p.wantIn(t, name, upTo(4), -1)
					if n := column[int](t, p.db, "SELECT count(*) FROM information_schema.tables WHERE table_schema = '"+name+"' AND table_name IN ('a', 'b', 'c', 'd')")[0]; n != 4 {
						t.Errorf("%s has %d of 4 tables", name, n)
					}
				}
				if n := column[int](t, p.db, asleep)[0]; n != 0 {
					t.Errorf("the server still executes %d statements of the killed process", n)
				}
			})
		})
	}
}
