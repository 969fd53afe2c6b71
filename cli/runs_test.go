package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestEveryOutcomeHasItsColour: an outcome that runs get must get a colour.
func TestEveryOutcomeHasItsColour(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../runs.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "RunOutcome" {
			for _, v := range spec.Values {
				outcome, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				if found++; outcomeColours[gooseplus.RunOutcome(outcome)] == plain {
					t.Errorf("%q has no colour", outcome)
				}
			}
		}
		return true
	})
	if found < 7 {
		t.Errorf("the constants of RunOutcome are found no more, only %d", found)
	}
}
