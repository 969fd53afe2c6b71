package mutex

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"go.uber.org/goleak"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestExclusive(t *testing.T) {
	ctx := context.Background()
	try := func(t *testing.T, a, b Mutex) {
		t.Helper()
		for range 2 {
			first, err := a.TryLock(ctx)
			if err != nil || first == nil {
				t.Fatalf("the first gets %v, %v", first, err)
			}
			if second, err := b.TryLock(ctx); second != nil || err != nil {
				t.Fatalf("the second gets %v, %v beside the first", second, err)
			}
			if err := first.Check(ctx); err != nil {
				t.Errorf("Check: %v", err)
			}
			if err := first.Release(ctx); err != nil {
				t.Errorf("Release: %v", err)
			}
			a, b = b, a
		}
	}
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "app.db.lock")
		try(t, File{Path: path}, File{Path: path})
	})
	t.Run("memory", func(t *testing.T) {
		key := new(int)
		try(t, Memory{key}, Memory{key})
		other, err := Memory{new(string)}.TryLock(ctx)
		if other == nil || err != nil {
			t.Error("another key is locked too")
		}
		_ = other.Release(ctx)
	})
	onEachServer(t, func(t *testing.T, p place) {
		try(t, p.lock(p.db), p.lock(p.open(t)))
	})
}

