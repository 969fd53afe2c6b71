package gooseplustest

import (
	"sync"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// postgresEnv names a server that runs already.
const postgresEnv = "GOOSEPLUS_TEST_POSTGRES"

// Server returns the DSN of a PostgreSQL server, as a URL. It tries, in this order:
//
//   - the server that the environment variable GOOSEPLUS_TEST_POSTGRES names;
//   - a container, started by the program docker. The image is postgres:17, or the one that GOOSEPLUS_TEST_POSTGRES_IMAGE
//     names. It is pulled if it is not on this machine. The port is published on 127.0.0.1 only, unless the docker engine runs
//     on another machine;
//   - PostgreSQL's programs, if they are installed on this machine, in a temporary directory.
//
// GOOSEPLUS_TEST_SERVERS=docker or GOOSEPLUS_TEST_SERVERS=local allows only the second or the third.
//
// The first test that asks starts the server. All tests of the process share it, so go test ./... starts one for each package;
// set GOOSEPLUS_TEST_POSTGRES to share one between packages. A server that the kit starts never syncs to disk, and ends with
// the test process, even if that is killed.
//
// Where none of these is there, the test is skipped and says what is missing: no program, no docker engine that answers, an
// image that can't be pulled. With GOOSEPLUS_REQUIRE_SERVERS=1, which CI should set, it fails instead. It always fails if the
// server that GOOSEPLUS_TEST_POSTGRES names does not answer, and if a server does not start.
func Server(t testing.TB) string {
	t.Helper()
	dbtest.Unattended()
	return dsnOf(dbtest.Postgres(t))
}

// private are the addresses of servers that end with this process.
var private sync.Map

func dsnOf(s dbtest.Server) string {
	if !s.Outlives() {
		private.Store(address(s.DSN()), true)
	}
	return s.DSN()
}

func isPrivate(dsn string) bool {
	_, found := private.Load(address(dsn))
	return found
}
