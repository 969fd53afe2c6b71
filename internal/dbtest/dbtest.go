// Package dbtest gives tests real database servers.
//
// A package that needs one calls [Main] from its TestMain, asks for a server with [Postgres] or [MySQL], and for a
// fresh database on it with [Server.NewDatabase]. A server is started when the first test asks for it and is shared
// by the tests of one process. `go test ./...` runs one process for each package, each with servers and ports of
// its own. `make test` starts the servers once for all packages, with internal/dbtest/serve.
//
// So a test looks at nothing but its own database: pg_stat_activity and the process list show other tests too. What
// belongs to a whole server (a role, a setting, on MariaDB a second schema) gets a name of its own, and is dropped.
//
// # Where the servers come from
//
// In this order:
//
//  1. The DSN in GOOSEPLUS_TEST_POSTGRES (a URL, PostgreSQL 13 or newer) or GOOSEPLUS_TEST_MYSQL (as
//     go-sql-driver/mysql writes it; MySQL or MariaDB). Its user must be allowed to create and drop databases. A
//     server that is named so and does not answer is an error.
//  2. A container that the program docker runs, of the images GOOSEPLUS_TEST_POSTGRES_IMAGE and
//     GOOSEPLUS_TEST_MYSQL_IMAGE, each repository:tag; by default the official images of PostgreSQL and MariaDB.
//  3. Server programs installed on this machine, PostgreSQL and MariaDB, started in a temporary directory. Root
//     starts them as an unprivileged user, since neither runs as root.
//
// GOOSEPLUS_TEST_SERVERS=docker or GOOSEPLUS_TEST_SERVERS=local allows only that way.
//
// A test is skipped where no way leads to a server: no program, no engine that answers, an image that can't be pulled.
// It fails instead when GOOSEPLUS_REQUIRE_SERVERS=1, as it is in CI, and whenever a server is there and doesn't start.
// `go test` hides skips, so [Main] also appends a line about them to the file named by GOOSEPLUS_TEST_SKIPS, which
// `make test` prints.
//
// # How the servers behave
//
// They listen on a free port of 127.0.0.1, want a password (random for each server), accept 500 connections, and
// never sync to disk. They do not outlive the test process, however it ends: another process holds the reading end of a
// pipe, and stops the server and removes its files when the kernel closes the other end. That is a watchdog of a local
// server's own, and the program docker for a container.
// dbtest leaves no goroutine behind in the test process.
//
// [OwnPostgres] and [OwnMySQL] start one more, of the installed programs, for a test that takes its power or restarts it.
//
// [PgBouncer] puts the distribution's pgbouncer in front of such a PostgreSQL, for one test, on the same terms: it is
// installed or the test is skipped, or fails where servers are required. [Chromium] finds the browser, likewise.
package dbtest

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// Main runs the tests, stops every server that they started, removes the servers' files, and exits with the tests'
// status. Call it from TestMain of each package that uses [Postgres] or [MySQL].
func Main(m *testing.M) { os.Exit(Tests{M: m}.Run()) }

// Tests are those of a package whose TestMain has more to do than Main: Run is Main without the exit.
type Tests struct {
	M interface{ Run() int }
	// OwnServers keeps away from those that [Serve] shares: the tests stop a server, or count what is on it.
	OwnServers bool
	// Parallel is how many parallel tests run at once for each processor, unless the flag -parallel says it. The default
	// is 2: most of their time tests wait for a server, and other packages are tested at the same time.
	Parallel int
}

// Run runs the tests and returns their status.
func (t Tests) Run() int {
	process.ready(!t.OwnServers)
	t.waitTogether()
	code := t.M.Run()
	if err := process.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "dbtest:", err)
	}
	return code
}

// waitTogether lets more parallel tests run at once than there are processors.
func (t Tests) waitTogether() {
	if !flag.Parsed() {
		flag.Parse()
	}
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(cmp.Or(t.Parallel, 2)*runtime.GOMAXPROCS(0))) // nothing is wrong with that number
	}
}

// Unattended is for tests whose TestMain, if there is one, doesn't call Main: the watchdogs alone end the servers,
// and the line about skipped tests is written with the first of them.
func Unattended() { process.unattended() }

// Postgres returns the PostgreSQL server of this process, which is started on the first call. It skips or fails the
// test when there is none.
func Postgres(t testing.TB) Server {
	t.Helper()
	return process.server(t, postgres)
}

// MySQL returns the MariaDB (or MySQL, if so configured) server of this process, which is started on the first call.
// It skips or fails the test when there is none.
func MySQL(t testing.TB) Server {
	t.Helper()
	return process.server(t, mariadb)
}

// SQLiteFile returns the path of a SQLite database that does not exist yet, in a directory that is removed when the
// test ends. It has no character that means something in a URI, as the # of a subtest's name does in that of t.TempDir.
func SQLiteFile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gooseplus-sqlite-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "test.db")
}
