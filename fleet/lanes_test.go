package fleet_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet"
)

// mostAtOnce samples how many runs hold the locks of tenants in a database, until it is called again.
func (s *stage) mostAtOnce(server string) func() int {
	var most atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for ctx.Err() == nil {
			var n int64
			if err := s.databases[server].QueryRowContext(ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n); err == nil {
				most.Store(max(most.Load(), n))
			}
			time.Sleep(3 * time.Millisecond)
		}
	})
	return func() int {
		cancel()
		sampling.Wait()
		return int(most.Load())
	}
}

// However many workers there are, no more tenants of a server are migrated at once than it has lanes.
func TestLanes(t *testing.T) {
	t.Parallel()
	schemas, lanes := 16, 3
	if long {
		schemas = 600
	}
	s := newStage(t, lanes, schemas, threeSlow(0.02))
	a, b := s.mostAtOnce("a"), s.mostAtOnce("b")
	s.work(4)
	s.start(fleet.Plan{Name: "one"})
	s.wait("one", 5*2*time.Minute, fleet.Done)
	if a, b := a(), b(); a > lanes || b > lanes || a < 2 {
		t.Errorf("%d runs at once on server a, %d on server b, of %d lanes", a, b, lanes)
	} else {
		t.Logf("at most %d runs at once on server a, %d on server b, of %d lanes, with 4 workers", a, b, lanes)
	}
	s.expectMarkers(2*schemas, 1, 2, 3)
}

// Whatever fails, no DSN and no password gets into the control database, the logs, or an error.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, 3, poisonable)
	s.poison("a_1")
	var logs lockedBuffer
	files := fstest.MapFS{}
	for name, text := range s.setup.Files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	dsn := s.setup.Servers["a"]
	servers := []fleet.Server{{Name: "a", Lanes: 1, Open: opener(dsn)}, {Name: "b", Lanes: 1, Open: func(_ context.Context, database string) (*sql.DB, error) {
		if database == "" {
			return opener(s.setup.Servers["b"])(context.Background(), "")
		}
		return nil, fmt.Errorf("can't open %s as password=%s", dsn, s.passwords[0])
	}}}
	f, err := fleet.New(s.control.DB, gooseplus.New(nil, gooseplus.WithFS(files), gooseplus.WithBasePath("sql"), gooseplus.SetEnvironments(nil)),
		servers, fleet.WithLogger(slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err != nil {
		t.Fatal(err)
	}
	s.Fleet = f
	s.skip(`INSERT INTO fleet_tenant (id, server, database) VALUES ('own', 'b', 'own')`)
	stop := s.work(1)
	s.start(fleet.Plan{Name: "one"})
	s.until(time.Minute, `SELECT count(*) = 2 FROM fleet_tenant WHERE state = 'failed'`)
	s.until(time.Minute, `SELECT count(*) = 5 FROM fleet_tenant WHERE state = 'done'`)
	if err := s.Pin(t.Context(), "a_0", "see "+dsn); err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := s.Start(t.Context(), fleet.Plan{Name: dsn}); err == nil || strings.Contains(err.Error(), s.passwords[1]) {
		t.Errorf("a DSN as a plan's name: %v", err)
	}
	tables := s.text()
	if !strings.Contains(tables, "this tenant is poisoned") || !strings.Contains(tables, "can't open") {
		t.Error("the failures are not in the ledger")
	}
	for _, secret := range append(s.passwords, dsn) {
		if secret == "" { // a server that was given for the tests may have no password; the DSN is a secret all the same
			continue
		}
		if strings.Contains(tables, secret) {
			t.Errorf("the control database has %q", secret)
		}
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// text is all that is in the control database.
func (s *stage) text() string {
	s.t.Helper()
	rows, err := s.control.QueryContext(s.t.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(names) < 10 {
		s.t.Fatal(names, err)
	}
	var all strings.Builder
	for _, name := range names {
		var text string
		if err := s.control.QueryRowContext(s.t.Context(), fmt.Sprintf(`SELECT coalesce(string_agg(x::text, E'\n'), '') FROM %q AS x`, name)).Scan(&text); err != nil {
			s.t.Fatal(err)
		}
		all.WriteString(text)
	}
	return all.String()
}

// lockedBuffer can be written to by several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
