package gooseplustest

import (
	"fmt"
	"os"
	"sync"

	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Run runs the tests of a package and returns their exit code. It is for a TestMain, and nobody needs it:
//
//	func TestMain(m *testing.M) { os.Exit(gooseplustest.Run(m)) }
//
// Within it, [Postgres] has the next database made while a test works with its own, one for each set of migrations, so
// that the next test need not wait for the server. That goes on in a goroutine between tests. When the tests are done, what
// nobody has used is dropped, and the servers that [Server] has started are stopped. If a database can't be dropped,
// standard error says so, and the exit code is 1 unless the tests have another one already.
func Run(m interface{ Run() int }) int {
	return dbtest.Tests{M: inAdvance{m}}.Run()
}

// inAdvance are tests with databases made in advance.
type inAdvance struct{ tests interface{ Run() int } }

func (r inAdvance) Run() int {
	spares.allow(true)
	code := r.tests.Run()
	spares.allow(false)
	if err := dropSpares(); err != nil {
		fmt.Fprintln(os.Stderr, "gooseplustest: drop what no test has used:", redact.Text(err.Error()))
		code = max(code, 1)
	}
	return code
}

// spares says whether databases are made in advance: only if there is somebody to drop those that are left over.
var spares sparing

type sparing struct {
	mu      sync.Mutex
	allowed bool           // guarded by mu
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
