package history

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func wantHistory(t *testing.T, table *Versions, db racing, want ...string) {
	t.Helper()
	entries, err := table.Entries(t.Context(), db)
	if err != nil {
		t.Fatalf("History: %v", err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Version, " ", e.At.Format(time.RFC3339)))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("History: got %v, want %v", got, want)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	const table = `CREATE TABLE v (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`
	const insert = `INSERT INTO v (version_id, is_applied, tstamp) VALUES `
	for _, tc := range []struct {
		name  string
		setup []string
		want  []string
	}{
		{"no table", nil, nil},
		{"a new table", []string{table, insert + `(0, 1, '2020-01-01 00:00:00')`}, nil},
		{"in the order of application, whatever the clock said", []string{table,
			insert + `(3, 1, '2024-05-01 10:00:00'), (1, 1, '2024-05-01 09:00:00')`},
			[]string{"3 2024-05-01T10:00:00Z", "1 2024-05-01T09:00:00Z"}},
		{"taken back and applied again", []string{table,
			insert + `(1, 1, '2024-01-01 00:00:00'), (2, 1, '2024-02-01 00:00:00'), (1, 0, '2024-03-01 00:00:00'), (1, 1, '2024-04-01 00:00:00')`},
			[]string{"2 2024-02-01T00:00:00Z", "1 2024-04-01T00:00:00Z"}},
		{"taken back", []string{table, insert + `(1, 1, '2024-01-01 00:00:00'), (1, 0, '2024-03-01 00:00:00')`}, nil},
	} {
		for _, d := range dialects {
			t.Run(d+": "+tc.name, func(t *testing.T) {
				t.Parallel()
				db := openTemp(t)
				exec(t, db, tc.setup...)
				wantHistory(t, newVersions(t, d, "v"), racing{db, func() {}}, tc.want...)
			})
		}
	}
	t.Run("a time that isn't there, or is none", func(t *testing.T) {
		t.Parallel()
		db := openTemp(t)
		exec(t, db, table, insert+`(1, 1, NULL), (2, 1, 'last Tuesday')`)
		wantHistory(t, newVersions(t, "sqlite", "v"), racing{db, func() {}}, "1 0001-01-01T00:00:00Z", "2 0001-01-01T00:00:00Z")
	})
}

func TestHistoryWhileTheTableIsCreated(t *testing.T) {
	t.Parallel()
	db, table := openTemp(t), newVersions(t, "sqlite", "v")
	before := time.Now().Add(-time.Second)
	entries, err := table.Entries(t.Context(), racing{db, func() {
		create(t, table, db)
		insert(t, table, db, 5)
	}})
	if err != nil || len(entries) != 1 || entries[0].Version != 5 || entries[0].At.Before(before) {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestHistoryReportsAReadThatFails(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			db, table := openTemp(t), newVersions(t, d, "v")
			create(t, table, db)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := table.Entries(ctx, db); !errors.Is(err, context.Canceled) {
				t.Errorf("a context that ended: %v", err)
			}
			exec(t, db, `DROP TABLE v`, `CREATE TABLE v (name TEXT)`)
			// Where goose can't tell whether a table exists, it is for Create to find out.
			if _, err := table.Entries(t.Context(), db); err == nil && d != "turso" {
				t.Error("a table of another kind: no error")
			}
			_ = db.Close()
			if _, err := table.Entries(t.Context(), db); err == nil {
				t.Error("a closed database: no error")
			}
		})
	}
}

func TestHistoryOfNamesThatNeedQuotes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"main.versions", `"Acme ""Corp"""`, "order", `"Other One"."a.b"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openTemp(t)
			db.SetMaxOpenConns(1)
			exec(t, db, `ATTACH DATABASE ':memory:' AS "Other One"`)
			table := newVersions(t, "sqlite", name)
			create(t, table, db)
			insert(t, table, db, 3, 1)
			entries, err := table.Entries(t.Context(), db)
			if err != nil || len(entries) != 2 || entries[0].Version != 3 || entries[1].Version != 1 {
				t.Errorf("got %v, %v", entries, err)
			}
		})
	}
}
