package gooseplustest

import (
	"sync"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// postgresEnv names a server that runs already.
const postgresEnv = "GOOSEPLUS_TEST_POSTGRES"

// Server returns the DSN of a PostgreSQL server, a URL. It is, in this order,
//
//   - the one that the environment variable GOOSEPLUS_TEST_POSTGRES names;
//   - one in a docker container: of the image that GOOSEPLUS_TEST_POSTGRES_IMAGE names, or the official one;
//   - one whose programs are installed on this machine, in a temporary directory.
//
// GOOSEPLUS_TEST_SERVERS=docker or local allows only that way. The last two are started when a test asks first, are
// shared by the tests of the process, and end with it however it ends; each package that `go test ./...` tests has its
// own then. They never sync to disk.
//
// Without any server the test is skipped. With GOOSEPLUS_REQUIRE_SERVERS=1, which a CI should set, it fails.
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
