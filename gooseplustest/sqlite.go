package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // for tests that have no driver of their own

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// SQLite returns a migrated database for this test alone, in a file. It has the environments base and test. The migrations
// run once in each test process for all tests with the same migrations, and each test gets a copy of the file.
//
// The driver is github.com/mattn/go-sqlite3 if the test binary imports it, and modernc.org/sqlite otherwise. The migrations run
// with the default settings of the driver. The pool that is returned has foreign keys on, waits five seconds for a lock, and
// does not sync to disk.
//
// When the test ends, the pool is closed and the file is removed. If the test has failed, the file is kept for three days in
// the directory for temporary files, and the log of the test has its path.
//
// opts are the options of [gooseplus.New]; WithDialect("sqlite3") and WithEnvironments("test") come before them. The test fails at
// once if the options have a fault or if a migration fails.
func SQLite(t testing.TB, opts ...gooseplus.Option) *sql.DB {
	t.Helper()
	set, err := newSet("sqlite3", opts)
	if err == nil && set.Dialect != goose.DialectSQLite3 {
		err = fmt.Errorf("the dialect is %s: want sqlite3", set.Dialect)
	}
	var content []byte
	if err == nil {
		content, err = sqliteTemplateOf(set).make(contextOf(t), set)
	}
	if err != nil {
		fail(t, err)
	}
	return sqliteCopy(t, content)
}

// sqliteTemplate is the content of a migrated file.
type sqliteTemplate struct {
	mu      sync.Mutex // held while it is made, so that the other tests wait
	content []byte     // guarded by mu
	fault   error      // guarded by mu
}

// sqliteTemplates are the process's templates, by the key of the set.
var sqliteTemplates sync.Map

func sqliteTemplateOf(set *set) *sqliteTemplate {
	t, _ := sqliteTemplates.LoadOrStore(set.key, new(sqliteTemplate))
	return t.(*sqliteTemplate)
}

func (s *sqliteTemplate) make(ctx context.Context, set *set) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.content == nil && s.fault == nil {
		sweepFiles(os.TempDir(), time.Now())
		content, err := migrateSQLite(ctx, set)
		var fault *templateError
		if errors.As(err, &fault) && !passing(err) {
			s.fault = err // the next test need not try again
		}
		if err != nil {
			return nil, err
		}
		s.content = content
	}
	return s.content, s.fault
}

func migrateSQLite(ctx context.Context, set *set) (content []byte, err error) {
	dir, err := os.MkdirTemp("", "gooseplustest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "template.db")
	db, err := sql.Open(sqliteDriver(), fileURL(path, nil))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := gooseplus.New(db, set.opts...).Migrate(ctx); err != nil {
		return nil, &templateError{err}
	}
	// All of it has to be in one file, whatever journal a migration has chosen.
	var busy, pages, moved int
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
		return nil, err
	}
	if busy != 0 {
		return nil, &templateError{errors.New("a migration in Go has left rows or a transaction open, so that the file can't be copied")}
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	content, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte{}, nil // there are no migrations
	}
	return content, err
}

// sweepFiles removes what failed tests and killed processes have left, after the time for which it is kept.
func sweepFiles(root string, now time.Time) {
	old, _ := filepath.Glob(filepath.Join(root, "gooseplustest-*")) // the pattern has no faults
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && now.Sub(info.ModTime()) > keep {
			_ = os.RemoveAll(dir) // it may be another user's
		}
	}
}

func sqliteDriver() string {
	if slices.Contains(sql.Drivers(), "sqlite3") {
		return "sqlite3"
	}
	return "sqlite"
}

// fileURL is the DSN of a file for both drivers: neither minds the other's parameters.
func fileURL(path string, parameters url.Values) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: parameters.Encode()}
	return u.String()
}

var sqliteParameters = url.Values{
	"_pragma":       {"busy_timeout(5000)", "foreign_keys(1)", "synchronous(0)"}, // modernc
	"_busy_timeout": {"5000"}, "_foreign_keys": {"1"}, "_synchronous": {"0"},     // mattn
}

// sqliteCopy makes a file with that content, and opens it.
func sqliteCopy(t testing.TB, content []byte) *sql.DB {
	t.Helper()
	test := plain(filepath.Base(t.Name()))
	dir, err := os.MkdirTemp("", "gooseplustest-"+test[:min(len(test), 60)]+"-") // a file system takes 255 bytes
	if err != nil {
		fail(t, err)
	}
	path := filepath.Join(dir, "test.db")
	var db *sql.DB
	t.Cleanup(func() { endSQLite(t, db, dir, path) })
	if content != nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err == nil {
		db, err = sql.Open(sqliteDriver(), fileURL(path, sqliteParameters))
	}
	if err == nil {
		err = db.PingContext(contextOf(t))
	}
	if err != nil {
		fail(t, err)
	}
	origins.Store(db, origin{empty: func(t testing.TB, _ string) *sql.DB {
		t.Helper()
		return sqliteCopy(t, nil)
	}})
	return db
}

func endSQLite(t testing.TB, db *sql.DB, dir, path string) {
	t.Helper()
	if db != nil {
		origins.Delete(db)
		if err := db.Close(); err != nil {
			t.Errorf("gooseplustest: close %s: %s", path, redact.Text(err.Error()))
		}
	}
	if failed(t) {
		t.Logf("gooseplustest: the test failed, and its database is kept: %s", path)
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("gooseplustest: %v", err)
	}
}
