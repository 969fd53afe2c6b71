package conformance

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

const (
	victimEnv = "GOOSEPLUS_KILL_VICTIM" // driver, dialect and DSN of the process that gets killed
	killSteps = 20
)

// killFiles is a chain of migrations that each take several statements: a whole one leaves two
// tables and a row in each.
func killFiles() fstest.MapFS {
	named := make(map[string]*fstest.MapFile)
	for i := 1; i <= killSteps; i++ {
		named[fmt.Sprintf("%03d_k.sql", i)] = script(
			fmt.Sprintf("CREATE TABLE a%03[1]d (id INTEGER);\nINSERT INTO a%03[1]d VALUES (1);\n"+
				"CREATE TABLE b%03[1]d (id INTEGER);\nINSERT INTO b%03[1]d VALUES (1);", i),
			fmt.Sprintf("DROP TABLE b%03[1]d;\nDROP TABLE a%03[1]d;", i))
	}
	return files(named)
}

// TestKilled kills a process with SIGKILL at random moments of a run: every migration must be whole
// or absent, and the next run must complete. Databases where DDL commits by itself can't promise
// that, and don't take part.
func TestKilled(t *testing.T) {
	if victim := os.Getenv(victimEnv); victim != "" {
		beVictim(t, victim)
		return
	}
	t.Parallel()
	for _, x := range targets {
		if !x.transactionalDDL || x.driver == "sqlite3" || x.driver == "pgx" {
			continue // or the same database once more
		}
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			p := x.place(t)
			took := map[string]time.Duration{} // from what the process says to its end
			for _, since := range []string{"begin", "started"} {
				p.reset(t)
				took[since] = p.undisturbed(t, since)
			}
			t.Logf("runs that nobody kills take %v", took)
			cut, rounds := 0, chaosRounds(8, 50)
			for i := range rounds {
				p.reset(t)
				since := "started"
				if i%3 == 0 { // before the first migration, too
					since = "begin"
				}
				p.kill9(t, since, time.Duration(random.Int64N(int64(took[since]))))
				n := p.wholeOrAbsent(t)
				switch n { // the machine may be faster or slower than it was
				case 0:
					took[since] += took[since] / 10
				case killSteps:
					took[since] -= took[since] / 10
				default:
					cut++
				}
				if err := p.migrator(from(killFiles())).Migrate(context.Background()); err != nil {
					t.Fatalf("the next run: %v", err)
				}
				if n := p.wholeOrAbsent(t); n != killSteps {
					t.Fatalf("%d of %d migrations after the next run", n, killSteps)
				}
			}
			t.Logf("%d of %d runs were killed between their first and their last migration", cut, rounds)
			if cut == 0 {
				t.Error("no run was killed in its middle: the test shows nothing")
			}
		})
	}
}

// beVictim is the child process. It says when it begins, and when its run has started.
func beVictim(t *testing.T, victim string) {
	part := strings.SplitN(victim, " ", 3)
	db, err := sql.Open(part[0], part[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("begin")
	started := gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if _, is := e.(gooseplus.RunStarted); is {
			fmt.Println("started")
		}
	})
	if err := gooseplus.New(db, gooseplus.WithDialect(part[1]), from(killFiles()), started).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("end")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// victim starts the child process and waits until it says so.
func (p *place) victim(t *testing.T, says string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), victimEnv+"="+p.driver+" "+p.dialect+" "+p.dsn)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == says {
			return cmd, lines
		}
	}
	t.Fatalf("the child process did not say %s: %v", says, cmd.Wait())
	return nil, nil
}

// undisturbed measures a run of the child process, so that the kills can be spread over it.
func (p *place) undisturbed(t *testing.T, since string) time.Duration {
	t.Helper()
	cmd, lines := p.victim(t, since)
	started := time.Now()
	for lines.Scan() && lines.Text() != "end" {
	}
	took := time.Since(started)
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return took
}

// kill9 runs the child process and kills it after a while, which is what makes each round differ.
func (p *place) kill9(t *testing.T, since string, after time.Duration) {
	t.Helper()
	cmd, lines := p.victim(t, since)
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // until the pipe is closed
	}
	_ = cmd.Wait() // "signal: killed", or nothing if it was faster
	p.orphansGone(t)
}

// orphansGone waits until the server has noticed that the killed process is gone: what it sent is
// executed to the end, and without the global lock the next run would start beside it.
func (p *place) orphansGone(t *testing.T) {
	t.Helper()
	if p.dialect != "postgres" {
		return
	}
	eventually(t, "the killed process's connection is gone", func() bool {
		others := column[int](t, p.db, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		return others[0] == p.db.Stats().OpenConnections-1
	})
}

// reset empties the database.
func (p *place) reset(t *testing.T) {
	t.Helper()
	for _, table := range column[string](t, p.db, p.target.tables) {
		p.exec(t, "DROP TABLE "+table)
	}
	p.exec(t, "DROP TABLE IF EXISTS goose_db_version")
}

// wholeOrAbsent fails the test unless both tables of each recorded migration are there, with their
// rows, and no other. It returns how many migrations there are.
func (p *place) wholeOrAbsent(t *testing.T) int {
	t.Helper()
	tables := column[string](t, p.db, p.target.tables)
	var versions []int64
	if err := p.db.QueryRow(`SELECT 1 FROM goose_db_version`).Scan(new(int)); err == nil {
		versions = p.state(t).versions
	}
	var want []string
	for i, v := range versions {
		if v != int64(i+1) {
			t.Fatalf("versions %v", versions)
		}
		for _, prefix := range []string{"a", "b"} {
			name := fmt.Sprintf("%s%03d", prefix, v)
			want = append(want, name)
			if n := column[int](t, p.db, "SELECT count(*) FROM "+name); n[0] != 1 {
				t.Fatalf("%d rows in %s", n[0], name)
			}
		}
	}
	slices.Sort(want)
	if !slices.Equal(tables, want) {
		t.Fatalf("versions %v, but tables %v", versions, tables)
	}
	return len(versions)
}
