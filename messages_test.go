package gooseplus_test

import (
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	_ "github.com/lib/pq"

	"github.com/gooseplus/gooseplus"
)

var update = flag.Bool("update", false, "write testdata/messages.txt")

// TestWording compares all messages to people, of the library and the test kit, with testdata/messages.txt: so a message
// that changes is seen, and read once more.
func TestWording(t *testing.T) {
	t.Parallel()
	const golden = "testdata/messages.txt"
	got := strings.Join(messages(t, ".", "internal", "gooseplustest"), "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	had, have := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for _, m := range had {
		if !slices.Contains(have, m) {
			t.Errorf("is gone: %s", m)
		}
	}
	for _, m := range have {
		if !slices.Contains(had, m) {
			t.Errorf("is new:  %s", m)
		}
	}
	t.Errorf("read the messages above as somebody who sees them at night, then: go test -run TestWording -update .")
}

// messages are the texts of all errors and warnings, with the folder in front.
func messages(t *testing.T, dirs ...string) (list []string) {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (slices.Contains([]string{"testdata", "dbtest", "conformance", "dockertest"}, d.Name()) || dir == "." && path != "."):
				return fs.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				for _, text := range said(n) {
					list = append(list, filepath.ToSlash(filepath.Dir(path))+": "+text)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// speaking are functions and methods whose first text is for people.
var speaking = []string{"Errorf", "New", "Outcome", "Sprintf", "Fatalf", "Skipf", "Logf", "Fatal", "Skip", "fault", "settingFault", "mergeFault", "warn", "add"}

// said are the texts for people in a call, a Warning, or an assignment to a text.
func said(n ast.Node) (texts []string) {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.SelectorExpr:
			name = f.Sel.Name
		case *ast.Ident:
			name = f.Name
		}
		if slices.Contains(speaking, name) {
			for _, arg := range n.Args {
				texts = append(texts, literals(arg)...)
			}
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Message" {
			texts = literals(n.Value)
		}
	case *ast.AssignStmt:
		for _, value := range n.Rhs {
			texts = append(texts, literals(value)...)
		}
	case *ast.ReturnStmt:
		for _, value := range n.Results {
			texts = append(texts, literals(value)...)
		}
	}
	return slices.DeleteFunc(texts, func(text string) bool { return !sentence.MatchString(text) || isSQL.MatchString(text) })
}

var (
	sentence = regexp.MustCompile(`[a-z]+ [a-z]+`)
	isSQL    = regexp.MustCompile(`\b(FROM|WHERE|CASE|JOIN|EXISTS|ORDER BY|BEGIN ISOLATION|COALESCE) |^(SELECT|INSERT|UPDATE|SET|AND|OR|[(+,)]) |string_agg|\b(AS [a-z]|IS NOT NULL)|id DESC`)
)

// literals are the texts of an expression that is one, or several with + between them.
func literals(e ast.Expr) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{strings.Join(strings.Fields(text), " ")}
		}
	case *ast.BinaryExpr:
		return append(literals(e.X), literals(e.Y)...)
	}
	return nil
}

// TestWhatIsToBlame: the error of a database that can't be used says what is wrong, and not that a table is.
func TestWhatIsToBlame(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().(*net.TCPAddr).Port
	l.Close()
	away, err := sql.Open("postgres", fmt.Sprintf("host=127.0.0.1 port=%d sslmode=disable", nobody))
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	fsys := folder("sql/base/1_a.sql")
	for _, tc := range []struct {
		situation string
		m         *gooseplus.Migrator
		want      string
	}{
		{"no server", gooseplus.New(away, gooseplus.WithFS(fsys)), "no connection to the database: dial tcp 127.0.0.1:"},
		{"another database than the dialect's", gooseplus.New(openSQLite(t), gooseplus.WithFS(fsys)), `is for sqlite, and the dialect is postgres: use WithDialect("sqlite")`},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			_, status := tc.m.Status(t.Context())
			_, version := tc.m.Version(t.Context())
			_, planned := tc.m.Plan(t.Context())
			for _, err := range []error{tc.m.Migrate(t.Context()), status, version, planned} {
				if wantIs(t, err, gooseplus.ErrMigrationTable); !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "table") {
					t.Errorf("%v, want %q and no table", err, tc.want)
				}
			}
		})
	}
}

// TestFailedLine: the error of a migration names the file and the line of the statement that failed.
func TestFailedLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		situation string
		fsys      fstest.MapFS
		want      string
	}{
		{"a goose file", fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER);\n\nINSERT INTO nowhere\n  VALUES (1);", "DROP TABLE a;")}, "migration 1 (sql/base/1_a.sql:4) up: "},
		{"half of a pair", fstest.MapFS{"sql/base/1_a.up.sql": {Data: []byte("-- first\nINSERT INTO nowhere VALUES (1);")}, "sql/base/1_a.down.sql": {Data: []byte("SELECT 1")}}, "migration 1 (sql/base/1_a.up.sql:2) up: "},
		{"the same statement twice", fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE nowhere (id INTEGER PRIMARY KEY);\nINSERT INTO nowhere VALUES (1);\nINSERT INTO nowhere VALUES (1);", "")}, "migration 1 (sql/base/1_a.sql:4) up: "},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			err := sqlite(openSQLite(t), tc.fsys).Migrate(t.Context())
			var failed *gooseplus.MigrationError
			if !errors.As(err, &failed) || !strings.Contains(failed.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
