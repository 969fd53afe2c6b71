package gooseplustest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(aheadEnv) != "" {
		goleak.VerifyTestMain(testsFunc(func() int { return Run(m) }))
	}
	goleak.VerifyTestMain(dbtest.Tests{M: m, OwnServers: true})
}

// folder makes a file system: each path gets a migration that creates a table and drops it again. The table is named
// after the file, without its version.
func folder(paths ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, path := range paths {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".sql"), "_")
		fsys[path] = migration("CREATE TABLE "+name+" (id INTEGER PRIMARY KEY);", "DROP TABLE "+name+";")
	}
	return fsys
}

// unique makes a set that no other test has, nor an earlier run of the same test in this process.
func unique(fsys fstest.MapFS) fstest.MapFS {
	for _, f := range fsys {
		f.Data = append(f.Data, "-- "+rand.Text()+"\n"...)
	}
	return fsys
}

func migration(up, down string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")}
}

func files(fsys fstest.MapFS) gooseplus.Option { return gooseplus.WithFS(fsys) }

// recorder is a test whose end and verdict the test around it decides.
type recorder struct {
	testing.TB
	name string

	mu       sync.Mutex
	failed   bool
	logs     []string
	cleanups []func()
}

func (r *recorder) Helper()                      {}
func (r *recorder) Name() string                 { return r.name }
func (r *recorder) Failed() bool                 { return r.failed }
func (r *recorder) Cleanup(fn func())            { r.cleanups = append(r.cleanups, fn) }
func (r *recorder) Logf(format string, a ...any) { r.log(fmt.Sprintf(format, a...)) }
func (r *recorder) Errorf(format string, a ...any) {
	r.failed = true
	r.log(fmt.Sprintf(format, a...))
}

func (r *recorder) Fatal(a ...any) {
	r.failed = true
	r.log(fmt.Sprint(a...))
	panic(stop{})
}

func (r *recorder) log(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, text)
}

type stop struct{}

// do runs the body of the test up to where it fails.
func (r *recorder) do(body func()) {
	defer func() {
		if v := recover(); v != nil && v != any(stop{}) {
			panic(v)
		}
	}()
	body()
}

func (r *recorder) end() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		fn := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		fn()
	}
}

func (r *recorder) text() string { return strings.Join(r.logs, "\n") }

// texts returns the rows of a query of one column.
func texts(t testing.TB, db *sql.DB, query string, args ...any) (list []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

type connectorFunc func() error

func (f connectorFunc) Connect(context.Context) (driver.Conn, error) { return nil, f() }
func (f connectorFunc) Driver() driver.Driver                        { return nil }

// queryFunc is a connection that answers queries.
type queryFunc func() (driver.Rows, error)

func (f queryFunc) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (f queryFunc) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }
func (f queryFunc) Close() error                        { return nil }
func (f queryFunc) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return f()
}

// oneRow is the name and the note of a database.
type oneRow struct{ read bool }

func (r *oneRow) Columns() []string { return []string{"datname", "note"} }
func (r *oneRow) Close() error      { return nil }
func (r *oneRow) Next(dest []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read = true
	dest[0], dest[1] = "gpt_00000000_c_killedkilled_1_x", nil
	return nil
}
