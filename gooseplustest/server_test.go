package gooseplustest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const serverEnv = "GOOSEPLUSTEST_SERVER"

// A test that gets no server is skipped with the reason, and fails where servers are required.
func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	none := "DOCKER_HOST=unix://" + filepath.Join(t.TempDir(), "none.sock")
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"no docker engine":          {[]string{none, "GOOSEPLUS_TEST_SERVERS=docker"}, "no docker engine answers: "},
		"no program docker":         {[]string{"PATH=" + t.TempDir(), "GOOSEPLUS_TEST_SERVERS=docker"}, "no program docker in PATH"},
		"an unreachable registry":   {[]string{"GOOSEPLUS_TEST_SERVERS=docker", "GOOSEPLUS_TEST_POSTGRES_IMAGE=127.0.0.1:1/none:1"}, "can't be pulled: "},
		"a server that is required": {[]string{none, "GOOSEPLUS_TEST_SERVERS=docker", "GOOSEPLUS_REQUIRE_SERVERS=1"}, "no docker engine answers: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "an unreachable registry" && exec.Command("docker", "version").Run() != nil {
				t.Skip("no docker engine answers")
			}
			verdict := "--- SKIP: TestOneServer"
			if name == "a server that is required" {
				verdict = "--- FAIL: TestOneServer"
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestOneServer$", "-test.v")
			cmd.Env = append(os.Environ(), serverEnv+"=1", postgresEnv+"=", "GOOSEPLUS_REQUIRE_SERVERS=", "GOOSEPLUS_TEST_SERVERS=", "GOOSEPLUS_TEST_SKIPS=")
			cmd.Env = append(cmd.Env, c.env...)
			out, _ := cmd.CombinedOutput() // the verdict says more than the status
			if text := string(out); !strings.Contains(text, verdict) || !strings.Contains(text, c.want) {
				t.Errorf("want %s and %q:\n%s", verdict, c.want, out)
			}
		})
	}
}

func TestOneServer(t *testing.T) {
	if os.Getenv(serverEnv) == "" {
		t.Skip("runs only as a child of TestServerThatIsNotThere")
	}
	Server(t)
}
