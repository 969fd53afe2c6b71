package fleet_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

type testDB struct{ *sql.DB }

func openDB(dsn string) (*testDB, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(20)
	return &testDB{db}, nil
}

func opener(dsn string) func(context.Context, string) (*sql.DB, error) {
	return func(_ context.Context, database string) (*sql.DB, error) {
		if database != "" {
			return nil, fmt.Errorf("there is no database %q", database)
		}
		db, err := openDB(dsn)
		if err != nil {
			return nil, err
		}
		return db.DB, nil
	}
}

// stage is a control database and the servers of a fleet.
type stage struct {
	*fleet.Fleet
	t         testing.TB
	setup     setup
	control   *testDB
	databases map[string]*testDB
	passwords []string
	processes []*exec.Cmd
}

// marker is a migration that shows how often it ran.
func marker(version int) string {
	return fmt.Sprintf("-- +goose Up\nINSERT INTO marker VALUES (%d);\n-- +goose Down\nDELETE FROM marker WHERE version = %d;\n", version, version)
}

var first = map[string]string{
	"sql/00001_first.sql":  "-- +goose Up\nCREATE TABLE marker (version bigint);\nINSERT INTO marker VALUES (1);\n-- +goose Down\nDROP TABLE marker;\n",
	"sql/00002_second.sql": marker(2),
}

// newStage makes two servers, with so many schemas each.
func newStage(t testing.TB, lanes, schemas int, files map[string]string) *stage {
	t.Helper()
	a, b := dbtest.Postgres(t).NewDatabase(t), dbtest.Postgres(t).NewDatabase(t)
	return newStageOn(t, dbtest.Postgres(t).NewDatabase(t), map[string]dbtest.Database{"a": a, "b": b}, lanes, schemas, files)
}

func newStageOn(t testing.TB, c dbtest.Database, servers map[string]dbtest.Database, lanes, schemas int, files map[string]string) *stage {
	t.Helper()
	s := &stage{t: t, setup: setup{Control: c.DSN, Servers: map[string]string{}, Lanes: lanes, Worker: 16, Files: files}, databases: map[string]*testDB{}}
	s.passwords = append(s.passwords, c.Password)
	s.control = s.open(c.DSN)
	for name, d := range servers {
		s.setup.Servers[name] = d.DSN
		s.databases[name] = s.open(d.DSN)
		s.passwords = append(s.passwords, d.Password)
		createSchemas(t, s.databases[name].DB, name, schemas)
	}
	s.remake()
	ctx := t.Context()
	if err := s.MigrateControl(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sync(ctx, s.source(schemas)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) open(dsn string) *testDB {
	s.t.Helper()
	db, err := openDB(dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { db.Close() })
	return db
}

// remake makes the Fleet anew, after a change of the setup.
func (s *stage) remake() {
	s.t.Helper()
	f, err := s.setup.fleet(s.control)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Fleet = f
}

func createSchemas(t testing.TB, db *sql.DB, server string, n int) {
	t.Helper()
	const batch = 500
	for from := 0; from < n; from += batch {
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE format('CREATE SCHEMA %%I', '%s_' || i); END LOOP; END $$`,
			from, min(n, from+batch)-1, server)); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *stage) source(n int) iter.Seq2[fleet.Tenant, error] {
	return func(yield func(fleet.Tenant, error) bool) {
		for name := range s.setup.Servers {
			for i := range n {
				id := fmt.Sprintf("%s_%d", name, i)
				if !yield(fleet.Tenant{ID: id, Server: name, Schema: id}, nil) {
					return
				}
			}
		}
	}
}

// work runs workers in this process until stop is called, or the test ends.
func (s *stage) work(n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			if err := s.Work(ctx); err != nil {
				s.t.Error(err)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		workers.Wait()
	})
	s.t.Cleanup(stop)
	return stop
}

// process is a worker of its own process.
func (s *stage) process() *exec.Cmd {
	s.t.Helper()
	text, err := json.Marshal(s.setup)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	cmd.Stderr, cmd.Stdout = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.processes = append(s.processes, cmd)
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// stopAll has all processes of workers end well.
func stopAll(s *stage) {
	s.t.Helper()
	for _, cmd := range s.processes {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, cmd := range s.processes {
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("a worker that was told to end: %v", err)
		}
	}
	s.processes = nil
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

func (s *stage) start(p fleet.Plan) {
	s.t.Helper()
	if err := s.Start(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) wait(name string, limit time.Duration, want fleet.RolloutState) fleet.Progress {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	p, err := s.Wait(ctx, name)
	if err != nil {
		s.t.Fatalf("%v: %+v", err, p)
	}
	for f, err := range s.Failed(ctx, name) {
		s.t.Logf("failed: %+v, %v", f, err)
	}
	if p.State != want {
		s.t.Fatalf("rollout is %s (%s), want %s: %+v", p.State, p.Reason, want, p)
	}
	return p
}

// until waits until a query of the control database returns true.
func (s *stage) until(limit time.Duration, query string, args ...any) time.Time {
	s.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		var ok bool
		if err := s.control.QueryRowContext(s.t.Context(), query, args...).Scan(&ok); err == nil && ok {
			return time.Now()
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s %v", limit, query, args)
		}
	}
}

func (s *stage) number(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.control.QueryRowContext(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}
