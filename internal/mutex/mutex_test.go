package mutex

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
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
		try(t, File{path}, File{path})
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
		try(t, p.row(p.db), p.row(p.open(t)))
	})
}

// TestHolderDies: the server frees the mutex, and the holder learns that it is gone.
func TestHolderDies(t *testing.T) {
	ctx := context.Background()
	onEachServer(t, func(t *testing.T, p place) {
		var id int64
		row := p.row(p.db)
		row.Lock = func(ctx context.Context, tx *sql.Tx) (bool, error) {
			if err := tx.QueryRowContext(ctx, p.id).Scan(&id); err != nil {
				return false, err
			}
			return p.row(p.db).Lock(ctx, tx)
		}
		held, err := row.TryLock(ctx)
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		lost := make(chan error, 1)
		stop := Watch(held, Beats{Every: 10 * time.Millisecond, Patience: 5 * time.Second}, func(err error) { lost <- err })
		if _, err := p.db.Exec(p.kill, id); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-lost:
			t.Logf("lost: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatal("the loss was not noticed")
		}
		stop()
		if err := held.Release(ctx); err == nil {
			t.Error("the release of a lost mutex is no error")
		}
		for {
			next, err := p.row(p.db).TryLock(ctx)
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
		held, err := p.row(p.db).TryLock(ctx)
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		cancel()
		if second, err := p.row(p.db).TryLock(context.Background()); second != nil || err != nil {
			t.Fatalf("a second holder: %v, %v", second, err)
		}
		if err := held.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestFailures(t *testing.T) {
	ctx := context.Background()
	onEachServer(t, func(t *testing.T, p place) {
		boom := errors.New("boom")
		for name, change := range map[string]func(*Row){
			"locking":  func(r *Row) { r.Lock = func(context.Context, *sql.Tx) (bool, error) { return false, boom } },
			"locked":   func(r *Row) { r.Locked = []string{"not SQL"} },
			"settings": func(r *Row) { r.Before = []string{"not SQL"} },
		} {
			row := p.row(p.db)
			change(row)
			if held, err := row.TryLock(ctx); held != nil || err == nil {
				t.Errorf("%s: %v, %v", name, held, err)
			}
			if n := p.db.Stats().InUse; n != 0 {
				t.Errorf("%s: %d connections in use", name, n)
			}
		}
	})
}

type fake struct{ check func(context.Context) error }

func (f fake) Check(ctx context.Context) error { return f.check(ctx) }
func (f fake) Release(context.Context) error   { return nil }

func TestWatch(t *testing.T) {
	defer goleak.VerifyNone(t)

	t.Run("a check that hangs is a loss", func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		lost := make(chan error, 1)
		stop := Watch(fake{func(context.Context) error { <-release; return nil }},
			Beats{Every: time.Millisecond, Patience: 20 * time.Millisecond}, func(err error) { lost <- err })
		if err := <-lost; err != errNoAnswer {
			t.Errorf("lost: %v", err)
		}
		stop()
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
		stop()
		if interrupted {
			t.Error("the check was interrupted")
		}
	})
}

type place struct {
	open     func(*testing.T) *sql.DB
	db       *sql.DB
	id, kill string
}

func (p place) row(db *sql.DB) *Row {
	return &Row{DB: db, Lock: func(ctx context.Context, tx *sql.Tx) (bool, error) {
		var n int
		err := tx.QueryRowContext(ctx, "SELECT n FROM m FOR UPDATE SKIP LOCKED").Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		return err == nil, err
	}}
}

func onEachServer(t *testing.T, test func(*testing.T, place)) {
	for driver, s := range map[string]struct {
		server   func(testing.TB) dbtest.Server
		id, kill string
	}{
		"postgres": {dbtest.Postgres, "SELECT pg_backend_pid()", "SELECT pg_terminate_backend($1)"},
		"pgx":      {dbtest.Postgres, "SELECT pg_backend_pid()", "SELECT pg_terminate_backend($1)"},
		"mysql":    {dbtest.MySQL, "SELECT CONNECTION_ID()", "KILL ?"},
	} {
		t.Run(driver, func(t *testing.T) {
			database := s.server(t).NewDatabase(t)
			p := place{open: func(t *testing.T) *sql.DB { return database.Open(t, driver) }, id: s.id, kill: s.kill}
			p.db = p.open(t)
			for _, s := range []string{"CREATE TABLE m (n INTEGER)", "INSERT INTO m VALUES (1)"} {
				if _, err := p.db.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
			test(t, p)
			if n := p.db.Stats().InUse; n != 0 {
				t.Errorf("%d connections are still in use", n)
			}
		})
	}
}
