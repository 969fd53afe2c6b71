package dbtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/ory/dockertest/v3"
)

// keeperEnv makes a test binary the watchdog of the container that it names.
const keeperEnv = "GOOSEPLUS_DBTEST_KEEPER"

// A process with that variable is not a test run: it must not get as far as the tests, whether or not their TestMain
// calls Main.
func init() {
	if container := os.Getenv(keeperEnv); container != "" {
		os.Exit(keep(container, os.Stdin))
	}
}

// A keeper is the watchdog of a container: a second process of this test binary that removes the container when its
// standard input is closed, by stop or by the end of this process. It is started before the container, so that there
// is no moment at which the container has no watchdog.
type keeper struct {
	cmd  *exec.Cmd
	pipe *os.File
}

func startKeeper(container string) (*keeper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), keeperEnv+"="+container)
	newSession(cmd)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	// Standard output stays /dev/null: `go test` waits until nobody holds its own any more.
	cmd.Stdin = read
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &keeper{cmd: cmd, pipe: write}, nil
}

// running tells the keeper that the container exists.
func (k *keeper) running() error {
	_, err := fmt.Fprintln(k.pipe, "running")
	return err
}

// stop has the container removed and waits for it.
func (k *keeper) stop() error {
	return errors.Join(k.pipe.Close(), k.cmd.Wait())
}

// removeLimit bounds the search for a container that was being created when the test process died.
const removeLimit = 5 * time.Second

// keep is the life of a keeper process. It returns the process's status. There is no limit in the engine itself besides:
// dockertest's Expire sends the signal to stop at once, which a server obeys if it comes after its start.
func keep(container string, in io.Reader) int {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return 1
	}
	r := bufio.NewReader(in)
	if _, err := r.ReadString('\n'); err == nil {
		_, _ = io.Copy(io.Discard, r)
	}
	for deadline := time.Now().Add(removeLimit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if res, ok := pool.ContainerByName("^/" + container + "$"); ok && pool.Purge(res) == nil {
			return 0
		}
	}
	return 1
}
