package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// terminal is a command on a terminal, of which a test sees what a person would.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	file   *os.File
	screen vt10x.Terminal
	read   chan struct{} // closed when there is no more output

	mu  sync.Mutex
	raw strings.Builder // guarded by mu; everything that was written
}

// onTerminal starts gooseplus in a folder.
func onTerminal(t *testing.T, dir string, env []string, args ...string) *terminal {
	t.Helper()
	x := &terminal{t: t, cmd: exec.Command("gooseplus", args...), screen: vt10x.New(vt10x.WithSize(160, 50)), read: make(chan struct{})}
	x.cmd.Dir = dir
	x.cmd.Env = append(append(os.Environ(), "TERM=xterm"), env...)
	var err error
	if x.file, err = pty.StartWithSize(x.cmd, &pty.Winsize{Cols: 160, Rows: 50}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(x.read)
		_, _ = io.Copy(io.MultiWriter(x.screen, x), x.file) // its end is an error on Linux
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill() // it has ended, or the test failed
		_ = x.file.Close()
	})
	return x
}

func (x *terminal) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.raw.Write(p)
}

func (x *terminal) written() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.raw.String()
}

// shown is the screen, without what is blank.
func (x *terminal) shown() string {
	var lines []string
	for line := range strings.SplitSeq(x.screen.String(), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// see waits until the screen shows something.
func (x *terminal) see(pattern string) string {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s := x.shown(); re.MatchString(s) {
			return s
		}
	}
	x.t.Fatalf("the screen never showed %s:\n%s", pattern, x.shown())
	return ""
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := io.WriteString(x.file, keys); err != nil {
		x.t.Fatal(err)
	}
}

const ctrlC = "\x03"

// exit waits for the end, and returns what the screen shows then.
func (x *terminal) exit(code int) string {
	x.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- x.cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(2 * time.Minute):
		x.t.Fatalf("it didn't end:\n%s", x.shown())
	}
	<-x.read
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		x.t.Fatal(err)
	}
	if got != code {
		x.t.Errorf("exit code %d, want %d:\n%s", got, code, x.shown())
	}
	return x.shown()
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func contains(t *testing.T, screen string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen doesn't show %q:\n%s", want, screen)
		}
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n",
		"sql/base/2_b.sql": "-- +goose Up\nCREATE TABLE b (id INTEGER);\n-- +goose Down\nDROP TABLE b;\n",
	})
	env := []string{"GOOSEPLUS_DSN=sqlite:shop.db?_auth_pass=s3cret"}
	onTerminal(t, dir, env, "up").exit(0)
	for _, command := range [][]string{{"down-to", "0"}, {"rollback", "--steps", "2"}, {"force", "1"}} {
		for _, answer := range []string{"no\r", "\r", "\x04"} {
			x := onTerminal(t, dir, env, command...)
			x.see(`Type yes to go on:$`)
			x.press(answer)
			contains(t, x.exit(2), "on sqlite:shop.db.", "error: not confirmed; nothing was done")
		}
		x := onTerminal(t, dir, env, command...)
		x.see(`Type yes to go on:$`)
		x.press(ctrlC)
		contains(t, x.exit(1), "interrupted")
	}
	x := onTerminal(t, dir, env, "version")
	contains(t, x.exit(0), "2")

	x = onTerminal(t, dir, env, "down-to", "0")
	screen := x.see(`This will undo ALL migrations on sqlite:shop.db. Type yes to go on:$`)
	if strings.Contains(screen, "s3cret") {
		t.Error("the password is on the screen")
	}
	x.press("yes\r")
	contains(t, x.exit(0), "2 undone in", "the database is at version 0")
}

