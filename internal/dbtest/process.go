package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
)

// process holds the servers of this test process. It is the package's only mutable state: a server is worth sharing
// by all tests, and a test has no other way to hand it to the next one.
var process registry

type registry struct {
	mu      sync.Mutex // held while a server starts, so that others wait for it
	managed bool       // Main was called, or nobody is to call it
	shared  bool       // servers may be those that Serve started, which other processes use too
	// unwatched says that stop may never be called, so that a skip has to be told at once.
	unwatched bool
	servers   map[*engine]*outcome
}

// An outcome is what the search for a server came to; a failed one is not repeated by each test.
type outcome struct {
	server  Server
	err     error
	skipped int
}

func (r *registry) ready(shared bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.managed, r.unwatched, r.shared = true, false, shared
	r.servers = make(map[*engine]*outcome)
}

func (r *registry) unattended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.managed {
		r.managed, r.unwatched, r.servers = true, true, make(map[*engine]*outcome)
	}
}

func (r *registry) server(t testing.TB, e *engine) Server {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.managed {
		t.Fatal("dbtest: TestMain of this package must call dbtest.Main, which stops the servers")
	}
	o := r.servers[e]
	if o == nil {
		o = new(outcome)
		if dsn := os.Getenv(e.sharedEnv()); dsn != "" && r.shared && os.Getenv(e.dsnEnv) == "" {
			o.server, o.err = served(context.Background(), e, dsn)
		} else {
			o.server, o.err = find(context.Background(), e, os.Getenv, t.Logf)
		}
		if o.err == nil && e.costly {
			o.server.kept = new(kept)
		}
		r.servers[e] = o
	}
	switch {
	case o.err == nil:
		return o.server
	case mustFail(o.err, os.Getenv(requireEnv)):
		t.Fatal(o.err)
	default:
		o.skipped++
		if r.unwatched && o.skipped == 1 {
			if err := reportSkips(o, "tests"); err != nil {
				t.Error(err)
			}
		}
		t.Skip(o.err)
	}
	panic("not reached")
}

// stop ends all servers, at once since each may take a moment, and reports the skipped tests.
func (r *registry) stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, o := range r.servers {
		if o.err != nil {
			errs = append(errs, reportSkips(o, strconv.Itoa(o.skipped)))
			continue
		}
		wg.Go(func() {
			o.server.kept.end()
			if err := o.server.stop(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("stop %v: %w", o.server, err))
			}
		})
	}
	wg.Wait()
	r.servers = make(map[*engine]*outcome)
	return errors.Join(errs...)
}

// reportSkips appends to the file that the caller of `go test` prints in the end.
func reportSkips(o *outcome, how string) error {
	path := os.Getenv("GOOSEPLUS_TEST_SKIPS")
	if path == "" || o.skipped == 0 {
		return nil
	}
	name := os.Args[0]
	if info, ok := debug.ReadBuildInfo(); ok && info.Path != "" {
		name = info.Path
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "SKIPPED %s in %s: %v\n", how, name, o.err)
	return errors.Join(err, f.Close())
}
