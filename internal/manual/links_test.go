package manual

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	aLink     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	aCode     = regexp.MustCompile("`[^`]*`")
	aName     = regexp.MustCompile(`\b(?:gooseplus\.)?((?:With|Err)[A-Z]\w*|SetEnvironments)`)
	aFlag     = regexp.MustCompile(`--[a-z][a-z-]+`)
	aCommand  = regexp.MustCompile(`(?m)^(?:\w+=\S* )*gooseplus ([a-z-]+)`)
	aHeadline = regexp.MustCompile(`^#+ (.*)`)
)

// TestLinks wants every relative link to lead to a file of the repository, and its anchor to a heading there.
func TestLinks(t *testing.T) {
	pages := glob(t, "*.md", "docs/*.md", "examples/*/README.md", "benchmarks/*.md")
	for _, from := range pages {
		p := readPage(t, from)
		p.prose(func(number int, line string) {
			for _, m := range aLink.FindAllStringSubmatch(aCode.ReplaceAllString(line, "code"), -1) {
				if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
					continue
				}
				file, anchor, _ := strings.Cut(m[1], "#")
				target := from
				if file != "" {
					target = path.Join(path.Dir(from), file)
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s:%d: %s: %v", from, number, m[1], err)
					continue
				}
				if anchor != "" && !anchors(readPage(t, target))[anchor] {
					t.Errorf("%s:%d: %s has no heading #%s", from, number, target, anchor)
				}
			}
		})
	}
	contents, err := os.ReadFile(filepath.Join(root, "docs/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range glob(t, "docs/*.md") {
		if name := path.Base(p); name != "README.md" && !strings.Contains(string(contents), "("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// anchors are those that GitHub gives to the headings of a page.
func anchors(p *page) map[string]bool {
	found := map[string]bool{}
	p.prose(func(_ int, line string) {
		if m := aHeadline.FindStringSubmatch(line); m != nil {
			found[strings.Map(func(r rune) rune {
				switch {
				case r == ' ' || r == '-':
					return '-'
				case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_':
					return unicode.ToLower(r)
				}
				return -1
			}, m[1])] = true
		}
	})
	return found
}

// TestNames wants the options, errors, flags and commands that the pages name to exist.
func TestNames(t *testing.T) {
	exported := exported(t, ".", "gooseplustest", "fleet", "otelgooseplus")
	known := readReference(t)
	for _, p := range manual(t) {
		p.prose(func(number int, line string) {
			for _, code := range aCode.FindAllString(line, -1) {
				for _, m := range aName.FindAllStringSubmatch(code, -1) {
					if !exported[m[1]] && !strings.Contains(code, "goose."+m[1]) && !strings.HasSuffix(m[1], "…") {
						t.Errorf("%s:%d: there is no %s", p.path, number, m[1])
					}
				}
				if command, ok := strings.CutPrefix(code, "`gooseplus "); ok {
					name, _, _ := strings.Cut(strings.Trim(command, "`"), " ")
					if !strings.HasPrefix(name, "-") && !known.commands[name] {
						t.Errorf("%s:%d: there is no command %s", p.path, number, name)
					}
					for _, name := range aFlag.FindAllString(code, -1) {
						if !known.flags[name] {
							t.Errorf("%s:%d: there is no flag %s", p.path, number, name)
						}
					}
				}
			}
		})
		for _, b := range p.blocks {
			for _, m := range aCommand.FindAllStringSubmatch(b.text, -1) {
				if b.language == "sh" && !known.commands[m[1]] && !strings.HasPrefix(m[1], "-") {
					t.Errorf("%s: there is no command %s", b, m[1])
				}
			}
		}
	}
}

// A reference is what the command line has.
type reference struct {
	commands, flags map[string]bool
}

func readReference(t *testing.T) reference {
	t.Helper()
	known := reference{map[string]bool{}, map[string]bool{"--help": true}}
	for _, line := range readPage(t, generated).lines {
		for _, name := range aFlag.FindAllString(line, -1) {
			known.flags[name] = true
		}
		if name, ok := strings.CutPrefix(line, "## gooseplus "); ok {
			known.commands[name] = true
		}
	}
	return known
}

// exported are the names that packages export, without their methods.
func exported(t *testing.T, dirs ...string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range dirs {
		for _, path := range glob(t, dir+"/*.go") {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil {
						names[d.Name.Name] = true
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						switch s := s.(type) {
						case *ast.TypeSpec:
							names[s.Name.Name] = true
						case *ast.ValueSpec:
							for _, n := range s.Names {
								names[n.Name] = true
							}
						}
					}
				}
			}
		}
	}
	return names
}
