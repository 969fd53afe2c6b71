package gooseplus_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

func TestDrift(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")
	live, shadow := openSQLite(t), openSQLite(t)
	m := sqlite(live, fsys)
	if err := m.MigrateTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	drift := func() string {
		t.Helper()
		list, err := m.Drift(t.Context(), shadow)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, d := range list {
			lines = append(lines, fmt.Sprintf("%s %s: %q, %q", d.Kind, d.Name, d.Want, d.Have))
		}
		return strings.Join(lines, "\n")
	}
	if got := drift(); got != "" {
		t.Errorf("a database that nobody has changed: %s", got)
	}
	applied(t, live, 1, 2)
	applied(t, shadow, 1, 2) // what is not applied doesn't count
	if _, err := live.Exec("ALTER TABLE a ADD COLUMN extra TEXT; DROP TABLE b; CREATE INDEX by_hand ON a (id)"); err != nil {
		t.Fatal(err)
	}
	got := drift()
	for _, want := range []string{`column a.extra: "", `, `table b: "`, `index by_hand on a: "", "create index`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nhas no %s", got, want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 3 {
		t.Errorf("%d differences, want 3:\n%s", n, got)
	}
}

func TestDriftRefuses(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
	live := openSQLite(t)
	mustMigrate(t, sqlite(live, fsys))
	used := openSQLite(t)
	if _, err := used.Exec("CREATE TABLE precious (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite(live, fsys).Drift(t.Context(), used)
	if err == nil || !strings.Contains(err.Error(), "must be empty") {
		t.Errorf("a shadow that is in use: %v", err)
	}
	var n int
	if err := used.QueryRow("SELECT count(*) FROM sqlite_master").Scan(&n); err != nil || n != 1 {
		t.Errorf("the shadow has %d tables now, %v", n, err)
	}
	for what, db := range map[string]*sql.DB{"a database": live, "an empty database": openSQLite(t)} {
		if _, err := sqlite(db, fsys).Drift(t.Context(), db); err == nil || !strings.Contains(err.Error(), "or the database itself") {
			t.Errorf("%s is its own shadow: %v", what, err)
		}
	}
	ahead := openSQLite(t)
	mustMigrate(t, sqlite(ahead, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")))
	_, err = sqlite(live, fsys).Drift(t.Context(), ahead)
	if err == nil || !strings.Contains(err.Error(), "isn't a shadow that Drift has filled") {
		t.Errorf("a shadow that is another database of these migrations: %v", err)
	}
	applied(t, ahead, 1, 2, 3)
	shadow := openSQLite(t)
	if _, err := sqlite(ahead, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")).Drift(t.Context(), shadow); err != nil {
		t.Fatal(err)
	}
	_, err = sqlite(live, folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")).Drift(t.Context(), shadow)
	if err == nil || !strings.Contains(err.Error(), "[3]") {
		t.Errorf("a shadow that is ahead: %v", err)
	}
	_, err = sqlite(ahead, fsys).Drift(t.Context(), openSQLite(t))
	wantIs(t, err, gooseplus.ErrUnknownVersion)
}
