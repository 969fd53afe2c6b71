package dbtest

import (
	"os/exec"
	"testing"
)

// Chromium returns the path of the browser of that name, for tests of what people look at. Where it is not installed,
// the test is skipped or fails, as without a server.
func Chromium(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath(chromium.local.binary)
	if err != nil {
		process.missing(t, chromium, err)
	}
	return path
}

var chromium = &engine{name: "Chromium", installed: "chromium", local: program{binary: "chromium"}}
