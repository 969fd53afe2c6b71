package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// OwnServer is a server that only one test uses. The test may cut its power or restart it. Committed data survives both.
type OwnServer struct {
	Server
	w *watched
}

// OwnPostgres starts a PostgreSQL for this test alone. It ends with the test. Where the program is not installed, the
// test is skipped or fails, as without a server. With anywhere it listens on all addresses of the machine, and not on
// 127.0.0.1 alone.
func OwnPostgres(t testing.TB, anywhere bool) *OwnServer {
	t.Helper()
	return own(t, postgres, anywhere)
}

// OwnMySQL is OwnPostgres for MariaDB, with more arguments of the server.
func OwnMySQL(t testing.TB, anywhere bool, args ...string) *OwnServer {
	t.Helper()
	return own(t, mariadb, anywhere, args...)
}

// local are the kinds as they are reported to be missing: those of another way, which others use, may be there.
var local = map[*engine]*engine{
	postgres: {name: "installed PostgreSQL", installed: postgres.installed},
	mariadb:  {name: "installed MariaDB", installed: mariadb.installed},
}

func own(t testing.TB, kind *engine, anywhere bool, args ...string) *OwnServer {
	t.Helper()
	bin, err := kind.local.locate()
	if err != nil {
		process.missing(t, local[kind], err)
	}
	e := *kind
	serve := strings.Join(append([]string{e.local.serve, e.local.durable}, args...), " ")
	if anywhere {
		serve += " " + e.local.anywhere
	}
	e.local.serve = fmt.Sprintf(again, e.local.own, serve)
	const attempts = 5
	for attempt := 1; ; attempt++ {
		s, w, err := e.startOn(t.Context(), bin, freePort)
		if errors.Is(err, errPortTaken) && attempt < attempts {
			continue
		}
		if err != nil {
			t.Fatalf("dbtest: %v", err)
		}
		t.Cleanup(func() {
			if err := s.stop(); err != nil {
				t.Errorf("stop %v: %v", s, err)
			}
		})
		return &OwnServer{s, w}
	}
}

// again is a shell command that becomes the server, and after its end once more as soon as somebody removes the file
// down, until the watchdog ends it.
const again = `%s
SERVE='%s'
export SERVE
until [ -e over ]; do
	sh -c 'echo $$ >pid; eval "$SERVE"'
	rm -f pid
	: >down
	while [ -e down ] && [ ! -e over ]; do sleep 0.02; done
done`

// PowerOff ends all processes of the server with SIGKILL, in the middle of whatever they do.
func (s *OwnServer) PowerOff(t testing.TB) {
	t.Helper()
	pid := s.pid(t)
	for _, p := range append([]int{pid}, children(pid)...) {
		if process, err := os.FindProcess(p); err == nil {
			_ = process.Kill() // it may have ended by itself
		}
	}
	s.awaitDown(t)
}

// ShutDown ends the server in the orderly way in which an administrator restarts it, which doesn't wait for clients.
func (s *OwnServer) ShutDown(t testing.TB) {
	t.Helper()
	process, err := os.FindProcess(s.pid(t))
	if err == nil {
		err = process.Signal(s.engine.local.shutDown)
	}
	if err != nil {
		t.Fatalf("shut down %v: %v", s, err)
	}
	s.awaitDown(t)
}

func (s *OwnServer) pid(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.w.dir, "pid"))
	if err != nil {
		t.Fatalf("%v: %v", s, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("%v: %v", s, err)
	}
	return pid
}

// children are the processes that a process has started, on Linux. Elsewhere they are left to find out that it is gone.
func children(parent int) (list []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				list = append(list, pid)
			}
		}
	}
	return list
}

func (s *OwnServer) awaitDown(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); !s.w.has("down"); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			t.Fatalf("%v has not ended within %v", s, startTimeout)
		}
	}
}

// Start starts the server after PowerOff or ShutDown, and returns when it answers.
func (s *OwnServer) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for {
		if err := os.Remove(filepath.Join(s.w.dir, "down")); err != nil {
			t.Fatal(err)
		}
		err := s.engine.await(ctx, s.endpoint, s.w.exited)
		if err == nil {
			return
		}
		if ctx.Err() != nil || !s.w.has("down") { // otherwise a process of the one before may still have been there
			t.Fatalf("start %v: %v", s, hide(err, s.endpoint.password))
		}
	}
}
