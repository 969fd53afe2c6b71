package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

const processEnv = "GOOSEPLUS_PROCESS" // an order, in JSON

// order is what a process of its own does: it boots with the lock, on a set of migrations.
type order struct {
	Set, Driver, Dialect, DSN string
}

// processSets are the migrations that a process can be told to boot with.
var processSets = map[string]func(*place) fstest.MapFS{
	"chain":   func(*place) fstest.MapFS { return chain(20) },
	"steps":   func(p *place) fstest.MapFS { return p.victimFiles(20, 20*time.Millisecond) },
	"bouncer": func(*place) fstest.MapFS { return bouncerFiles() },
	"stuck":   func(*place) fstest.MapFS { return nextContexts(nil) },
	"next":    func(*place) fstest.MapFS { return nextContexts(nil) },
	"in one":  func(*place) fstest.MapFS { return nextInOne() },
	"others":  (*place).othersFiles,
}

// processOptions are what a set needs besides.
var processOptions = map[string][]gooseplus.Option{
	"stuck":  {inContexts, stuckInIdentity()},
	"next":   {inContexts},
	"in one": {inContexts, stuckInIdentity(), inOne},
}

// TestProcess is no test but such a process. It says what happens, each with the time: ready, and when its input is
// closed it goes on; waiting, holds, step with a version, after its namespace, when that is applied; done or failed.
func TestProcess(t *testing.T) {
	text := os.Getenv(processEnv)
	if text == "" {
		return
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	p := &place{target: target{driver: o.Driver, dialect: o.Dialect, transactionalDDL: o.Dialect == "postgres"}, dsn: o.DSN}
	db := p.open(t)
	defer db.Close()
	m := p.locking(db, append(processOptions[o.Set], from(processSets[o.Set](p)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		switch e := e.(type) {
		case gooseplus.LockWaiting:
			say("waiting", "")
		case gooseplus.RunStarted:
			say("holds", "")
		case gooseplus.MigrationFinished:
			say("step", strings.TrimSpace(e.Namespace+" "+strconv.FormatInt(e.Step.Version, 10)))
		}
	}))...)
	say("ready", "")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
	if err := m.Migrate(context.Background()); err != nil {
		say("failed", err.Error())
		t.FailNow()
	}
	say("done", "")
}

func say(what, more string) {
	fmt.Println("process", what, time.Now().UnixNano(), strings.ReplaceAll(more, "\n", " "))
}

// process is one that this process has started.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	said  chan remark // closed when its output ends
	heard chan struct{}
}

// remark is a line that a process has said.
type remark struct {
	what, more string
	at         time.Time
}

// start starts a process, which waits for go.
func (p *place) start(t *testing.T, set, dsn string) *process {
	t.Helper()
	text, err := json.Marshal(order{Set: set, Driver: p.driver, Dialect: p.dialect, DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, processEnv+"="+string(text), os.Args[0], "-test.run=^TestProcess$")
}

func startProcess(t *testing.T, env string, command ...string) *process {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &process{cmd: cmd, stdin: stdin, heard: make(chan struct{}),
		said: make(chan remark, 100)} // more than it ever says
	go s.listen(stdout)
	t.Cleanup(s.kill)
	return s
}

func (s *process) listen(stdout io.Reader) {
	defer close(s.heard)
	defer close(s.said)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		word := strings.SplitN(lines.Text(), " ", 4)
		if len(word) != 4 || word[0] != "process" {
			continue // of the testing package
		}
		ns, err := strconv.ParseInt(word[2], 10, 64)
		if err != nil {
			continue
		}
		s.said <- remark{what: word[1], more: word[3], at: time.Unix(0, ns)}
	}
}

// let lets it boot.
func (s *process) let(t *testing.T) {
	t.Helper()
	if err := s.stdin.Close(); err != nil {
		t.Error(err)
	}
}

// until waits for one of the remarks, each "what" or "what more".
func (s *process) until(t *testing.T, wanted ...string) remark {
	t.Helper()
	limit := time.After(patience)
	var said []string
	for {
		select {
		case r, alive := <-s.said:
			if !alive {
				t.Fatalf("the process ended without saying %q; what it said is %q", wanted, said)
			}
			said = append(said, strings.TrimSpace(r.what+" "+r.more))
			for _, w := range wanted {
				if w == r.what || w == r.what+" "+r.more {
					return r
				}
			}
		case <-limit:
			t.Fatalf("the process did not say %q within %v", wanted, patience)
		}
	}
}

// kill sends SIGKILL, if the process is still there, and waits for its end. Its output can still be read.
func (s *process) kill() {
	_ = s.cmd.Process.Kill()
	<-s.heard // Wait closes the pipe
	_ = s.cmd.Wait()
}
