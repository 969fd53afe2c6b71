package gooseplus_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

func TestWait(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
	m := sqlite(db, fsys)
	var err error
	for limit := 200 * time.Millisecond; limit < time.Minute; limit *= 2 { // a busy machine may not even ask in that time
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err = m.Wait(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if strings.Contains(err.Error(), "2 migrations are pending") {
			break
		}
	}
	if !strings.Contains(err.Error(), "2 migrations are pending") {
		t.Fatal(err)
	}
	untouched(t, db)
	done := make(chan error)
	go func() { done <- m.Wait(t.Context()) }()
	if err := m.MigrateTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("with one pending: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	mustMigrate(t, m)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// cutter is a file system that ends a context as soon as a migration is read.
type cutter struct {
	fs.FS
	cut context.CancelFunc
}

func (c cutter) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".sql") {
		c.cut()
	}
	return c.FS.Open(name)
}

// TestWaitIsCutOff: a wait that ends before its first answer doesn't tell of a run that failed.
func TestWaitIsCutOff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	m := sqlite(openSQLite(t), nil, gooseplus.WithFS(cutter{folder("sql/base/1_a.sql"), cancel}), gooseplus.WithChecksums(gooseplus.Ignore))
	err := m.Wait(ctx)
	wantIs(t, err, context.Canceled)
	if errors.Is(err, gooseplus.ErrRollForward) || !strings.Contains(err.Error(), "there was no answer yet") {
		t.Error(err)
	}
}

func TestWaitOfAFault(t *testing.T) {
	t.Parallel()
	wantIs(t, sqlite(openSQLite(t), folder("sql/base/1_a.sql", "sql/base/1_b.sql")).Wait(t.Context()), gooseplus.ErrMergeMigrations)
	db := openSQLite(t)
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql")))
	older := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithUnknownVersions(gooseplus.Refuse))
	wantIs(t, older.Wait(t.Context()), gooseplus.ErrUnknownVersion)
}

// TestWaitForADirtyDatabase: no other process ends that, so the error has to say it.
func TestWaitForADirtyDatabase(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{false, true} {
		db := openSQLite(t)
		m := sqlite(db, fstest.MapFS{"sql/base/1_a.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE a (id INTEGER);\nSELECT nothing;\n")}},
			gooseplus.WithGlobalLock(lock))
		wantIs(t, m.Migrate(t.Context()), gooseplus.ErrDirty)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := m.Wait(ctx)
		cancel()
		wantIs(t, err, context.DeadlineExceeded)
		if want := "1 migration is pending; migration 1 (sql/base/1_a.sql) is dirty: a person has to repair the database"; !strings.HasSuffix(err.Error(), want) {
			t.Errorf("lock %t: %v, want it to end in %q", lock, err, want)
		}
	}
}
