package gooseplustest

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Run runs the tests of a package, with the next database made while a test works with its own. It is for a TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(gooseplustest.Run(m)) }
//
// Nothing needs it, but [Postgres] is ready in less than a millisecond then, if the test before worked for as long as the
// server takes to copy a database. There is one in advance for each of the four sets of migrations that were used last, from
// the second test of a set on, and a connection to it.
//
// The databases of tests that have passed are dropped in the background, four at a time; up to eight of a server wait for
// that. One that has something to do with the rest of the server, such as a grant to a role that the test has made or a
// replication slot, is dropped as the test ends.
//
// When the tests are done, what is left is dropped, and the servers that [Server] has started are stopped. Run returns the
// exit code of the tests. If a database can't be dropped, standard error says so, and the code is 1 instead of 0, unless
// its server doesn't answer any more.
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
