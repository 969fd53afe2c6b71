package dbtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestChromiumIsTheOneInThePath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	path := filepath.Join(dir, "chromium")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := Chromium(t); got != path {
		t.Errorf("got %s", got)
	}
}

// verdict is a test that is skipped or fails.
type verdict struct {
	testing.TB
	text string
}

func (v *verdict) Helper() {}
func (v *verdict) Skipf(format string, a ...any) {
	v.text = "skipped: " + fmt.Sprintf(format, a...)
	runtime.Goexit()
}
func (v *verdict) Fatalf(format string, a ...any) {
	v.text = "failed: " + fmt.Sprintf(format, a...)
	runtime.Goexit()
}

func TestChromiumThatIsNotInstalledIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for require, want := range map[string]string{"": "skipped: dbtest: no Chromium: ", "1": "failed: dbtest: no Chromium: "} {
		t.Setenv(requireEnv, require)
		v := &verdict{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Chromium(v)
		}()
		<-done
		if !strings.HasPrefix(v.text, want) || !strings.Contains(v.text, "Install the package chromium") {
			t.Errorf("%s=%q: %s", requireEnv, require, v.text)
		}
	}
	process.mu.Lock()
	defer process.mu.Unlock()
	if o := process.servers[chromium]; o == nil || o.skipped != 1 {
		t.Errorf("the skip is counted as %+v", o)
	}
	delete(process.servers, chromium) // it is not a test of this process that was skipped
}
