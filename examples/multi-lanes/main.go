// The multi-lanes example has two lanes of migrations on one database: a fast one, before the service serves,
// and a slow one in the background. Each has a version table and a lock of its own, so that both can be under
// way at once.
package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
)

//go:embed fast
var firstRelease embed.FS

//go:embed next-release
var nextRelease embed.FS

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "multi-lanes:", err)
		os.Exit(1)
	}
}

// service is a process of the service.
type service struct {
	w    io.Writer
	db   *sql.DB
	fast *gooseplus.Migrator
	slow *gooseplus.Migrator
}

func newService(w io.Writer, db *sql.DB, migrations fs.FS, afterBatch func()) *service {
	common := []gooseplus.Option{gooseplus.WithDialect("sqlite3"), gooseplus.WithGlobalLock(true),
		gooseplus.WithForeignHistory(gooseplus.Ignore)} // each lane is another tool to the other one
	return &service{w: w, db: db,
		fast: gooseplus.New(db, append(common,
			gooseplus.WithVersionTable("fast_versions"),
			gooseplus.WithFS(migrations), gooseplus.WithBasePath("fast"), gooseplus.SetEnvironments(nil))...),
		slow: gooseplus.New(db, append(common,
			gooseplus.WithVersionTable("slow_versions"),
			gooseplus.WithFS(migrations), gooseplus.WithBasePath("slow"), // of which there need not be any
			gooseplus.WithDefinitions(slowLane(afterBatch)),
			gooseplus.WithTimeout(0), gooseplus.WithMigrationTimeout(0))...), // as long as it takes
	}
}

// boot returns when the service can serve. The slow lane goes on; its end is told on the channel.
func (s *service) boot(ctx context.Context) (slow <-chan error, err error) {
	if err := s.fast.Migrate(ctx); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.slow.Migrate(ctx) }()
	return ended, nil
}

// report says where both lanes are.
func (s *service) report(ctx context.Context, when string) error {
	fast, err := s.fast.Version(ctx)
	if err != nil {
		return err
	}
	slow, err := s.slow.Version(ctx)
	if err != nil {
		return err
	}
	var priced int
	if err := s.db.QueryRowContext(ctx, `SELECT count(price) FROM orders`).Scan(&priced); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.w, "%s: fast lane at %d, slow lane at %d, %d orders have a price\n", when, fast, slow, priced)
	return err
}

func run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "gooseplus-multi-lanes-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The first release, with some orders in the database.
	if err := os.CopyFS(dir, firstRelease); err != nil {
		return err
	}
	halfway, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	first := newService(w, db, os.DirFS(dir), func() {
		once.Do(func() { // a backfill that takes its time
			close(halfway)
			<-goOn
		})
	})
	if err := first.fast.MigrateTo(ctx, 1); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO orders (cents)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) SELECT i * 99 FROM n`); err != nil {
		return err
	}
	slow, err := first.boot(ctx)
	if err != nil {
		return err
	}
	select {
	case <-halfway:
	case err := <-slow:
		return fmt.Errorf("the slow lane ended before its first batch: %v", err)
	}
	if err := first.report(ctx, "the first release serves"); err != nil {
		return err
	}

	// The next release boots while the slow lane is in the middle of its work.
	release, err := fs.Sub(nextRelease, "next-release")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "fast"), release); err != nil {
		return err
	}
	next := newService(w, db, os.DirFS(dir), func() {})
	nextSlow, err := next.boot(ctx) // its slow lane waits for the lock of the other's
	if err != nil {
		return err
	}
	if err := next.report(ctx, "the next release serves"); err != nil {
		return err
	}
	close(goOn)
	if err := errors.Join(<-slow, <-nextSlow); err != nil {
		return err
	}
	return next.report(ctx, "the slow lane is done")
}
