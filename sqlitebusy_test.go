package gooseplus_test

import (
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
)

// A connection without a busy_timeout fails at once when a reader is in the way of a commit. A run waits for the reader.
func TestSQLiteReaderInTheWay(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{false, true} {
		db := openSQLite(t)
		m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"), gooseplus.WithGlobalLock(lock))
		if err := m.MigrateTo(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query("SELECT name FROM sqlite_master")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- m.Migrate(t.Context()) }()
		// Once a commit waits for the reader, nobody else can begin to read.
		for err == nil {
			var n int
			err = db.QueryRow("SELECT count(*) FROM sqlite_master").Scan(&n)
			select {
			case err := <-done:
				t.Fatalf("lock %v: it didn't wait for the reader: %v", lock, err)
			case <-time.After(time.Millisecond):
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("lock %v: %v", lock, err)
		}
		var own int
		if err := db.QueryRow("PRAGMA busy_timeout").Scan(&own); err != nil || own != 0 {
			t.Errorf("the application's busy_timeout is %d, %v", own, err)
		}
	}
}
