package manual

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// TestBlocks compiles the Go of all pages, and follows each page from top to bottom, in a folder of its own.
func TestBlocks(t *testing.T) {
	pages := manual(t)
	w := build(t, pages)
	for _, p := range pages {
		t.Run(p.path, func(t *testing.T) {
			t.Parallel()
			f := &folder{page: p, bin: w.bin, dir: t.TempDir(), state: filepath.Join(t.TempDir(), "state")}
			for i, b := range p.blocks {
				switch {
				case b.is("skip"):
				case b.is("file"):
					f.write(t, b)
				case b.program(), b.language == "go" && b.is("run"):
					f.check(t, i, exec.Command(filepath.Join(f.bin, b.name())))
				case b.language == "sh":
					f.shell(t, i)
				case b.language == "sql":
					f.postgres(t).execute(t, b)
				}
			}
			if f.changed {
				text := strings.Join(p.lines, "\n") + "\n"
				if err := os.WriteFile(filepath.Join(root, p.path), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A folder is where the blocks of one page are executed.
type folder struct {
	page     *page
	bin, dir string
	state    string // file that sets the variables and the folder which the last block left
	database *database
	changed  bool
	shift    int // how many lines longer the page has become
}

func (f *folder) write(t *testing.T, b block) {
	t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(b.words["file"]))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shell executes a block of commands. It ends at the first that fails, unless the block wants another exit code than 0.
func (f *folder) shell(t *testing.T, i int) {
	t.Helper()
	b := f.page.blocks[i]
	if program := b.words["needs"]; program != "" {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GOOSEPLUS_REQUIRE_SERVERS") != "" {
				t.Fatalf("%s needs the program %s", b, program)
			}
			t.Skipf("%s: the rest of the page needs the program %s", b, program)
		}
	}
	before := "[ ! -e " + f.state + " ] || . " + f.state + "\n"
	if b.is("postgres") {
		before += "export GOOSEPLUS_DSN='" + f.postgres(t).DSN + "'\n"
	} else {
		before += "trap 'export -p >" + f.state + "; echo \"cd \\\"$PWD\\\"\" >>" + f.state + "' EXIT\n"
	}
	f.check(t, i, exec.Command("sh", "-e", "-c", before+b.text))
}

// check runs the command of block i, and compares its exit code and what it prints with what the page says.
func (f *folder) check(t *testing.T, i int, cmd *exec.Cmd) {
	t.Helper()
	b := f.page.blocks[i]
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "PATH="+f.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "NO_COLOR=1", "HOME="+f.dir, "PSQLRC=/dev/null")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", b, err)
	}
	want := "0"
	if b.is("exit") {
		want = b.words["exit"]
	}
	if code := strconv.Itoa(cmd.ProcessState.ExitCode()); code != want {
		t.Fatalf("%s: exit code %s, not %s:\n%s", b, code, want, out.String())
	}
	if i+1 == len(f.page.blocks) || !f.page.blocks[i+1].is("output") {
		return
	}
	f.compare(t, f.page.blocks[i+1], out.String())
}

// compare wants a block to be what was printed. With -update it makes it so.
func (f *folder) compare(t *testing.T, b block, printed string) {
	t.Helper()
	printed = strings.TrimRight(printed, "\n") + "\n"
	if matches(b.text, printed) {
		return
	}
	if !*update {
		t.Errorf("%s: the page says\n%s\nand the command prints\n%s", b, b.text, printed)
		return
	}
	lines := strings.Split(strings.TrimSuffix(volatile(printed), "\n"), "\n")
	f.page.lines = slices.Replace(f.page.lines, b.from+f.shift, b.to+f.shift, lines...)
	f.shift += len(lines) - (b.to - b.from)
	f.changed = true
}

// matches compares with a pattern in which … stands for any text of a line, and a line of … alone for any lines.
func matches(pattern, text string) bool {
	p := regexp.QuoteMeta(pattern)
	p = regexp.MustCompile(`(?m)^ *…\n`).ReplaceAllString(p, `(?s:.*\n)?`)
	p = strings.ReplaceAll(p, "…", ".*")
	return regexp.MustCompile(`^` + p + `$`).MatchString(text)
}

var times = []*regexp.Regexp{
	regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`),
	regexp.MustCompile(`\b\d+(\.\d+)?(µs|ms|s)\b`),
}

// volatile replaces what is another one each time.
func volatile(text string) string {
	for _, r := range times {
		text = r.ReplaceAllString(text, "…")
	}
	return text
}

// A database is the PostgreSQL database of one page.
type database struct{ dbtest.Database }

// postgres makes the page's database when a block needs it for the first time.
func (f *folder) postgres(t *testing.T) *database {
	t.Helper()
	if f.database == nil {
		f.database = &database{dbtest.Postgres(t).NewDatabase(t)}
	}
	return f.database
}

// execute executes SQL, and takes it back.
func (d *database) execute(t *testing.T, b block) {
	t.Helper()
	tx, err := d.Open(t, "pgx").BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), b.text); err != nil {
		t.Errorf("%s: %v", b, err)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a\n", "a\n", true},
		{"a\n", "a b\n", false},
		{"a …\nc\n", "a b\nc\n", true},
		{"a …\n", "a b\nc\n", false},
		{"a\n…\nd\n", "a\nb\nc\nd\n", true},
		{"a\n…\nd\n", "a\nd\n", true},
		{"a\n…\nd\n", "a\nb\n", false},
		{"(…)\n", "(1)\n", true},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.text, got)
		}
	}
}
