package conformance

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

const lockVictimEnv = "GOOSEPLUS_LOCK_VICTIM" // what it runs, driver, dialect and DSN

// victimFiles are n migrations that each count themselves after they slept.
func (x target) victimFiles(n int, each time.Duration) fstest.MapFS {
	named := make(map[string]*fstest.MapFile)
	for i := 1; i <= n; i++ {
		up := fmt.Sprintf("%s;\nINSERT INTO counted VALUES (%d);", x.sleeping(each), i)
		if x.transactionalDDL {
			up += fmt.Sprintf("\nCREATE TABLE t%03d (id INTEGER);", i)
		}
		named[fmt.Sprintf("%03d_v.sql", i)] = script(up, fmt.Sprintf("DELETE FROM counted WHERE v = %d;", i))
	}
	return files(named)
}

var victimSets = map[string]func(*place) fstest.MapFS{
	"slow":    func(p *place) fstest.MapFS { return p.victimFiles(1, 3*time.Second) },
	"slower":  func(p *place) fstest.MapFS { return p.victimFiles(1, 10*time.Second) },
	"slowest": func(p *place) fstest.MapFS { return p.victimFiles(1, 30*time.Second) },
}

// TestLockVictim is the process that gets killed.
func TestLockVictim(t *testing.T) {
	part := strings.SplitN(os.Getenv(lockVictimEnv), " ", 4)
	if len(part) != 4 {
		return
	}
	p := &place{target: target{driver: part[1], dialect: part[2], transactionalDDL: part[2] == "postgres"}, dsn: part[3]}
	db := p.open(t)
	err := p.locking(db, append(append(victimOptions(), victimSetOptions(p, part[0])...), from(victimSets[part[0]](p)), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if _, ok := e.(gooseplus.RunStarted); ok {
			fmt.Println("begin")
		}
	}))...).Migrate(context.Background())
	if err != nil {
		t.Error(err)
	}
}

// lockVictim starts the process and waits until it holds the lock and begins.
func (p victims) holder(t *testing.T, set string, env ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockVictim$")
	cmd.Env = append(append(os.Environ(), lockVictimEnv+"="+set+" "+p.driver+" "+p.dialect+" "+p.dsn), env...)
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
		if lines.Text() == "begin" {
			return func() {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
				for lines.Scan() {
				}
				_ = cmd.Wait()
			}
		}
	}
	t.Fatalf("the process did not begin: %v", cmd.Wait())
	return nil
}

// victims are processes that work on a place and are killed.
type victims struct{ *place }

// victim starts the child process and waits until it says so.
func (p victims) victim(t *testing.T, says string) (*exec.Cmd, *bufio.Scanner) {
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
func (p victims) undisturbed(t *testing.T, since string) time.Duration {
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
func (p victims) kill9(t *testing.T, since string, after time.Duration) {
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
func (p victims) orphansGone(t *testing.T) {
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

// wholeOrAbsent fails the test unless both tables of each recorded migration are there, with their
// rows, and no other. It returns how many migrations there are.
func (p victims) wholeOrAbsent(t *testing.T) int {
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
