package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// cutTimes are short, and in the order of the real ones: a holder that is cut off knows it before the server gives its
// lock to somebody else.
const (
	cutIdle     = 4 * time.Second
	cutBeat     = 200 * time.Millisecond
	cutPatience = time.Second
)

// cutSite is a server with a database, and a proxy on the way to it.
type cutSite struct {
	dialect, driver string
	direct, proxied string // DSNs
	proxy           *dbtest.Proxy
	db              *sql.DB // the direct way
}

func onCutSites(t *testing.T, test func(*testing.T, *cutSite)) {
	for _, driver := range []string{"postgres", "pgx", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			s := &cutSite{dialect: "postgres", driver: driver}
			if driver == "mysql" {
				s.dialect, s.direct = "mysql", dbtest.MySQL(t).NewDatabase(t).DSN
			} else {
				s.direct = dbtest.Postgres(t).NewDatabase(t).DSN
			}
			s.proxy, s.proxied = dbtest.Through(t, s.direct)
			s.db = s.open(t, s.direct)
			if _, err := s.db.Exec("CREATE TABLE counted (v BIGINT)"); err != nil {
				t.Fatal(err)
			}
			test(t, s)
		})
	}
}

func (s *cutSite) open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(s.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// lockPort is the port from which the lock's connection comes, as the server sees it.
func (s *cutSite) lockPort(t *testing.T) (port int) {
	t.Helper()
	query := `SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()`
	if s.dialect == "mysql" {
		query = `SELECT SUBSTRING_INDEX(host, ':', -1) FROM information_schema.processlist
			WHERE id = IS_USED_LOCK(CONCAT('gooseplus:', LEFT(SHA2(CONCAT(DATABASE(), '.goose_db_version_lock'), 256), 48)))`
	}
	var err error
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if err = s.db.QueryRow(query).Scan(&port); err == nil {
			return port
		}
	}
	t.Fatalf("nobody holds the lock: %v", err)
	return 0
}

// migrations are four that count themselves; the first to execute the third takes its time.
func (s *cutSite) migrations(slow time.Duration) (list []*goose.Migration, begun chan struct{}) {
	begun = make(chan struct{})
	var calls atomic.Int32
	for v := range int64(4) {
		list = append(list, goose.NewGoMigration(v+1, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO counted VALUES (%d)", v+1)); err != nil {
				return err
			}
			if v+1 != 3 || calls.Add(1) > 1 {
				return nil
			}
			close(begun)
			sleep := fmt.Sprintf("SELECT pg_sleep(%.3f)", slow.Seconds())
			if s.dialect == "mysql" {
				sleep = fmt.Sprintf("DO SLEEP(%.3f)", slow.Seconds())
			}
			_, err := tx.ExecContext(ctx, sleep)
			return err
		}}, nil))
	}
	return list, begun
}

// cutRun is a run that is under way.
type cutRun struct {
	waiting, done chan struct{}
	err           error
	ended         time.Time
}

func (s *cutSite) boot(t *testing.T, dsn string, migrations []*goose.Migration) *cutRun {
	t.Helper()
	r := &cutRun{waiting: make(chan struct{}), done: make(chan struct{})}
	var once sync.Once
	m := gooseplus.New(s.open(t, dsn), gooseplus.WithDialect(s.dialect), gooseplus.WithFS(fstest.MapFS{}),
		gooseplus.WithGoMigrations(migrations...), gooseplus.WithGlobalLock(true), gooseplus.WithLogger(nil),
		gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if _, ok := e.(gooseplus.LockWaiting); ok {
				once.Do(func() { close(r.waiting) })
			}
		}))
	m.SetLockTimes(cutIdle, cutBeat, cutPatience)
	go func() {
		defer close(r.done)
		r.err = m.Migrate(context.Background())
		r.ended = time.Now()
	}()
	return r
}

func until(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(90 * time.Second):
		t.Fatalf("%s: not within 90 s", what)
	}
}

// TestLockCutOff cuts the lock's connection while a slow migration runs on another: it stays open, and neither side
// hears of the other any more.
func TestLockCutOff(t *testing.T) {
	t.Parallel()
	onCutSites(t, func(t *testing.T, s *cutSite) {
		migrations, begun := s.migrations(6 * time.Second)
		holder := s.boot(t, s.proxied, migrations)
		until(t, "the slow migration", begun)
		waiter := s.boot(t, s.direct, migrations)
		until(t, "the other one waiting", waiter.waiting)
		if n := s.proxy.CutPort(s.lockPort(t)); n != 1 {
			t.Fatalf("%d connections were cut", n)
		}
		cut := time.Now()
		until(t, "the end of the holder", holder.done)
		s.wantLost(t, holder, cut)
		until(t, "the end of the other one", waiter.done)
		s.wantTakenOver(t, waiter, cut)
	})
}

// TestHolderCutOff cuts all connections of the holder. The server frees the lock, and the other one ends what the
// server still executes for the holder, of which it can't know that nobody will ask for its result.
func TestHolderCutOff(t *testing.T) {
	t.Parallel()
	onCutSites(t, func(t *testing.T, s *cutSite) {
		migrations, begun := s.migrations(6 * time.Second)
		holder := s.boot(t, s.proxied, migrations)
		until(t, "the slow migration", begun)
		waiter := s.boot(t, s.direct, migrations)
		until(t, "the other one waiting", waiter.waiting)
		if n := s.proxy.Cut(); n < 2 {
			t.Fatalf("%d connections were cut", n)
		}
		cut := time.Now()
		until(t, "the end of the holder", holder.done)
		s.wantLost(t, holder, cut)
		until(t, "the end of the other one", waiter.done) // while all connections are still open
		s.wantTakenOver(t, waiter, cut)
	})
}

// wantLost asserts that the holder has given up soon. On MySQL the server goes on with the statement, and its
// row in the state table is locked as long.
func (s *cutSite) wantLost(t *testing.T, holder *cutRun, cut time.Time) {
	t.Helper()
	took := holder.ended.Sub(cut)
	t.Logf("the holder ended %v after the cut: %v", took, holder.err)
	wantIs(t, holder.err, gooseplus.ErrLockLost)
	if s.dialect != "mysql" && took > cutBeat+cutPatience+10*time.Second {
		t.Errorf("the holder ended %v after the cut", took)
	}
}

func (s *cutSite) wantTakenOver(t *testing.T, waiter *cutRun, cut time.Time) {
	t.Helper()
	t.Logf("the other one ended %v after the cut", waiter.ended.Sub(cut))
	if waiter.err != nil {
		t.Errorf("the other one: %v", waiter.err)
	}
	s.wantCounted(t)
}

// wantCounted asserts that each migration was recorded once, and has left its trace once.
func (s *cutSite) wantCounted(t *testing.T) {
	t.Helper()
	for _, query := range []string{"SELECT v FROM counted ORDER BY v", "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY version_id"} {
		rows, err := s.db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if want := []string{"1", "2", "3", "4"}; !slices.Equal(got, want) {
			t.Errorf("%s: %s", query, strings.Join(got, " "))
		}
	}
}
