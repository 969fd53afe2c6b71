package gooseplustest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

const (
	processes = 8

	childEnv = "GOOSEPLUSTEST_CHILD"
	aheadEnv = "GOOSEPLUSTEST_AHEAD" // the child's TestMain calls Run
)

// testsPerProcess says how many tests a process has, and how many of them at once: more with GOOSEPLUS_CHAOS=1.
func testsPerProcess() (tests, atOnce int) {
	if os.Getenv("GOOSEPLUS_CHAOS") != "" {
		return 25, 8
	}
	return 5, 4
}

// TestManyProcesses has tests in eight processes, all of which want the same template at the same moment. Every other
// process calls Run.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	testManyProcesses(t, func(i int) bool { return i%2 == 0 })
}

func TestManyProcessesWithoutRun(t *testing.T) {
	chaos(t)
	testManyProcesses(t, func(int) bool { return false })
}

func TestManyProcessesWithRun(t *testing.T) {
	chaos(t)
	testManyProcesses(t, func(int) bool { return true })
}

// chaos skips what takes long and shows, in other proportions, what another test shows.
func chaos(t *testing.T) {
	t.Helper()
	if os.Getenv("GOOSEPLUS_CHAOS") == "" {
		t.Skip("only with GOOSEPLUS_CHAOS=1")
	}
	t.Parallel()
}

func testManyProcesses(t *testing.T, ahead func(process int) bool) {
	t.Helper()
	tests, atOnce := testsPerProcess()
	// connectionBound is what all of them may take: a process has its own connections, and each test that runs the one
	// that it works on. A test that passed leaves one more behind for the moment in which the server ends it, and with Run
	// there is one to the next database, instead of the one to a database that is not there yet.
	connectionBound := processes * (adminConnections + 2*atOnce)
	dsn := Server(t)
	db := admin(t)
	builds, run := t.TempDir()+"/builds", rand.Text()
	var children []*exec.Cmd
	var outputs [processes]bytes.Buffer
	var gate []io.Closer
	for i := range processes {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOneProcessOfMany$", "-test.v", "-test.shuffle=on", fmt.Sprintf("-test.parallel=%d", atOnce))
		cmd.Env = append(os.Environ(), childEnv+"="+builds, "GOOSEPLUSTEST_RUN="+run, postgresEnv+"="+dsn, "PGAPPNAME="+run)
		if ahead(i) {
			cmd.Env = append(cmd.Env, aheadEnv+"=1")
		}
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		children, gate = append(children, cmd), append(gate, stdin)
	}
	ended := make(chan struct{})
	var sampler sync.WaitGroup
	most := 0
	sampler.Go(func() { most = mostConnections(db, run, ended) })
	for _, g := range gate {
		_ = g.Close() // the child may have died; its status says so
	}
	var names []string
	for i, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, outputs[i].String())
		}
		if n := bytes.Count(outputs[i].Bytes(), []byte("--- PASS: TestOneProcessOfMany/")); n != tests {
			t.Errorf("process %d: %d tests passed", i, n)
		}
		names = append(names, processOf(t, outputs[i].String()))
	}
	close(ended)
	sampler.Wait()

	if content, err := os.ReadFile(builds); err != nil || len(content) != 1 {
		t.Errorf("the migrations ran %d times, error %v", len(content), err)
	}
	wantNothingLeft(t, names)
	if most > connectionBound || most < processes {
		t.Errorf("%d connections, want at most %d", most, connectionBound)
	}
	t.Logf("at most %d connections at once", most)
}

// mostConnections looks again and again how many connections the processes of a run have.
func mostConnections(db *sql.DB, run string, ended chan struct{}) (most int) {
	for {
		var n int
		err := db.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, run).Scan(&n)
		if err == nil {
			most = max(most, n)
		}
		select {
		case <-ended:
			return most
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestOneProcessOfMany(t *testing.T) {
	builds := os.Getenv(childEnv)
	if builds == "" {
		t.Skip("runs only as a child of TestManyProcesses")
	}
	tellProcess(t)
	counted := goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
		f, err := os.OpenFile(builds, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if _, err := f.WriteString("x"); err != nil {
			return err
		}
		return f.Close()
	}}, nil)
	fsys := folder("sql/base/1_many.sql", "sql/test/2_seed.sql") // the same in all of them, and in no other run
	fsys["sql/base/1_many.sql"].Data = append(fsys["sql/base/1_many.sql"].Data, "-- "+os.Getenv("GOOSEPLUSTEST_RUN")+"\n"...)
	_, _ = io.Copy(io.Discard, os.Stdin) // until all of them are there
	var ahead atomic.Int64
	t.Cleanup(func() {
		// With Run, all tests of a busy process may have begun to copy before the first one in advance was there.
		if made := ahead.Load(); made > 0 && os.Getenv(aheadEnv) == "" {
			t.Errorf("%d databases were made in advance", made)
		}
	})
	tests, _ := testsPerProcess()
	for i := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := Postgres(t, "", files(fsys), gooseplus.WithGoMigrations(counted))
			if ofAnyTest(databaseOf(t, db)) {
				ahead.Add(1)
			}
			mustExec(t, db, "INSERT INTO many VALUES (1)") // twice in one database would fail
			if got := tables(t, db); fmt.Sprint(got) != "[many seed]" {
				t.Errorf("tables %v", got)
			}
		})
	}
}

// A process that is killed while it makes the template holds nobody up.
func TestTheProcessThatMakesTheTemplateIsKilled(t *testing.T) {
	dsn := Server(t)
	run := rand.Text()
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcessThatIsKilled$", "-test.v")
	cmd.Env = append(os.Environ(), killedEnv+"="+run, "GOOSEPLUS_TEST_POSTGRES="+dsn)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read, reached := make([]byte, 1), new(bytes.Buffer)
	for !bytes.Contains(reached.Bytes(), []byte(killedAt)) {
		if _, err := stdout.Read(read); err != nil {
			t.Fatalf("the process ended by itself: %v\n%s", err, reached)
		}
		reached.Write(read)
	}
	if left := ours(t, kindBuilding); len(left) == 0 {
		t.Fatalf("half-made templates: %v", left)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed

	db := Postgres(t, dsn, files(killedSet(run)), gooseplus.WithGoMigrations(killedMigration(func() {})))
	if got := tables(t, db); fmt.Sprint(got) != "[killed]" {
		t.Errorf("tables %v", got)
	}
	pgServerAt(dsn).sweep(t.Context(), projectName())
	if left := ownerless(t, kindBuilding); len(left) != 0 {
		t.Errorf("half-made templates: %v", left)
	}
}

const (
	killedEnv = "GOOSEPLUSTEST_KILLED"
	killedAt  = "in the middle of the template"
)

func killedSet(run string) fstest.MapFS {
	fsys := folder("sql/base/1_killed.sql")
	fsys["sql/base/1_killed.sql"].Data = append(fsys["sql/base/1_killed.sql"].Data, "-- "+run+"\n"...)
	return fsys
}

func killedMigration(then func()) *goose.Migration {
	return goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { then(); return nil }}, nil)
}

func TestProcessThatIsKilled(t *testing.T) {
	run := os.Getenv(killedEnv)
	if run == "" {
		t.Skip("runs only as the child of TestTheProcessThatMakesTheTemplateIsKilled")
	}
	Postgres(t, "", files(killedSet(run)), gooseplus.WithGoMigrations(killedMigration(func() {
		fmt.Println(killedAt)
		select {}
	})))
}
