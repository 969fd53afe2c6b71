package gooseplus_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReadme compiles every Go block of README.md and runs those that are programs. The blocks are
// laid over the module by the go command (go help build, -overlay), so that they see its packages
// and nothing is written into it.
func TestReadme(t *testing.T) {
	blocks := readmeBlocks(t)
	programs := 0
	for _, b := range blocks {
		if b.program() {
			programs++
		}
		t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) {
			t.Parallel()
			b.check(t)
		})
	}
	if programs == 0 {
		t.Errorf("README.md has %d Go blocks and no program to start from", len(blocks))
	}
}

// readmeBlock is the text between ```go and ```. line is where it begins.
type readmeBlock struct {
	line int
	text string
}

func readmeBlocks(t *testing.T) []readmeBlock {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []readmeBlock
	inside := false
	number := 0
	for line := range strings.Lines(string(readme)) {
		number++
		switch fence := strings.TrimSpace(line); {
		case !inside && fence == "```go":
			inside = true
			blocks = append(blocks, readmeBlock{line: number + 1})
		case inside && fence == "```":
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line
		}
	}
	if inside {
		t.Fatalf("README.md: the block at line %d has no end", blocks[len(blocks)-1].line)
	}
	return blocks
}

func (b readmeBlock) program() bool { return strings.HasPrefix(b.text, "package main\n") }

// check builds the block as a package of this module, and runs it if it is a program.
func (b readmeBlock) check(t *testing.T) {
	source := fmt.Sprintf("//line README.md:%d\n%s", b.line, b.text)
	if !b.program() {
		source = b.fragment(t)
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	name := fmt.Sprintf("readme_line_%d", b.line)
	executable := filepath.Join(work, name+".exe") // .exe is for Windows, and harmless elsewhere

	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false",
		"-overlay", readmeOverlay(t, work, filepath.Join(root, name), source), "-o", executable, "./"+name)
	build.Env = append(os.Environ(), "GOPROXY=off") // what it needs is in go.mod, or the block is wrong
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the block does not compile: %v\n%s", err, out)
	}
	if !b.program() {
		return
	}
	run := exec.CommandContext(t.Context(), executable)
	run.Dir = work
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("the program fails: %v\n%s", err, out)
	}
}

// readmeOverlay writes the overlay of one block: a directory of the module, which does not exist,
// with the source, and with the module's own migrations for it to embed.
func readmeOverlay(t *testing.T, work, dir, source string) string {
	t.Helper()
	main := filepath.Join(work, "main.go")
	if err := os.WriteFile(main, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{filepath.Join(dir, "main.go"): main}
	migrations, err := fs.Glob(os.DirFS("."), "sql/*/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatalf("the module's migrations: %v, error %v", migrations, err)
	}
	for _, m := range migrations {
		m = filepath.FromSlash(m)
		replace[filepath.Join(dir, m)] = filepath.Join(filepath.Dir(dir), m)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readmePackages are the packages that a fragment can name without importing them.
var readmePackages = map[string]string{
	"context":   "context",
	"errors":    "errors",
	"fmt":       "fmt",
	"gooseplus": "github.com/gooseplus/gooseplus",
	"goose":     "github.com/pressly/goose/v3",

	"gooseplustest": "github.com/gooseplus/gooseplus/gooseplustest",
	"log":           "log",
	"os":            "os",
	"schema":        "github.com/gooseplus/gooseplus/sql",
	"sql":           "database/sql",
	"testing":       "testing",
	"time":          "time",
	"zap":           "go.uber.org/zap",
}

// fragment makes a file of declarations, or of statements, which can use the variables ctx, db, and
// migrator and are a function's body.
func (b readmeBlock) fragment(t *testing.T) string {
	t.Helper()
	declarations := fmt.Sprintf("\n//line README.md:%d\n%s", b.line, b.text)
	statements := "\nfunc _(ctx context.Context, db *sql.DB, migrator *gooseplus.Migrator) {" + declarations + "}\n"
	for _, body := range []string{declarations, statements} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package snippet"+body, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		var imports strings.Builder
		for _, name := range readmeNames(file) {
			fmt.Fprintf(&imports, "import %s %q\n", name, readmePackages[name])
		}
		return "package snippet\n" + imports.String() + body
	}
	return "package snippet" + statements // so that the compiler says what is wrong
}

// readmeNames returns the names of the packages that the file uses, sorted.
func readmeNames(file *ast.File) []string {
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && readmePackages[x.Name] != "" {
				names = append(names, x.Name)
			}
		}
		return true
	})
	slices.Sort(names)
	return slices.Compact(names)
}
