package manual

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A workshop has the programs of the pages and the command gooseplus, all made by one call of the go command.
type workshop struct {
	bin string
}

// build compiles all Go blocks. They are laid over the module (go help build, -overlay), so that they see its packages and
// nothing is written into it.
func build(t *testing.T, pages []*page) workshop {
	t.Helper()
	work := t.TempDir()
	w := workshop{bin: filepath.Join(work, "bin")}
	if err := os.Mkdir(w.bin, 0o700); err != nil {
		t.Fatal(err)
	}
	module, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string]string{}
	packages := []string{"./cmd/gooseplus"}
	write := func(path, text string) {
		file := filepath.Join(work, fmt.Sprintf("%d", len(overlay)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(module, filepath.FromSlash(path))] = file
	}
	for _, p := range pages {
		files := map[string]string{} // those that the page has so far, for a program to embed
		for _, b := range p.blocks {
			if b.is("file") {
				files[b.words["file"]] = b.text
			}
			if b.language != "go" || b.is("skip") {
				continue
			}
			dir := "internal/manual/" + b.name()
			source := b.placed(module, b.text)
			switch {
			case b.is("run"):
				source = strings.Replace(b.fragment(module), "package snippet", "package main\nimport _ \"modernc.org/sqlite\"", 1) + b.runner()
			case !strings.HasPrefix(b.text, "package "):
				source = b.fragment(module)
			}
			write(dir+"/main.go", source)
			packages = append(packages, "./"+dir)
			if !strings.Contains(b.text, "//go:embed") {
				continue
			}
			for name, text := range files {
				write(dir+"/"+name, text)
			}
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(overlayFile, list, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-overlay", overlayFile, "-o", w.bin + string(filepath.Separator)}, packages...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOPROXY=off") // what a block needs is in go.mod, or the block is wrong
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("Go blocks that don't compile: %v\n%s", err, out)
	}
	return w
}

var noName = regexp.MustCompile(`[^a-z0-9]+`)

// name is that of the block's package, and of its program.
func (b block) name() string {
	return fmt.Sprintf("%s_line_%d", noName.ReplaceAllString(strings.ToLower(strings.TrimSuffix(b.page, ".md")), "_"), b.from+1)
}

var aTest = regexp.MustCompile(`(?m)^func (Test\w+)`)

// runner is a function main that runs the tests of the block.
func (b block) runner() string {
	tests := ""
	for _, m := range aTest.FindAllStringSubmatch(b.text, -1) {
		tests += fmt.Sprintf("{Name: %q, F: %s},", m[1], m[1])
	}
	return "\nfunc main() {\n\ttesting.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{" + tests + "}, nil, nil)\n}\n"
}

// placed has the compiler's messages name the line of the page.
func (b block) placed(module, text string) string {
	return fmt.Sprintf("//line %s:%d\n%s", filepath.Join(module, b.page), b.from+1, text)
}

// imports are the packages that a fragment can name without importing them.
var imports = map[string]string{
	"context":       "context",
	"embed":         "embed",
	"errors":        "errors",
	"fmt":           "fmt",
	"fs":            "io/fs",
	"fstest":        "testing/fstest",
	"http":          "net/http",
	"log":           "log",
	"os":            "os",
	"signal":        "os/signal",
	"slog":          "log/slog",
	"sql":           "database/sql",
	"syscall":       "syscall",
	"testing":       "testing",
	"time":          "time",
	"cli":           "github.com/gooseplus/gooseplus/cli",
	"cobra":         "github.com/spf13/cobra",
	"goose":         "github.com/pressly/goose/v3",
	"gooseplus":     "github.com/gooseplus/gooseplus",
	"gooseplustest": "github.com/gooseplus/gooseplus/gooseplustest",
	"pgxpool":       "github.com/jackc/pgx/v5/pgxpool",
	"schema":        "github.com/gooseplus/gooseplus/sql",
	"stdlib":        "github.com/jackc/pgx/v5/stdlib",
	"zap":           "go.uber.org/zap",
}

// fragment makes a file of declarations, or of statements. Statements are the body of a function that returns an error and
// has the variables ctx, db, and migrator.
func (b block) fragment(module string) string {
	declarations := "\n" + b.placed(module, b.text)
	statements := "\nfunc _(ctx context.Context, db *sql.DB, migrator *gooseplus.Migrator) error {" + declarations + "\nreturn nil\n}\n"
	for _, body := range []string{declarations, statements} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package snippet"+body, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		var clauses strings.Builder
		for _, name := range packagesOf(file) {
			fmt.Fprintf(&clauses, "import %s %q\n", name, imports[name])
		}
		return "package snippet\n" + clauses.String() + body
	}
	return "package snippet" + statements // so that the compiler says what is wrong
}

// packagesOf returns the names of the packages that the file uses, sorted.
func packagesOf(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && imports[x.Name] != "" {
				names = append(names, x.Name)
			}
		}
		return true
	})
	slices.Sort(names)
	return slices.Compact(names)
}
