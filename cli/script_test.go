package cli_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/cli"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

var update = flag.Bool("update", false, "write what the scripts and docs/cli.md should have")

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"gooseplus": func() {
			sqlite.MustRegisterScalarFunction("pause", 0, pause)
			os.Exit(cli.Run(cli.Standalone()))
		},
		"shop": func() { os.Exit(shop()) },
	})
}

// tests runs them with PostgreSQL's own pg_dump. That of Debian's PATH is a script that looks for it, which takes ten times as long.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	if dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin"); err == nil && len(dirs) > 0 {
		if err := os.Setenv("PATH", dirs[len(dirs)-1]+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
			panic(err)
		}
	}
	return dbtest.Tests{M: t.m}.Run()
}

// pause is for statements of SQLite that take their time, and not the processor's.
func pause(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
	time.Sleep(5 * time.Millisecond)
	return int64(0), nil
}

// shop is a program that hangs the commands into its own, with a Go migration that waits until the file
// "go-on" is there, if the file "wait" is.
func shop() int {
	wait := goose.NewGoMigration(7, &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error {
		if _, err := os.Stat("wait"); err != nil {
			return nil
		}
		if err := os.WriteFile("waiting", nil, 0o600); err != nil {
			return err
		}
		for ctx.Err() == nil {
			if _, err := os.Stat("go-on"); err == nil {
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
		return context.Cause(ctx)
	}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
	root := &cobra.Command{Use: "shop", SilenceErrors: true}
	migrate := cli.Command(func(ctx context.Context) (*gooseplus.Migrator, error) {
		if os.Getenv("SHOP_BROKEN") != "" {
			return nil, errors.New("no configuration")
		}
		db, err := sql.Open("sqlite", "shop.db?_pragma=busy_timeout(5000)")
		if err != nil {
			return nil, err
		}
		base := "sql"
		if cli.ForTenants(ctx) {
			base = "tenant"
		}
		return gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithBasePath(base),
			gooseplus.WithGoMigrations(wait), gooseplus.WithGlobalLock(true)), nil
	})
	migrate.Use = "migrate"
	root.AddCommand(migrate)
	return cli.ExitCode(root.Execute())
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GOOSEPLUS_DSN", "sqlite:shop.db")
			e.Values[testKey{}] = e.T()
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"waitfor":  waitFor,
			"postgres": newPostgres,
			"query":    query,
		},
	})
}

// exits runs a command, which has to end with a code, and leaves what it printed in the files out and err.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	out, errOut := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, out, errOut)
	}
	ts.Check(os.WriteFile(ts.MkAbs("out"), []byte(scrub(out)), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), []byte(scrub(errOut)), 0o600))
}

var (
	aTime     = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`)
	aHolder   = regexp.MustCompile(`[\w.-]+/\d+/[a-z0-9]{20,}`)
	aDuration = regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|s)\b`)
	aCount    = regexp.MustCompile(`"duration_ms": \d+`)
	aRun      = regexp.MustCompile(`(?m)^(STARTED|YYYY-MM-DD hh:mm:ss) .*$`)
	columns   = regexp.MustCompile(` {2,}`)
)

// scrub makes an output the same each time.
func scrub(s string) string {
	s = aTime.ReplaceAllString(s, "YYYY-MM-DD hh:mm:ss")
	s = aHolder.ReplaceAllString(s, "HOLDER")
	s = aDuration.ReplaceAllString(s, "TOOK")
	s = aCount.ReplaceAllString(s, `"duration_ms": 0`)
	return aRun.ReplaceAllStringFunc(s, func(line string) string { return columns.ReplaceAllString(line, "  ") })
}

// waitFor waits until a file is there.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s didn't appear", args[0])
}

// newPostgres sets a variable to the DSN of a new PostgreSQL database.
func newPostgres(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], dbtest.Postgres(running(ts)).NewDatabase(running(ts)).DSN)
}

// running is the test of a script.
func running(ts *testscript.TestScript) testing.TB {
	return ts.Value(testKey{}).(testing.TB)
}

type testKey struct{}

// query executes statements on a database: query DSN SQL.
func query(ts *testscript.TestScript, _ bool, args []string) {
	driver, dsn := "pgx", args[0]
	if rest, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, dsn = "sqlite", ts.MkAbs(rest)
	}
	db, err := sql.Open(driver, dsn)
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(strings.Join(args[1:], " "))
	ts.Check(err)
}
