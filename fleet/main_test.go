package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// workerEnv has the test binary be a worker instead of testing.
const workerEnv = "GOOSEPLUS_FLEET_TEST_WORKER"

func TestMain(m *testing.M) {
	if setup := os.Getenv(workerEnv); setup != "" {
		if err := beWorker(setup); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dbtest.Main(m)
}

// setup is all that a worker's process has to know.
type setup struct {
	Control string
	Servers map[string]string // DSNs by name
	Lanes   int               // of each server
	Worker  int               // lanes of the worker
	Files   map[string]string
	Verbose bool
	Stub    bool          // nothing is migrated
	Lease   time.Duration // of a slot; 0 is the usual one
}

func (s setup) fleet(control *testDB) (*fleet.Fleet, error) {
	m := s.migrator()
	opts := []fleet.Option{fleet.WithLease(s.Lease)}
	if s.Stub {
		opts = append(opts, fleet.WithStub())
	}
	var servers []fleet.Server
	for name, dsn := range s.Servers {
		servers = append(servers, fleet.Server{Name: name, Lanes: s.Lanes, Open: opener(dsn)})
	}
	level := slog.Level(100)
	if s.Verbose {
		level = slog.LevelError
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	opts = append(opts, fleet.WithWorkerLanes(max(1, s.Worker)), fleet.WithLogger(logger))
	return fleet.New(control.DB, m, servers, opts...)
}

func (s setup) migrator() *gooseplus.Migrator {
	files := fstest.MapFS{}
	for name, text := range s.Files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return gooseplus.New(nil, gooseplus.WithFS(files), gooseplus.WithBasePath("sql"), gooseplus.SetEnvironments(nil))
}

func beWorker(text string) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() { // it ends with the test, whatever happens to that
		for os.Getppid() != 1 {
			time.Sleep(time.Second)
		}
		os.Exit(1)
	}()
	control, err := openDB(s.Control)
	if err != nil {
		return err
	}
	defer control.Close()
	f, err := s.fleet(control)
	if err != nil {
		return err
	}
	return f.Work(ctx)
}