// TestHolderDies: the server frees the mutex, and the holder learns that it is gone.
func TestHolderDies(t *testing.T) {
	ctx := context.Background()
	onEachServer(t, func(t *testing.T, p place) {
		held, err := p.lock(p.db).TryLock(ctx)
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		who, err := p.lock(p.db).Holder(ctx)
		if err != nil || who == "" {
			t.Fatalf("the holder is %q, %v", who, err)
		}
		id := who[strings.LastIndex(who, " ")+1:]
		lost := make(chan error, 1)
		stop := Watch(held, Beats{Every: 10 * time.Millisecond, Patience: 5 * time.Second}, func(err error) { lost <- err })
		if _, err := p.db.Exec(p.kill + id + p.killed); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-lost:
			t.Logf("lost: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatal("the loss was not noticed")
		}
		stop(2 * time.Second)
		if err := held.Release(ctx); err == nil {
			t.Error("the release of a lost mutex is no error")
		}
		for {
			next, err := p.lock(p.db).TryLock(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if next != nil {
				if err := next.Release(ctx); err != nil {
					t.Error(err)
				}
				return
			}
		}
	})
}

// TestTheCallersContextEnds: the mutex outlives it, since the way back needs it.
func TestTheCallersContextEnds(t *testing.T) {
	onEachServer(t, func(t *testing.T, p place) {
		ctx, cancel := context.WithCancel(context.Background())
		held, err := p.lock(p.db).TryLock(ctx)
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		cancel()
		if second, err := p.lock(p.db).TryLock(context.Background()); second != nil || err != nil {
			t.Fatalf("a second holder: %v, %v", second, err)
		}
		if err := held.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestHolder: everybody can ask who has the lock, without taking it.
func TestHolder(t *testing.T) {
	ctx := context.Background()
	onEachServer(t, func(t *testing.T, p place) {
		m := p.lock(p.db)
		if who, err := m.Holder(ctx); who != "" || err != nil {
			t.Errorf("the holder of a free lock is %q, %v", who, err)
		}
		held, err := m.TryLock(ctx)
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		if who, err := p.lock(p.open(t)).Holder(ctx); who == "" || err != nil {
			t.Errorf("the holder of a lock is %q, %v", who, err)
		}
		if err := held.Release(ctx); err != nil {
			t.Error(err)
		}
		if who, err := m.Holder(ctx); who != "" || err != nil {
			t.Errorf("the holder of a lock that was given back is %q, %v", who, err)
		}
	})
}

func TestFailures(t *testing.T) {
	ctx := context.Background()
	onEachServer(t, func(t *testing.T, p place) {
		m := p.bad(p.db)
		if held, err := m.TryLock(ctx); held != nil || err == nil {
			t.Errorf("TryLock: %v, %v", held, err)
		}
		if who, err := m.Holder(ctx); err == nil || who != "" {
			t.Error("Holder has no error")
		}
		if n := p.db.Stats().InUse; n != 0 {
			t.Errorf("%d connections in use", n)
		}
	})
}

// TestFile: everybody who may write the database may lock it, and a symbolic link is not followed.
func TestFile(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	database, lock := filepath.Join(dir, "app.db"), filepath.Join(dir, "app.db.lock")
	mode := func(want os.FileMode) {
		t.Helper()
		info, err := os.Stat(lock)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("the lock file's mode is %v, want %v", info.Mode(), want)
		}
	}
	try := func() {
		t.Helper()
		held, err := File{lock, database}.TryLock(ctx)
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		if err := held.Release(ctx); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []os.FileMode{0o664, 0o640} {
		if err := os.WriteFile(database, nil, want); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(database, want); err != nil {
			t.Fatal(err)
		}
		try()
		mode(want)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Remove(lock), os.Chown(database, 1234, 1235)); err != nil {
			t.Fatal(err)
		}
		try()
		info, err := os.Stat(lock)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 1234 || stat.Gid != 1235 {
			t.Errorf("the lock file is of %d:%d", stat.Uid, stat.Gid)
		}
	}
	target := filepath.Join(dir, "target")
	if err := errors.Join(os.Remove(lock), os.Symlink(target, lock)); err != nil {
		t.Fatal(err)
	}
	if held, err := (File{lock, database}).TryLock(ctx); held != nil || err == nil {
		t.Errorf("through a symbolic link: %v, %v", held, err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("the target of the link was made")
	}
}

type fake struct{ check func(context.Context) error }

func (f fake) Check(ctx context.Context) error { return f.check(ctx) }
func (f fake) Release(context.Context) error   { return nil }
func (f fake) Abandon()                        {}

func TestWatch(t *testing.T) {
	defer goleak.VerifyNone(t)

	t.Run("a check that hangs is a loss", func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		lost := make(chan error, 1)
		held := &HeldServer{busy: make(chan struct{}, 1)}
		hangs := fake{func(ctx context.Context) error { return held.use(ctx, func() error { <-release; return nil }) }}
		stop := Watch(hangs, Beats{Every: time.Millisecond, Patience: 20 * time.Millisecond}, func(err error) { lost <- err })
		if err := <-lost; err != errNoAnswer {
			t.Errorf("lost: %v", err)
		}
		stop(2 * time.Second)
		if err := Check(hangs, 20*time.Millisecond); err != errNoAnswer {
			t.Errorf("while the connection is in use: %v", err)
		}
	})

	t.Run("stop interrupts a check that takes too long", func(t *testing.T) {
		begun, lost := make(chan struct{}), make(chan error, 1)
		stop := Watch(fake{func(ctx context.Context) error { close(begun); <-ctx.Done(); return errNoAnswer }},
			Beats{Every: time.Millisecond, Patience: time.Minute}, func(err error) { lost <- err })
		<-begun
		stop(10 * time.Millisecond)
		if err := <-lost; err != errNoAnswer {
			t.Errorf("lost: %v", err)
		}
	})

	t.Run("stop waits for the check that is under way", func(t *testing.T) {
		begun, finish := make(chan struct{}), make(chan struct{})
		var interrupted bool
		stop := Watch(fake{func(ctx context.Context) error {
			close(begun)
			<-finish
			interrupted = ctx.Err() != nil
			return nil
		}}, Beats{Every: time.Millisecond, Patience: time.Minute}, func(err error) { t.Errorf("lost: %v", err) })
		<-begun
		go close(finish)
		stop(2 * time.Second)
		if interrupted {
			t.Error("the check was interrupted")
		}
	})
}

type place struct {
	open         func(*testing.T) *sql.DB
	db           *sql.DB
	lock, bad    func(*sql.DB) Mutex
	kill, killed string // with the number of a connection between them
}

func onEachServer(t *testing.T, test func(*testing.T, place)) {
	postgres := func(key string) func(*sql.DB) Mutex {
		return func(db *sql.DB) Mutex { return NewPostgres(db, key, Lease{Idle: time.Minute}) }
	}
	mysql := func(name string) func(*sql.DB) Mutex {
		return func(db *sql.DB) Mutex { return NewMySQL(db, name, time.Minute) }
	}
	for driver, s := range map[string]struct {
		server       func(testing.TB) dbtest.Server
		lock         func(string) func(*sql.DB) Mutex
		kill, killed string
	}{
		"postgres": {dbtest.Postgres, postgres, "SELECT pg_terminate_backend(", ")"},
		"pgx":      {dbtest.Postgres, postgres, "SELECT pg_terminate_backend(", ")"},
		"mysql":    {dbtest.MySQL, mysql, "KILL ", ""},
	} {
		t.Run(driver, func(t *testing.T) {
			database := s.server(t).NewDatabase(t)
			p := place{open: func(t *testing.T) *sql.DB { return database.Open(t, driver) }, kill: s.kill, killed: s.killed,
				lock: s.lock("'" + t.Name() + "'"), bad: s.lock("not SQL")}
			p.db = p.open(t)
			test(t, p)
			if n := p.db.Stats().InUse; n != 0 {
				t.Errorf("%d connections are still in use", n)
			}
		})
	}
}
