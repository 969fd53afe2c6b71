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
// server takes to copy a database. There is one in advance for each set of migrations. The databases of tests that are over
// are dropped a few at a time, after that, so that up to eight of them may be there, and those that are being dropped. All
// of it goes on in goroutines, also between tests, and with the connections that a process has for this anyway.
//
// When the tests are done, what is left is dropped, and the servers that [Server] has started are stopped. Run returns the
// exit code of the tests. If a database can't be dropped, standard error says so, and the code is 1 instead of 0.
func Run(m interface{ Run() int }) int {
	return dbtest.Tests{M: inAdvance{m}}.Run()
}

// inAdvance are tests with databases made in advance.
type inAdvance struct{ tests interface{ Run() int } }

func (r inAdvance) Run() int {
	spares.allow(true)
	code := r.tests.Run()
	spares.allow(false)
	spares.failed(dropSpares())
	if err := spares.fault(); err != nil {
		fmt.Fprintln(os.Stderr, "gooseplustest:", redact.Text(err.Error()))
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

func (s *sparing) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

// fault is what has failed, which is told once.
func (s *sparing) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	s.err = nil
	return err
}
