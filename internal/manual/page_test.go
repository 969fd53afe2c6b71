// Package manual tests README.md and the pages in docs: that their Go compiles, that their commands print what the page
// says, and that their links lead somewhere.
//
// The words after the language of a code block say what the test does with it:
//
//	```go                     is compiled; a program (package main) is run too, in the folder of the page
//	```go run                 has tests, which are run in the folder of the page
//	```sql file=sql/base/…    is written to that file in the folder of the page; any language can have it
//	```sql postgres           is executed on PostgreSQL in a transaction, which is rolled back
//	```sh run                 is executed in the folder of the page, with the command gooseplus; exit=1 wants that code,
//	                          needs=psql skips the rest of the page where there is no such program
//	```sh run postgres        the same with GOOSEPLUS_DSN naming an empty PostgreSQL database
//	```text output            is what the block before it prints; … stands for any text, a line of … for any lines
//	```yaml, ```json          is parsed
//	``` … skip="reason"       is not tested, for that reason
//
//	<!-- run: … -->           is executed like sh run, and isn't shown
//
// Variables that a `sh run` block exports, and its folder, are those of the next one on the page.
// go test ./internal/manual -update writes what the commands print into the pages.
package manual

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

var update = flag.Bool("update", false, "write what the commands print into the pages")

func TestMain(m *testing.M) { dbtest.Main(m) }

// root is the folder of the module, seen from this package.
const root = "../.."

// generated is a page that another test makes.
const generated = "docs/cli.md"

// A page is one Markdown file. Its path is relative to the module's folder.
type page struct {
	path   string
	lines  []string // without the line breaks
	blocks []block
}

// A block is a code block. from and to are the lines of its text, counted from 0.
type block struct {
	page     string
	language string
	words    map[string]string // of the line that opens it: exit=1 is "exit": "1", and run is "run": ""
	from, to int
	text     string
}

func (b block) is(word string) bool { _, ok := b.words[word]; return ok }

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.from) }

// program says that the block is a whole Go program.
func (b block) program() bool {
	return b.language == "go" && strings.HasPrefix(b.text, "package main\n")
}

// hidden is a line with commands that readers don't see.
var hidden = regexp.MustCompile(`^<!-- run: (.*) -->$`)

var word = regexp.MustCompile(`([a-z]+)(?:=(?:"([^"]*)"|(\S*)))?`)

func readPage(t testing.TB, path string) *page {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{path: path, lines: strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")}
	inside := false
	for i, line := range p.lines {
		fence, ok := strings.CutPrefix(line, "```")
		switch {
		case ok && !inside:
			b := block{page: path, from: i + 1, words: map[string]string{}}
			language, rest, _ := strings.Cut(fence, " ")
			b.language = language
			for _, m := range word.FindAllStringSubmatch(rest, -1) {
				b.words[m[1]] = m[2] + m[3]
			}
			p.blocks = append(p.blocks, b)
			inside = true
		case hidden.MatchString(line):
			p.blocks = append(p.blocks, block{page: path, language: "sh", words: map[string]string{"run": ""}, from: i + 1, to: i + 1,
				text: hidden.FindStringSubmatch(line)[1] + "\n"})
		case ok:
			b := &p.blocks[len(p.blocks)-1]
			b.to = i
			b.text = strings.Join(p.lines[b.from:i], "\n") + "\n"
			inside = false
		}
	}
	if inside {
		t.Fatalf("%s: the code block at line %d has no end", path, p.blocks[len(p.blocks)-1].from)
	}
	return p
}

// prose calls do with each line that is not in a code block, counted from 1.
func (p *page) prose(do func(number int, line string)) {
	inside := false
	for i, line := range p.lines {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside
		case !inside && !strings.HasPrefix(line, "    "):
			do(i+1, line)
		}
	}
}

// manual are the pages that people write: README.md and those in docs.
func manual(t testing.TB) []*page {
	t.Helper()
	pages := []*page{readPage(t, "README.md")}
	for _, path := range glob(t, "docs/*.md") {
		if path != generated {
			pages = append(pages, readPage(t, path))
		}
	}
	return pages
}

func glob(t testing.TB, patterns ...string) (paths []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, error %v", pattern, len(found), err)
		}
		for _, path := range found {
			relative, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, filepath.ToSlash(relative))
		}
	}
	return paths
}

// tested says which blocks need no word beside their language.
var unchecked = []string{"text", "yaml", "json", "make", "dockerfile", "diff"}

// TestPages wants pages that can be read at one sitting, and that say of each block whether it is tested.
func TestPages(t *testing.T) {
	for _, p := range manual(t) {
		limit := 200
		if p.path == "README.md" {
			limit = 150
		}
		if len(p.lines) > limit {
			t.Errorf("%s has %d lines, more than %d", p.path, len(p.lines), limit)
		}
		for _, b := range p.blocks {
			switch {
			case b.words["skip"] != "", b.is("file"), slices.Contains(unchecked, b.language), b.language == "go":
			case b.language == "sh" && b.is("run"), b.language == "sql" && b.is("postgres"):
			default:
				t.Errorf("%s: a block of %q that is neither tested nor says why: %v", b, b.language, b.words)
			}
			if b.is("file") && !strings.Contains(strings.Join(p.lines[max(0, b.from-4):b.from-1], ""), path.Base(b.words["file"])) {
				t.Errorf("%s: readers don't see that the file is %s", b, b.words["file"])
			}
			if b.is("skip") && b.words["skip"] == "" {
				t.Errorf("%s: skip without a reason", b)
			}
		}
	}
}
