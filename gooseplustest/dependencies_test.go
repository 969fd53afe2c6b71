package gooseplustest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A project that tests with the kit gets the drivers, and nothing that starts servers.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Module.Path}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"github.com/gooseplus/gooseplus",
		"github.com/pressly/goose/v3", "github.com/mfridman/interpolate", "github.com/sethvargo/go-retry", "golang.org/x/sync", // goose
		"go.uber.org/zap", "go.uber.org/multierr", // zap
		"github.com/gofrs/flock", "golang.org/x/sys", // flock
		"github.com/lib/pq", "github.com/go-sql-driver/mysql", "filippo.io/edwards25519", // the drivers of PostgreSQL and MySQL
		"modernc.org/sqlite", "modernc.org/libc", "modernc.org/mathutil", "modernc.org/memory", // the driver of SQLite
		"github.com/dustin/go-humanize", "github.com/google/uuid", "github.com/mattn/go-isatty", "github.com/ncruces/go-strftime",
		"github.com/remyoudompheng/bigfft",
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	for _, module := range slices.Compact(modules) {
		if !slices.Contains(allowed, module) {
			t.Errorf("the package needs the module %s", module)
		}
	}
}

// `go mod tidy` also reads the tests of imported packages, so the modules that these tests need are in the go.sum of every user.
func TestDockerIsNoDependencyOfAnyTest(t *testing.T) {
	requirements, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(requirements)) {
		if strings.Contains(line, "docker") || strings.Contains(line, "containerd") || strings.Contains(line, "opencontainers") {
			t.Errorf("go.mod requires %s", strings.TrimSpace(line))
		}
	}
}
