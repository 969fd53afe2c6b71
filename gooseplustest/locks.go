package gooseplustest

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/locks"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Locks applies the migrations of m to an empty database, and fails the test for each statement for which an application
// that uses the tables would have to wait. It reads what PostgreSQL says that each statement locked, read and rewrote. Only
// tables that existed before the migration count. With go test -v it logs a table of the locks of each migration.
//
// These are errors: an ACCESS EXCLUSIVE lock that is held while a later statement of the same transaction reads or rewrites a
// whole table; an index that is built without CONCURRENTLY; a table that is rewritten; a constraint whose rows are checked at once,
// without NOT VALID; SET NOT NULL, or something else, that reads the whole table; CONCURRENTLY in a transaction; and a migration
// that waits for such locks without a lock timeout, which [gooseplus.WithStatementTimeouts] sets.
//
// A line
//
//	-- +gooseplus allow-lock REASON
//
// in the file of a migration allows all its locks, for example because the table is always small. The test logs the reason. In
// the Go file of a migration the line begins with // instead.
//
// Each migration runs in a transaction of its own, also with [gooseplus.RollbackTransaction]. On MySQL and MariaDB, where a
// schema change holds no locks when it has ended, Locks tries it on a copy of the table with each ALGORITHM. On SQLite, where a
// statement that writes locks the whole file, the test is skipped.
//
// The database of m must come from [Postgres] or [MySQL], or be empty. If it comes from the kit, Locks works in an empty
// database beside it.
func Locks(t testing.TB, m *gooseplus.Migrator) {
	t.Helper()
	set, db, err := described(m)
	if err != nil {
		fail(t, err)
	}
	if set.Dialect == goose.DialectSQLite3 {
		t.Skip("gooseplustest: locks are not available on SQLite: a statement that writes locks the whole file")
	}
	if from, ok := origins.Load(db); ok {
		db = from.(origin).empty(t, set.Home())
	}
	report, err := m.Trace(contextOf(t), db)
	for _, one := range report.Migrations {
		t.Log("gooseplustest: locks of " + one.Title() + "\n" + logged(one))
		for _, f := range one.Findings {
			if one.AllowLock != "" {
				t.Logf("gooseplustest: %s: %s. This is allowed: %s", f.Place(), f.Does, one.AllowLock)
				continue
			}
			t.Errorf("gooseplustest: %s", f)
		}
	}
	for _, note := range report.Notes {
		t.Log("gooseplustest: " + note)
	}
	if err != nil {
		t.Errorf("gooseplustest: %s", redact.Text(err.Error()))
	}
}

// logged is the table of a migration.
func logged(m locks.Migration) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{locks.Columns()}, m.Rows()...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // to memory
	return b.String()
}
