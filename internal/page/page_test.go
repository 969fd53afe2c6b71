package page

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func write(t testing.TB, f Fleet) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestNoReference: the page is one file that asks for nothing else, wherever it is opened.
func TestNoReference(t *testing.T) {
	text := write(t, smallFleet())
	for _, pattern := range []string{
		`(?i)https?://`, `//\w`, `(?i)\bsrc\s*=`, `(?i)\bhref\b`, `(?i)\bsrcset\b`, `(?i)\burl\(`, `(?i)@import`, `(?i)<link\b`,
		`(?i)\bxmlns\b`, `(?i)\bimport\(`, `\bfetch\(`, `XMLHttpRequest`, `WebSocket`, `EventSource`, `sendBeacon`,
	} {
		if found := regexp.MustCompile(pattern).FindAllString(text, -1); found != nil {
			t.Errorf("%s finds %q", pattern, found)
		}
	}
}

// TestEveryTenantStateHasAMeaning: a state that gooseplus gets must get a place on the page.
func TestEveryTenantStateHasAMeaning(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../tenantsreport.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "TenantState" {
			for _, v := range spec.Values {
				s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				states = append(states, s)
			}
		}
		return true
	})
	if len(states) < 8 {
		t.Fatalf("the constants of TenantState are found no more, only %q", states)
	}
	var meant []string
	for _, m := range meanings {
		meant = append(meant, m.state)
	}
	for _, s := range states {
		if !slices.Contains(meant, s) {
			t.Errorf("the state %q has no meaning", s)
		}
	}
}

func TestOrder(t *testing.T) {
	f := smallFleet()
	f.Tenants = append(f.Tenants, Tenant{Name: "nameless state"})
	before := slices.Clone(f.Tenants)
	states := countStates(f.Tenants)
	want := []stateCount{{"failed", bad, 2}, {"missing", bad, 1}, {"pending", waiting, 1}, {"quarantined", other, 1}, {"unknown", other, 1}, {"up to date", good, 2}}
	if !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	var names []string
	for r := range rows(f.Tenants, states) {
		names = append(names, r.Name+": "+r.State+" is "+r.Kind)
	}
	wantNames := []string{
		"Globex: failed is bad", "stark: failed is bad", "hooli: missing is bad", "initech: pending is waiting",
		"umbrella: quarantined is other", "nameless state: unknown is other", "acme: up to date is good", "acme-test: up to date is good",
	}
	if !slices.Equal(names, wantNames) {
		t.Errorf("rows\n%q, want\n%q", names, wantNames)
	}
	if !slices.Equal(f.Tenants, before) {
		t.Error("the fleet of the caller was changed")
	}
}

func TestNothingUnknownIsShownAsANumber(t *testing.T) {
	text := write(t, Fleet{Tenants: []Tenant{{Name: "a", State: "missing"}, {Name: "b", State: "locked", Version: -1, Pending: -1}}})
	for _, want := range []string{
		`<td class="number version">none</td><td class="number pending">0</td>`,
		`<td class="number version">unknown</td><td class="number pending">unknown</td>`,
		`<title>Tenants</title>`,
		"<p>2 tenants</p>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page doesn't have %s", want)
		}
	}
}

// chunks is a writer that refuses to go on after some bytes.
type chunks struct {
	left, largest int
	refusals      int
}

var errFull = errors.New("full")

func (c *chunks) Write(p []byte) (int, error) {
	c.largest = max(c.largest, len(p))
	if len(p) > c.left {
		c.refusals++
		return 0, errFull
	}
	c.left -= len(p)
	return len(p), nil
}

func TestWritesPieceByPiece(t *testing.T) {
	f := largeFleet(100_000)
	t.Run("a page of many tenants", func(t *testing.T) {
		c := &chunks{left: 1 << 30}
		if err := Write(c, f); err != nil {
			t.Fatal(err)
		}
		if written := 1<<30 - c.left; c.largest > 64<<10 || written < 10<<20 {
			t.Errorf("%d bytes, the largest piece %d", written, c.largest)
		}
	})
	t.Run("a writer that fails ends it", func(t *testing.T) {
		c := &chunks{left: 100_000}
		if err := Write(c, f); !errors.Is(err, errFull) {
			t.Errorf("got %v", err)
		}
		if c.refusals != 1 {
			t.Errorf("it went on for %d times", c.refusals)
		}
	})
	t.Run("a writer that fails at the very end", func(t *testing.T) {
		c := &chunks{}
		if err := Write(c, Fleet{}); !errors.Is(err, errFull) {
			t.Errorf("got %v", err)
		}
	})
}
