package conformance

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestReplicas boots several replicas of a service at the same moment, each with a pool of its own.
func TestReplicas(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		p.patient()
		fsys := chain(20)
		var wg sync.WaitGroup
		started := time.Now()
		for range 12 {
			wg.Go(func() {
				db := p.open(t)
				defer db.Close()
				if err := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys), gooseplus.WithGlobalLock(true)).Migrate(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		t.Logf("12 replicas took %v", time.Since(started))
		var want []int64
		var tables []string
		for i := 1; i <= 20; i++ {
			want = append(want, int64(i))
			tables = append(tables, fmt.Sprintf("t%03d", i))
		}
		p.want(t, want, tables)
		p.wantNothingNamed(t)
		if runs := column[string](t, p.db, `SELECT outcome FROM goose_db_version_lock WHERE kind = 'run'`); fmt.Sprint(runs) != "[migrated]" {
			t.Errorf("runs %v", runs)
		}
	})
}

// patient lets an SQLite connection wait for others, as every application with more than one has
// to; mattn's driver does so by default.
func (p *place) patient() {
	if p.driver == "sqlite" {
		p.dsn += "?_pragma=busy_timeout(10000)"
	}
}

const (
	replicaEnv = "GOOSEPLUS_REPLICA" // driver, dialect and DSN of a process that boots
)

// TestReplicaProcesses boots many processes at the same moment.
func TestReplicaProcesses(t *testing.T) {
	if replica := os.Getenv(replicaEnv); replica != "" {
		beReplica(t, replica)
		return
	}
	t.Parallel()
	for _, x := range targets {
		if x.driver != "postgres" && x.driver != "mysql" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := x.place(t)
			for range chaosRounds(1, 10) {
				p.reset(t)
				p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
				p.bootAll(t, chaosRounds(25, 100))
				if versions := p.state(t).versions; len(versions) != 20 {
					t.Errorf("versions %v", versions)
				}
				p.wantNothingNamed(t)
			}
		})
	}
}

// bootAll starts the processes, lets them go when all are ready, and waits for them.
func (p *place) bootAll(t *testing.T, replicas int) {
	t.Helper()
	type process struct {
		cmd   *exec.Cmd
		stdin io.WriteCloser
		lines *bufio.Scanner
	}
	var all []process
	for range replicas {
		cmd := exec.Command(os.Args[0], "-test.run=^TestReplicaProcesses$")
		cmd.Env = append(os.Environ(), replicaEnv+"="+p.driver+" "+p.dialect+" "+p.dsn)
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, process{cmd, stdin, bufio.NewScanner(stdout)})
	}
	for _, r := range all {
		for r.lines.Scan() && r.lines.Text() != "ready" {
		}
	}
	started := time.Now()
	for _, r := range all {
		if err := r.stdin.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var first, last time.Duration
	failed := 0
	for _, r := range all {
		var took time.Duration
		for r.lines.Scan() {
			if text, ok := strings.CutPrefix(r.lines.Text(), "done "); ok {
				at, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				took = time.Unix(0, at).Sub(started)
			} else if strings.Contains(r.lines.Text(), "replica:") {
				t.Error(r.lines.Text())
			}
		}
		if err := r.cmd.Wait(); err != nil || took == 0 {
			failed++
		}
		if first == 0 || took < first {
			first = took
		}
		last = max(last, took)
	}
	if failed > 0 {
		t.Errorf("%d of %d replicas failed", failed, replicas)
	}
	t.Logf("%d processes: the first was done after %v, the last %v later", replicas, first, last-first)
}

func beReplica(t *testing.T, replica string) {
	part := strings.SplitN(replica, " ", 3)
	db, err := sql.Open(part[0], part[2])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m := gooseplus.New(db, gooseplus.WithDialect(part[1]), from(chain(20)), gooseplus.WithGlobalLock(true))
	fmt.Println("ready")
	if _, err := io.ReadAll(os.Stdin); err != nil {
		t.Fatal(err)
	}
	if err := m.Migrate(context.Background()); err != nil {
		t.Fatalf("replica: %v", err)
	}
	fmt.Println("done", time.Now().UnixNano())
}
