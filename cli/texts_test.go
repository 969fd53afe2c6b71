package cli

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestTexts compares every text that people read with a golden file, so that a change of one is seen: the help of the
// commands, their flags, and the messages in the source. With -update-texts it writes the file.
func TestTexts(t *testing.T) {
	var b bytes.Buffer
	var show func(*cobra.Command)
	show = func(cmd *cobra.Command) {
		fmt.Fprintf(&b, "# %s\n\n%s\n", cmd.UseLine(), cmd.Short)
		for _, text := range []string{cmd.Long, cmd.Example} {
			if text != "" {
				fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(text, "\n"))
			}
		}
		b.WriteString("\n")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { fmt.Fprintf(&b, "--%s: %s\n", f.Name, f.Usage) })
		b.WriteString("\n")
		for _, sub := range cmd.Commands() {
			show(sub)
		}
	}
	show(Standalone())
	messages := sourceMessages(t)
	for _, file := range slices.Sorted(maps.Keys(messages)) {
		fmt.Fprintf(&b, "# %s\n\n%s\n\n", file, strings.Join(messages[file], "\n"))
	}
	const golden = "testdata/texts.golden"
	if *updateTexts {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		have, old := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
		for i, line := range have {
			if i >= len(old) || line != old[i] {
				t.Fatalf("%s, line %d: the texts have changed: go test ./cli -run TestTexts -update-texts\nnow: %s", golden, i+1, line)
			}
		}
		t.Fatalf("%s has more texts than there are: go test ./cli -run TestTexts -update-texts", golden)
	}
}

// sourceMessages are the strings of each file that have at least two words.
func sourceMessages(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	messages := make(map[string][]string)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec, *ast.Field: // whose tags are no texts
				_, isFunc := n.(*ast.Field)
				return isFunc && n.(*ast.Field).Tag == nil
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && slices.Contains([]string{"long", "short", "example", "use"}, key.Name) {
					return false // it is above
				}
			case *ast.ValueSpec:
				if strings.HasSuffix(n.Names[0].Name, "Topic") || strings.HasSuffix(n.Names[0].Name, "Text") {
					return false // likewise, or a new migration
				}
			case *ast.CallExpr:
				if method, ok := n.Fun.(*ast.SelectorExpr); ok && (method.Sel.Name == "MustCompile" || strings.HasSuffix(method.Sel.Name, "Var") || strings.HasSuffix(method.Sel.Name, "VarP")) {
					return false // regular expressions, and flags
				}
			case ast.Expr:
				text, ok := constant(n)
				if ok && len(strings.Fields(text)) > 1 && strings.ContainsFunc(text, func(r rune) bool { return r >= 'a' && r <= 'z' }) {
					messages[name] = append(messages[name], strconv.Quote(text))
				}
				return !ok
			}
			return true
		})
	}
	return messages
}

// constant is the value of a string, or of several with a + between them.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		x, isX := constant(e.X)
		y, isY := constant(e.Y)
		return x + y, isX && isY && e.Op == token.ADD
	}
	return "", false
}

var updateTexts = flag.Bool("update-texts", false, "write the golden file of the texts")
