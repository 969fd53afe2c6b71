package fleet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus/fleet"
)

const page = "../docs/fleet.md"

var block = regexp.MustCompile("(?s)```(go skip=another-module|json)\n(.*?)```")

// TestManual compiles the Go of the manual's page, and reads its plans. The root module can't: it doesn't have this one.
func TestManual(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	source.WriteString(`package snippets

import (
	"context"
	"database/sql"
	"iter"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/fleet/fleetcli"
)

var _ = log.Print
var _ = signal.NotifyContext
var _ = syscall.SIGTERM
var _ = time.Second
var _ = fleetcli.Command
var openEU1, openEU2 func(context.Context, string) (*sql.DB, error)
var openFleet func(context.Context) (*fleet.Fleet, func(), error)
var tenants func(context.Context) iter.Seq2[fleet.Tenant, error]
var customers []struct{ ID, Server, Schema string }
var root *cobra.Command
`)
	blocks, plans := 0, 0
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		if m[1] == "json" {
			var p fleet.Plan
			if err := json.Unmarshal([]byte(m[2]), &p); err != nil || p.Name == "" || len(p.Waves) == 0 {
				t.Errorf("%v, %+v: %s", err, p, m[2])
			}
			plans++
			continue
		}
		blocks++
		parameters := "ctx context.Context, control *sql.DB, migrator *gooseplus.Migrator"
		if !strings.Contains(m[2], "f, err :=") {
			parameters += ", f *fleet.Fleet"
		}
		tail := "return nil"
		if strings.HasSuffix(m[2], "return f.Work(ctx)\n") {
			tail = ""
		}
		fmt.Fprintf(&source, "func _(%s) error {\n%s\n%s\n}\n", parameters, m[2], tail)
	}
	if blocks < 5 || plans < 1 {
		t.Fatalf("%d blocks of Go and %d plans", blocks, plans)
	}
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "snippets.go"), filepath.Join(dir, "overlay.json")
	place, err := filepath.Abs("internal/snippets/snippets.go")
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{place: file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{file: source.String(), overlay: string(list)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-overlay", overlay, "./internal/snippets").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
