package gooseplustest

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// makesAtOnce is how many templates a process makes at once. Each has a connection of its own for that time.
const makesAtOnce = 2

// pgServer is a PostgreSQL server as this process uses it.
type pgServer struct {
	pgAdmin
	pgFacts
	makes chan struct{} // one for each template that is being made

	mu        sync.Mutex
	templates map[string]*pgTemplate // guarded by mu; by the key of the set
	spared    []*pgTemplate          // guarded by mu; those that have a copy in advance, the latest last
	used      []pgUsed               // guarded by mu; databases of tests that are over
	swept     sync.Once
}

// pgServers are the servers by their DSN, for all tests of the process.
var pgServers = struct {
	sync.Mutex
	byDSN map[string]*pgServer
}{byDSN: make(map[string]*pgServer)}

// pgServerAt returns the server of a DSN.
func pgServerAt(dsn string) *pgServer {
	dsn = strings.TrimSpace(dsn)
	pgServers.Lock()
	defer pgServers.Unlock()
	s := pgServers.byDSN[dsn]
	if s == nil {
		s = &pgServer{makes: make(chan struct{}, makesAtOnce), templates: make(map[string]*pgTemplate)}
		s.pgAdmin = pgAdmin{dsn: dsn, slots: make(chan struct{}, adminConnections), relieved: s.disconnectSpares}
		pgServers.byDSN[dsn] = s
	}
	return s
}

// contextOf outlives the context of a test, which ends before its Cleanups: all that is done for a test has a limit of
// its own. To cancel a statement may break the connection that says that this process lives.
func contextOf(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }
