package gooseplustest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const serverEnv = "GOOSEPLUSTEST_SERVER"

// engineWithoutRegistry is a program docker whose engine answers, has no image, and reaches no registry. The tests of
// internal/dbtest ask a real engine for such an image.
const engineWithoutRegistry = `#!/bin/sh
case $1 in
version) echo 28.0.0 ;;
pull) echo "dial tcp 127.0.0.1:1: connect: connection refused" >&2; exit 1 ;;
*) echo "no such image" >&2; exit 1 ;;
esac
`

// A test that gets no server is skipped with the reason, and fails where servers are required.
func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	registry := t.TempDir()
	if err := os.WriteFile(filepath.Join(registry, "docker"), []byte(engineWithoutRegistry), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ env, want string }{
		"no docker engine":        {"DOCKER_HOST=unix://" + filepath.Join(t.TempDir(), "none.sock"), "no docker engine answers: "},
		"no program docker":       {"PATH=" + t.TempDir(), "no program docker in PATH"},
		"an unreachable registry": {"PATH=" + registry, "can't be pulled: docker pull --quiet: dial tcp 127.0.0.1:1"},
	} {
		for required, verdict := range map[string]string{"": "--- SKIP: TestOneServer", "1": "--- FAIL: TestOneServer"} {
			t.Run(name+map[string]string{"1": ", servers are required"}[required], func(t *testing.T) {
				t.Parallel()
				skips := filepath.Join(t.TempDir(), "skips")
				cmd := exec.Command(os.Args[0], "-test.run=^TestOneServer$", "-test.v")
				cmd.Env = append(os.Environ(), serverEnv+"=1", postgresEnv+"=", "GOOSEPLUS_TEST_SERVERS=docker",
					"GOOSEPLUS_REQUIRE_SERVERS="+required, "GOOSEPLUS_TEST_SKIPS="+skips, c.env)
				out, _ := cmd.CombinedOutput() // the verdict says more than the status
				if text := string(out); !strings.Contains(text, verdict) || !strings.Contains(text, c.want) {
					t.Errorf("want %s and %q:\n%s", verdict, c.want, out)
				}
				if told, _ := os.ReadFile(skips); strings.Contains(string(told), c.want) == (required == "1") {
					t.Errorf("the list of skipped tests has %q", told)
				}
			})
		}
	}
}

func TestOneServer(t *testing.T) {
	if os.Getenv(serverEnv) == "" {
		t.Skip("runs only as a child of TestServerThatIsNotThere")
	}
	Server(t)
}
