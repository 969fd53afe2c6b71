package gooseplustest

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Run runs the tests of a package and has the next database made while a test works with its own. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(gooseplustest.Run(m)) }
//
// It is only for speed: [Postgres] then takes less than a millisecond, if the test before worked for as long as the server
// takes to copy a database. From the second test of a set of migrations on, one database with a connection is made in advance,
// for each of the four sets that were used last.
//
// The databases of passed tests are dropped in the background, four at a time; at most eight of a server wait for that. A
// database that is tied to the rest of the server, for example by a grant to a role that the test has made or by a replication
// slot, is dropped as soon as the test ends.
//
// After the tests, Run drops what is left and stops the servers that [Server] has started. It returns the exit code of the
// tests. If a database can't be dropped, Run says so on standard error and returns 1 instead of 0. A server that does not
// answer any more is no error.
func Run(m interface{ Run() int }) int {
	return dbtest.Tests{M: inAdvance{m}}.Run()
}

// inAdvance are tests with databases made in advance.
type inAdvance struct{ tests interface{ Run() int } }

func (r inAdvance) Run() int {
	spares.allow(true)
	defer spares.allow(false)
	code := r.tests.Run()
	spares.allow(false)
	spares.failed(dropSpares())
	fault, left := spares.fault()
	if fault != nil {
		fmt.Fprintln(os.Stderr, "gooseplustest:", redact.Text(fault.Error()))
	}
	if left {
		code = max(code, 1)
	}
	return code
}

// spares says whether databases are made in advance: only if there is somebody to drop those that are left over.
var spares sparing

type sparing struct {
	mu      sync.Mutex
	allowed bool           // guarded by mu
	err     error          // guarded by mu; of databases that could not be dropped
	left    bool           // guarded by mu; they are there
	making  sync.WaitGroup // not added to unless allowed
}

// allow says whether goroutines may begin, and waits for those that go on if they may not any more.
func (s *sparing) allow(yes bool) {
	s.mu.Lock()
	s.allowed = yes
	s.mu.Unlock()
	if !yes {
		s.making.Wait()
	}
}

// begin calls what in a goroutine, if databases are made in advance.
func (s *sparing) begin(what func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allowed {
		s.making.Go(what)
	}
	return s.allowed
}

// are says whether databases are made in advance.
func (s *sparing) are() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allowed
}

// failed notes an error of what nobody waits for. If the server doesn't answer, as one that a test has started and stopped,
// its databases are nobody's problem.
func (s *sparing) failed(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
	s.left = s.left || !cut(err)
}

// fault is what has failed, and whether databases are left because of that. It is told once.
func (s *sparing) fault() (err error, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err, left = s.err, s.left
	s.err, s.left = nil, false
	return err, left
}
