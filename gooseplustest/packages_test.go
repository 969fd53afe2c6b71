package gooseplustest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// packagesAtOnce is how many packages TestTenPackages has. The first half of them has the same migrations, the others have
// their own, which begin with a file of the same name. Every other package calls Run.
const packagesAtOnce = 10

func setOf(i int) int {
	if i < packagesAtOnce/2 {
		return 0
	}
	return i
}

const packageSets = 1 + packagesAtOnce/2

// packageSet are the migrations of a package, by their paths. The run makes them others than those of an earlier run.
func packageSet(set int, run string) map[string]string {
	const down = "\n-- +goose Down\nSELECT 1;\n"
	return map[string]string{
		"sql/base/1_init.sql": fmt.Sprintf("-- +goose Up\nCREATE TABLE of_%d (id INTEGER PRIMARY KEY); -- %s", set, run) + down,
		"sql/base/2_more.sql": fmt.Sprintf("-- +goose Up\nCREATE TABLE more_%d (id INTEGER);", set) + down,
		"sql/test/3_seed.sql": fmt.Sprintf("-- +goose Up\nINSERT INTO of_%d VALUES (1);", set) + down,
	}
}

// TestTenPackages tests ten packages at once, as `go test ./...` does: twice, and the second time with the templates of the
// first. Each package is a process of this program. With GOOSEPLUS_CHAOS=1 they are packages of another module.
func TestTenPackages(t *testing.T) {
	t.Parallel()
	dsn, run := Server(t), rand.Text()
	project, test := projectName(), func(count int) { testPackageProcesses(t, dsn, run, count) }
	if os.Getenv("GOOSEPLUS_CHAOS") != "" {
		project, test = digest(sha256.New(), "example.com/ten")[:8], testModule(t, dsn, run)
	}
	test(2)
	first := packageTemplates(t, project, run)
	if len(first) != packageSets {
		t.Errorf("the templates are %v, want %d", first, packageSets)
	}
	test(1)
	if second := packageTemplates(t, project, run); !slices.Equal(first, second) {
		t.Errorf("templates were made again: %v, then %v", first, second)
	}
}

// packageTemplates are the templates of these packages with their OIDs, which another template of the same name would not have.
func packageTemplates(t *testing.T, project, run string) (list []string) {
	t.Helper()
	var known []string // by the hash of the first migration, which is in the note
	for set := range packagesAtOnce {
		known = append(known, digest(sha256.New(), packageSet(set, run)["sql/base/1_init.sql"])[:8])
	}
	for _, row := range texts(t, admin(t), `SELECT datname || ' ' || oid || ' ' || COALESCE(shobj_description(oid, 'pg_database'), '')
		FROM pg_database WHERE datname LIKE 'gpt\_`+project+`\_`+kindTemplate+`\_%' ORDER BY 1`) {
		if slices.ContainsFunc(known, func(hash string) bool { return strings.Contains(row, "."+hash) }) {
			name, rest, _ := strings.Cut(row, " ")
			oid, _, _ := strings.Cut(rest, " ")
			list = append(list, name+" "+oid)
		}
	}
	return list
}

const packageEnv = "GOOSEPLUSTEST_PACKAGE"

func testPackageProcesses(t *testing.T, dsn, run string, count int) {
	t.Helper()
	var children []*exec.Cmd
	outputs := make([]bytes.Buffer, packagesAtOnce)
	for i := range packagesAtOnce {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOnePackageOfTen$", "-test.v", fmt.Sprintf("-test.count=%d", count))
		cmd.Env = append(os.Environ(), packageEnv+"="+strconv.Itoa(setOf(i))+" "+run, postgresEnv+"="+dsn)
		if i%2 == 0 {
			cmd.Env = append(cmd.Env, aheadEnv+"=1")
		}
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, cmd)
	}
	var processes []string
	for i, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Errorf("package %d: %v\n%s", i, err, outputs[i].String())
		}
		processes = append(processes, processOf(t, outputs[i].String()))
	}
	wantNothingLeft(t, processes)
}

func TestOnePackageOfTen(t *testing.T) {
	set, run, ok := strings.Cut(os.Getenv(packageEnv), " ")
	if !ok {
		t.Skip("runs only as a child of TestTenPackages")
	}
	tellProcess(t)
	number, err := strconv.Atoi(set)
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for path, text := range packageSet(number, run) {
		fsys[path] = &fstest.MapFile{Data: []byte(text)}
	}
	for i := range 2 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := Postgres(t, "", files(fsys))
			if rows := texts(t, db, "SELECT count(*)::text FROM of_"+set); rows[0] != "1" {
				t.Errorf("%s rows", rows[0])
			}
			mustExec(t, db, "INSERT INTO of_"+set+" VALUES (2)")
		})
	}
}

// tellProcess has the parent know whose the databases of this process are.
func tellProcess(t *testing.T) {
	t.Helper()
	fmt.Println("process", process)
}

// processOf is what a child told.
func processOf(t *testing.T, output string) string {
	t.Helper()
	_, after, found := strings.Cut(output, "process ")
	if !found {
		t.Fatalf("a child does not tell its process:\n%s", output)
	}
	return after[:len(process)]
}

// wantNothingLeft looks for databases of processes that have ended. There may be others, such as those of failed tests.
func wantNothingLeft(t *testing.T, processes []string) {
	t.Helper()
	for _, name := range append(ours(t, kindClone), ours(t, kindBuilding)...) {
		if slices.Contains(processes, owner(name)) {
			t.Errorf("database %s is left", name)
		}
	}
}

// testModule writes another module with ten packages, and returns what tests it with the race detector.
func testModule(t *testing.T, dsn, run string) func(int) {
	t.Helper()
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
	for i := range packagesAtOnce {
		name := fmt.Sprintf("p%d", i)
		for path, text := range packageSet(setOf(i), run) {
			write(filepath.Join(name, path), text)
		}
		main := ""
		if i%2 == 0 {
			main = "func TestMain(m *testing.M) { os.Exit(gooseplustest.Run(m)) }"
		}
		write(filepath.Join(name, "a_test.go"), fmt.Sprintf(modulePackage, main, setOf(i)))
	}
	return func(int) {
		t.Helper()
		cmd := exec.Command("go", "test", "-shuffle=on", "-count=5", "-race", "-p=10", "./...")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "GOWORK=off", postgresEnv+"="+dsn)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Count(string(out), "ok  \texample.com/ten/") != packagesAtOnce {
			t.Fatalf("%v\n%s", err, out)
		}
		left := slices.DeleteFunc(ownerless(t, kindClone), func(name string) bool {
			return splitName(name)[1] != digest(sha256.New(), "example.com/ten")[:8]
		})
		if len(left) > 0 {
			t.Errorf("databases are left: %v", left)
		}
	}
}

const modulePackage = `package a

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
			if err := db.QueryRow("SELECT count(*) FROM of_%[2]d").Scan(&n); err != nil || n != 1 {
				t.Errorf("%%d rows, error %%v", n, err)
			}
			if _, err := db.Exec("INSERT INTO of_%[2]d VALUES (2)"); err != nil {
				t.Error(err)
			}
		})
	}
}
`