func TestColours(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n"})
	for _, tc := range []struct {
		name    string
		env     []string
		args    []string
		colours bool
	}{
		{"on a terminal", nil, nil, true},
		{"NO_COLOR", []string{"NO_COLOR=1"}, nil, false},
		{"--no-color", nil, []string{"--no-color"}, false},
		{"a dumb terminal", []string{"TERM=dumb"}, nil, false},
		{"JSON", nil, []string{"-o", "json"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := onTerminal(t, dir, append(tc.env, "GOOSEPLUS_DSN=sqlite:shop.db"), append(tc.args, "status")...)
			contains(t, x.exit(0), "pending", "sql/base/1_a.sql")
			if got := strings.Contains(x.written(), "\x1b["); got != tc.colours {
				t.Errorf("colours: %t\n%q", got, x.written())
			}
		})
	}
}

// TestInterruptALook presses Ctrl-C when the first of three tenants has been looked at, and the second one doesn't answer.
func TestInterruptALook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n"})
	var tenants [3]dbtest.Database
	var query []string
	for i := range tenants {
		tenants[i] = dbtest.Postgres(t).NewDatabase(t)
		query = append(query, fmt.Sprintf("SELECT %d AS place, 't%[1]d' AS name, '%[2]s' AS dsn", i, tenants[i].DSN))
	}
	args := []string{"--databases-query", "SELECT name, dsn FROM (" + strings.Join(query, " UNION ALL ") + ") AS t ORDER BY place", "--concurrency", "1"}
	env := []string{"GOOSEPLUS_DSN=" + tenants[0].DSN}
	onTerminal(t, dir, env, append([]string{"tenants", "up"}, args...)...).exit(0)

	held, err := tenants[1].Open(t, "pgx").Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Rollback() }()
	if _, err := held.Exec(`LOCK TABLE goose_db_version`); err != nil {
		t.Fatal(err)
	}
	x := onTerminal(t, dir, env, append([]string{"tenants", "status"}, args...)...)
	x.see(`\(1/3\)`)
	x.press(ctrlC)
	contains(t, x.exit(6), "3 tenants: 1 up to date, 0 pending, 0 failed, 2 skipped", "error: interrupted: 2 of 3 tenants are not done")
}

// TestInterrupt presses Ctrl-C when 50 of 100 tenants are done and four are in the middle of their second
// migration, and again while they are on their way back. Locks of the test hold them there.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	const workers = 4
	database := dbtest.Postgres(t).NewDatabase(t)
	db := database.Open(t, "pgx")
	ctx := context.Background()
	exec := func(query string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE FUNCTION pass(gate bigint) RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			IF current_schema() > 't050' THEN PERFORM pg_advisory_xact_lock_shared(gate); END IF;
			RETURN true;
		END $$`)
	for i := 1; i <= 100; i++ {
		exec(fmt.Sprintf(`CREATE SCHEMA t%03d`, i))
	}
	gates, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer gates.Close()
	if _, err := gates.ExecContext(ctx, `SELECT pg_advisory_lock(1), pg_advisory_lock(2)`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{
		// SET LOCAL keeps it from running in one transaction with the next migration.
		"sql/base/1_a.sql": "-- +goose Up\nSET LOCAL work_mem = '4MB';\nCREATE TABLE a (id integer);\n-- +goose Down\nSELECT public.pass(2);\nDROP TABLE a;\n",
		"sql/base/2_b.sql": "-- +goose Up\nSELECT public.pass(1);\nCREATE TABLE b (id integer);\n-- +goose Down\nDROP TABLE b;\n",
	})
	x := onTerminal(t, dir, []string{"GOOSEPLUS_DSN=" + database.DSN}, "tenants", "up", "--schemas-like", "t%", "--concurrency", fmt.Sprint(workers))

	screen := x.see(`tenants.* 50% \|█+ +\| \(50/100\)`)
	waiting := func(gate, n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			var have int
			if err := db.QueryRowContext(ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
				AND objid = $1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, gate).Scan(&have); err != nil {
				t.Fatal(err)
			}
			if have == n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d statements wait at gate %d, want %d\n%s", have, gate, n, x.shown())
			}
		}
	}
	waiting(1, workers)
	if strings.Count(screen, "\n") > 2 {
		t.Errorf("there is more than the bar:\n%s", screen)
	}

	x.press(ctrlC)
	x.see(`interrupted: waiting until the running migrations have ended or are undone; press Ctrl-C again to see which`)
	waiting(2, workers) // in the Down
	x.press(ctrlC)
	screen = x.see(`still running: `)
	contains(t, screen, "undoing 1 (sql/base/1_a.sql), for ")
	if n := strings.Count(screen, ": undoing 1"); n != workers {
		t.Errorf("%d tenants are on the way back:\n%s", n, screen)
	}
	if _, err := gates.ExecContext(ctx, `SELECT pg_advisory_unlock(2)`); err != nil {
		t.Fatal(err)
	}
	screen = x.exit(6)
	contains(t, screen, "100 tenants: 50 migrated, 0 up to date, 4 failed, 46 skipped", "error: interrupted: 50 of 100 tenants are not done", "failed and undone")
	if strings.Contains(screen, "█") {
		t.Errorf("the bar is still there:\n%s", screen)
	}
	if strings.Contains(x.written(), database.Password) && database.Password != "" {
		t.Error("the password was written")
	}

	var tables, applied int
	if err := db.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE schemaname <= 't050') FROM pg_tables WHERE tablename IN ('a', 'b')`).Scan(&tables, &applied); err != nil {
		t.Fatal(err)
	}
	if tables != 100 || applied != 100 {
		t.Errorf("%d tables, %d of them in the tenants that are done; want 100 and 100", tables, applied)
	}
	for i := 51; i <= 50+workers; i++ {
		var n int
		if err := db.QueryRowContext(ctx, fmt.Sprintf(`SELECT count(*) FROM t%03d.goose_db_version WHERE version_id > 0`, i)).Scan(&n); err != nil || n != 0 {
			t.Errorf("t%03d has %d versions, %v", i, n, err)
		}
	}
}

