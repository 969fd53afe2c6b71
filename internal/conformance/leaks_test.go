package conformance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // there is memory enough, and the servers need the processor
	// Of all packages this one takes longest by far.
	os.Exit(dbtest.Tests{M: leakless{m}, Parallel: 7}.Run())
}

// leakless fails the tests in the end if one of them has left a goroutine.
type leakless struct{ *testing.M }

func (l leakless) Run() int {
	code := l.M.Run()
	for {
		left, over := ended.look()
		if len(left) > 0 {
			fmt.Println(goroutinesLeft(left))
			code = max(code, 1)
		}
		if over {
			return code
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func goroutinesLeft(stacks []string) string {
	return "goroutines are left of the tests in their labels:\n" + strings.Join(stacks, "\n\n")
}

// leaks labels the goroutines that the test starts from here on, however indirectly: other tests run at the same
// time. After the call of the function that it returns they have to end.
func leaks(t *testing.T) (wantNone func()) {
	t.Helper()
	label := fmt.Sprintf("%s %d", t.Name(), leakLabels.Add(1))
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("test", label)))
	return func() {
		t.Helper()
		pprof.SetGoroutineLabels(context.Background()) // this one's own
		if left := ended.add(label); len(left) > 0 {
			t.Error(goroutinesLeft(left))
		}
	}
}

var leakLabels atomic.Int64

// ended are the tests of whose goroutines some may be left. They aren't looked for at the end of each test: a look costs
// milliseconds of the processor, since it walks every goroutine of all tests.
var ended = endedTests{at: make(map[string]time.Time)}

type endedTests struct {
	mu     sync.Mutex
	at     map[string]time.Time // guarded by mu; when they ended, by label
	looked time.Time            // guarded by mu
}

const (
	lookEvery = 5 * time.Second
	// leaveLimit is how long goroutines may outlive their test. pgx takes up to 15 seconds to close a connection whose query
	// was interrupted.
	leaveLimit = time.Minute
)

func (e *endedTests) add(label string) (left []string) {
	e.mu.Lock()
	e.at[label] = time.Now()
	now := time.Since(e.looked) > lookEvery
	if now {
		e.looked = time.Now()
	}
	e.mu.Unlock()
	if now {
		left, _ = e.look()
	}
	return left
}

// look returns the stacks of goroutines that should have ended by now. It forgets their tests, and the tests that have no
// goroutines any more. over says that no test is left to look at.
func (e *endedTests) look() (left []string, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil { // equal stacks are one text
		return []string{err.Error()}, true
	}
	stacks := strings.Split(all.String(), "\n\n")
	for _, label := range slices.Collect(maps.Keys(e.at)) {
		var own []string
		for _, stack := range stacks {
			if strings.Contains(stack, fmt.Sprintf("%q", label)) {
				own = append(own, stack)
			}
		}
		late := time.Since(e.at[label]) > leaveLimit
		if late {
			left = append(left, own...)
		}
		if late || len(own) == 0 {
			delete(e.at, label)
		}
	}
	return left, len(e.at) == 0
}
