package dbtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes TestChild start a server of that kind and wait to be killed.
const childEnv = "GOOSEPLUS_DBTEST_CHILD"

func TestChild(t *testing.T) {
	kind, ok := kinds[os.Getenv(childEnv)]
	if !ok {
		t.Skip("runs only as the child of TestServerDiesWithItsProcess")
	}
	if signal.Ignored(os.Interrupt) { // as in whatever a script runs in the background
		interrupts := make(chan os.Signal, 1)
		signal.Notify(interrupts, os.Interrupt)
		go func() {
			<-interrupts
			os.Exit(2)
		}()
	}
	s := kind.server(t)
	fmt.Printf("%s%s %v\n", childReady, s.endpoint.admin, s)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent kills this process
}

const childReady = "server at "

func TestServerDiesWithItsProcess(t *testing.T) {
	for name, kind := range kinds {
		for _, way := range []string{"local", "docker"} {
			for _, sig := range []os.Signal{syscall.SIGKILL, syscall.SIGTERM, os.Interrupt} {
				if kind.engine != postgres && sig != syscall.SIGKILL {
					continue // the pipe is closed in the same way, and a start takes its time
				}
				t.Run(fmt.Sprintf("%s, %s, %v", name, way, sig), func(t *testing.T) {
					if way == "local" {
						needLocal(t, kind.engine)
					} else {
						testImage(t, kind.engine)
					}
					temp := t.TempDir()
					openToAll(t, temp)
					dsn, server := startAndKill(t, sig, childEnv+"="+name, serversEnv+"="+way, "TMPDIR="+temp)
					ep, err := kind.engine.parse(dsn)
					if err != nil {
						t.Fatal(err)
					}
					eventually(t, "the server answers", func() bool {
						return kind.engine.ping(t.Context(), ep) == nil
					})
					eventually(t, "the container is there", func() bool {
						return way == "docker" && containerExists(t, server)
					})
					eventually(t, "files are left", func() bool {
						left, err := filepath.Glob(filepath.Join(temp, "*"))
						return err != nil || len(left) > 0
					})
				})
			}
		}
	}
}

// startAndKill runs TestChild in a process of its own, sends it the signal as soon as its server answers, and returns
// the server's DSN and description.
func startAndKill(t *testing.T, sig os.Signal, env ...string) (dsn, server string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(withoutShared(os.Environ()), env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var output string
	for lines := bufio.NewScanner(stdout); dsn == "" && lines.Scan(); {
		output += lines.Text() + "\n"
		if _, after, ok := strings.Cut(lines.Text(), childReady); ok {
			dsn, server, _ = strings.Cut(after, " ")
		}
	}
	if dsn == "" {
		t.Fatalf("the child started no server: %v\n%s", cmd.Wait(), output)
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended as if nothing had happened")
	}
	return dsn, server
}

// withoutShared makes a process that has these variables start servers of its own.
func withoutShared(env []string) []string {
	return append(env, postgres.sharedEnv()+"=", mariadb.sharedEnv()+"=")
}

// eventually fails the test if the state does not go away.
func eventually(t *testing.T, state string, holds func() bool) {
	t.Helper()
	const limit = 20 * time.Second
	for deadline := time.Now().Add(limit); holds(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			t.Fatalf("%s after %v", state, limit)
		}
	}
}