// TestSignals ends a run by each of the signals that end one, while a migration of SQLite works.
func TestSignals(t *testing.T) {
	t.Parallel()
	// Under nohup the tests ignore SIGHUP, and the program would inherit that. It doesn't if the test catches the signal.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, name := range []string{"INT", "TERM", "HUP"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{
				"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n",
				"sql/base/2_b.sql": "-- +goose Up\nCREATE TABLE b AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE pause() = 0) SELECT count(*) FROM c;\n-- +goose Down\nDROP TABLE b;\n",
			})
			cmd := exec.Command("gooseplus", "up")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOOSEPLUS_DSN=sqlite:shop.db")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			first := make([]byte, 1) // of the line that says that the first migration is applied
			if _, err := io.ReadFull(out, first); err != nil {
				t.Fatal(err)
			}
			if err := exec.Command("kill", "-s", name, fmt.Sprint(cmd.Process.Pid)).Run(); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("%v\n%s%s", err, text, stderr.String())
			}
			contains(t, string(text), "undone   1  sql/base/1_a.sql")
			contains(t, stderr.String(), "interrupted: waiting until", "the database is back at its starting point")
		})
	}
}

// TestInterruptedDown presses Ctrl-C while one tenant is in its Down and another one has not begun: that one is skipped.
func TestInterruptedDown(t *testing.T) {
	t.Parallel()
	database := dbtest.Postgres(t).NewDatabase(t)
	db := database.Open(t, "pgx")
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, `CREATE SCHEMA t1; CREATE SCHEMA t2; CREATE SCHEMA t3`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id integer);\n-- +goose Down\nDROP TABLE a;\n"})
	env := []string{"GOOSEPLUS_DSN=" + database.DSN}
	onTerminal(t, dir, env, "tenants", "up", "--schemas-like", "t_").exit(0)
	held, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Rollback() }()
	if _, err := held.ExecContext(ctx, `LOCK TABLE t1.a, t2.goose_db_version`); err != nil {
		t.Fatal(err)
	}
	x := onTerminal(t, dir, env, "tenants", "down", "--schemas-like", "t_", "--concurrency", "2", "--yes")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var n int
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IN ('t1.a'::regclass, 't2.goose_db_version'::regclass)
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d statements wait, %v\n%s", n, err, x.shown())
		}
		if n == 2 {
			break
		}
	}
	x.press(ctrlC)
	contains(t, x.exit(6), "3 tenants: 0 undone, 0 had nothing to undo, 1 failed, 2 skipped", "error: interrupted: 3 of 3 tenants are not done")
}

