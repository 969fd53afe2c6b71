package gooseplustest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTenPackages has `go test ./...` test ten packages of another module at once: half of them have the same migrations,
// the others their own, which begin with the same file. GOOSEPLUS_CHAOS=1 has the race detector, and five times all.
func TestTenPackages(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	_, requirements, _ := strings.Cut(read("go.mod"), "\n")
	write("go.mod", "module example.com/ten\n"+requirements+"\nrequire github.com/gooseplus/gooseplus v0.0.0\nreplace github.com/gooseplus/gooseplus => "+root+"\n")
	write("go.sum", read("go.sum"))
	for i := range 10 {
		name, set := fmt.Sprintf("p%d", i), i
		if i < 5 {
			set = 0
		}
		for file, migration := range map[string]string{
			"base/1_init.sql": fmt.Sprintf("CREATE TABLE of_%d (id INTEGER PRIMARY KEY);", set), "base/2_more.sql": fmt.Sprintf("CREATE TABLE more_%d (id INTEGER);", set),
			"test/3_seed.sql": fmt.Sprintf("INSERT INTO of_%d VALUES (1);", set),
		} {
			write(filepath.Join(name, "sql", file), "-- +goose Up\n"+migration+"\n-- +goose Down\nSELECT 1;\n")
		}
		main := ""
		if i%2 == 0 {
			main = "func TestMain(m *testing.M) { os.Exit(gooseplustest.Run(m)) }"
		}
		write(filepath.Join(name, "a_test.go"), fmt.Sprintf(`package a

import (
	"embed"
	"fmt"
	"os"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/gooseplustest"
)

//go:embed sql
var files embed.FS

var _ = os.Exit

%s

func TestAll(t *testing.T) {
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := gooseplustest.Postgres(t, "", gooseplus.WithFS(files))
			var n int
			if err := db.QueryRow("SELECT count(*) FROM of_%d").Scan(&n); err != nil || n != 1 {
				t.Errorf("%%d rows, error %%v", n, err)
			}
			if _, err := db.Exec("INSERT INTO of_%d VALUES (2)"); err != nil {
				t.Error(err)
			}
		})
	}
}
`, main, set, set))
	}
	dsn, before := Server(t), ours(t, kindTemplate)
	args := []string{"test", "-shuffle=on", "-count=2", "-p=10", "./..."}
	if os.Getenv("GOOSEPLUS_CHAOS") != "" {
		args = []string{"test", "-shuffle=on", "-count=5", "-race", "-p=10", "./..."}
	}
	test := func() []string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "GOWORK=off", postgresEnv+"="+dsn)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Count(string(out), "ok  \texample.com/ten/") != 10 {
			t.Fatalf("%v\n%s", err, out)
		}
		// With their numbers, which another one of the same name would not have.
		all := texts(t, admin(t), `SELECT datname || ' ' || oid FROM pg_database WHERE datname LIKE 'gpt\_%' ORDER BY 1`)
		return slices.DeleteFunc(all, func(n string) bool {
			name, _, _ := strings.Cut(n, " ")
			return splitName(name)[2] != kindTemplate || slices.Contains(before, name)
		})
	}
	first := test()
	if len(first) != 6 {
		t.Errorf("the templates are %v, want 6", first)
	}
	if second := test(); !slices.Equal(first, second) {
		t.Errorf("templates were made again: %v, then %v", first, second)
	}
	if left := ownerless(t, kindClone); len(left) > 0 {
		t.Errorf("databases are left: %v", left)
	}
}