// TestLongMigration watches a migration that takes its time, at the foot of the terminal.
func TestLongMigration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n",
		"sql/base/2_b.sql": "-- +goose Up\nCREATE TABLE b AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE pause() = 0) SELECT count(*) FROM c;\n-- +goose Down\nDROP TABLE b;\n",
	})
	x := onTerminal(t, dir, []string{"GOOSEPLUS_DSN=sqlite:shop.db"}, "up")
	x.see(`applied  1  sql/base/1_a.sql .*\napplying 2 \(sql/base/2_b.sql\), for \d+s$`)
	x.press(ctrlC)
	screen := x.exit(1)
	contains(t, screen, "failed   2  sql/base/2_b.sql", "undone   1  sql/base/1_a.sql")
	if strings.Contains(screen, "applying 2") {
		t.Errorf("the line is still there:\n%s", screen)
	}
}

// TestSourceHangs interrupts the query for the tenants while it waits for a lock that is never given up.
func TestSourceHangs(t *testing.T) {
	t.Parallel()
	database := dbtest.Postgres(t).NewDatabase(t)
	db := database.Open(t, "pgx")
	dir := t.TempDir()
	write(t, dir, map[string]string{"sql/base/1_a.sql": "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 1;\n"})
	gate, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	for i, command := range []string{"list", "up", "status"} {
		if _, err := gate.ExecContext(context.Background(), `SELECT pg_advisory_lock($1)`, i); err != nil {
			t.Fatal(err)
		}
		x := onTerminal(t, dir, []string{"GOOSEPLUS_DSN=" + database.DSN}, "tenants", command, "--schemas-query", fmt.Sprintf("SELECT 'a' FROM pg_advisory_lock(%d)", i))
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			var n int
			err := db.QueryRow(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
				AND objid = $1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, i).Scan(&n)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%d queries wait, %v\n%s", n, err, x.shown())
			}
			if n > 0 {
				break
			}
		}
		x.press(ctrlC)
		contains(t, x.exit(1), "error: interrupted")
	}
}

// TestNohup sends a signal that whoever started the command wanted to be ignored.
func TestNohup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"wait":             "",
		"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n",
	})
	cmd := exec.Command("sh", "-c", "trap '' HUP; exec shop migrate up")
	cmd.Dir = dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "waiting")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill() // its migration never began
			_ = cmd.Wait()
			t.Fatal(out.String())
		}
	}
	if err := exec.Command("kill", "-s", "HUP", fmt.Sprint(cmd.Process.Pid)).Run(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"go-on": ""})
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "2 applied") || strings.Contains(out.String(), "interrupted") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestNobodyReads closes the output after the first line: the run goes on to its end.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := make(map[string]string)
	for i := 1; i <= 50; i++ {
		files[fmt.Sprintf("sql/base/%d_a.sql", i)] = fmt.Sprintf("-- +goose Up\nCREATE TABLE t%d (id INTEGER);\n-- +goose Down\nDROP TABLE t%[1]d;\n", i)
	}
	write(t, dir, files)
	cmd := exec.Command("gooseplus", "up")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOSEPLUS_DSN=sqlite:shop.db")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := errors.Join(r.Close(), cmd.Start(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	version := exec.Command("gooseplus", "version")
	version.Dir, version.Env = dir, cmd.Env
	if out, err := version.CombinedOutput(); err != nil || string(out) != "50\n" {
		t.Errorf("version %s, %v", out, err)
	}
}
