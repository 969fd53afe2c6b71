package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestEnsure(t *testing.T) {
	ctx := context.Background()

	t.Run("from nothing, by many at once", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					err := p.table.Ensure(ctx, p.db)
					for errors.Is(err, ErrBusy) {
						err = p.table.Ensure(ctx, p.db)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := p.count(t, "1 = 1"); n != 0 {
				t.Errorf("%d rows", n)
			}
		})
	})

	t.Run("over the original's table, by many at once", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			for _, s := range []string{
				"CREATE TABLE " + p.table.Name() + " (status INTEGER NOT NULL DEFAULT 0)",
				"INSERT INTO " + p.table.Name() + " (status) VALUES (0)",
				"INSERT INTO " + p.table.Name() + " (status) VALUES (0)",
			} {
				_, err := p.db.Exec(s)
				must(t, err)
			}
			var wg sync.WaitGroup
			for range 40 {
				wg.Go(func() {
					for {
						err := p.table.Ensure(ctx, p.db)
						if errors.Is(err, ErrBusy) {
							continue // another of them is at it
						}
						if err != nil {
							t.Error(err)
						}
						return
					}
				})
			}
			wg.Wait()
			if n := p.count(t, "1 = 1"); n != 0 {
				t.Errorf("%d rows are left of the original's", n)
			}
		})
	})

	t.Run("the original holds its lock", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			if !p.rows {
				return // the original's lock does nothing on SQLite
			}
			for _, s := range []string{
				"CREATE TABLE " + p.table.Name() + " (status INTEGER NOT NULL DEFAULT 0)",
				"INSERT INTO " + p.table.Name() + " (status) VALUES (0)",
			} {
				_, err := p.db.Exec(s)
				must(t, err)
			}
			tx, err := p.db.Begin()
			must(t, err)
			_, err = tx.Exec("SELECT status FROM " + p.table.Name() + " FOR UPDATE")
			must(t, err)
			if err := p.table.Ensure(ctx, p.db); !errors.Is(err, ErrBusy) {
				t.Errorf("Ensure = %v, want ErrBusy", err)
			}
			must(t, tx.Rollback())
			must(t, p.table.Ensure(ctx, p.db))
		})
	})
}

// releasedColumns are the columns of the version before this one, laterColumns the first that an upgrade adds.
const (
	releasedColumns = `status INTEGER NOT NULL DEFAULT 0, id VARCHAR(180) NOT NULL DEFAULT 'mutex', kind VARCHAR(20) NOT NULL DEFAULT 'mutex',
		namespace VARCHAR(255) NOT NULL DEFAULT '', version_id BIGINT NOT NULL DEFAULT 0, name VARCHAR(255) NOT NULL DEFAULT '',
		holder VARCHAR(255) NOT NULL DEFAULT '', started_at VARCHAR(40) NOT NULL DEFAULT '', ended_at VARCHAR(40) NOT NULL DEFAULT '',
		from_version BIGINT NOT NULL DEFAULT 0, to_version BIGINT NOT NULL DEFAULT 0, outcome VARCHAR(20) NOT NULL DEFAULT '',
		backend VARCHAR(100) NOT NULL DEFAULT '', start_set TEXT, planned TEXT, error_text TEXT`
	laterColumns = `, run_id VARCHAR(100) NOT NULL DEFAULT '', transactions BIGINT NOT NULL DEFAULT -1`
)

// TestUpgrade: a table of an older version says the same before and after the upgrade, and has the columns of this
// version then.
func TestUpgrade(t *testing.T) {
	ctx := context.Background()
	for layout, make := range map[string]func(name string, partitions bool) []string{
		"halfway": func(name string, _ bool) []string {
			return []string{"CREATE TABLE " + name + " (" + releasedColumns + laterColumns + ", source VARCHAR(255) NOT NULL DEFAULT ''," +
				" direction VARCHAR(4) NOT NULL DEFAULT '', environment VARCHAR(255) NOT NULL DEFAULT '', PRIMARY KEY (id))",
				"INSERT INTO " + name + " (id, kind, run_id, backend) VALUES ('backend:old:7', 'backend', 'run:old', '7')"}
		},
		"with the lock in it": func(name string, partitions bool) []string {
			create := "CREATE TABLE " + name + " (" + releasedColumns + ", PRIMARY KEY (id))"
			list := []string{create}
			if partitions {
				list = []string{create + " PARTITION BY LIST (id)",
					"CREATE TABLE goose_db_version_lock_mutex PARTITION OF " + name + " FOR VALUES IN ('mutex')",
					"CREATE TABLE goose_db_version_lock_rows PARTITION OF " + name + " DEFAULT"}
			}
			return append(list, "INSERT INTO "+name+" (status) VALUES (0)")
		},
	} {
		t.Run(layout, func(t *testing.T) {
			onEach(t, "goose_db_version", func(t *testing.T, p place) {
				name := p.table.Name()
				if list, err := p.table.Versioned.List(ctx, p.db, ""); err != nil || len(list) > 0 {
					t.Errorf("applied versions in a table that is missing: %v, %v", list, err)
				}
				for _, s := range append(make(name, p.name == "postgres"),
					"INSERT INTO "+name+" (id, kind, namespace, version_id, name, outcome, status) VALUES ('of:dirty:old', 'dirty', 'core', 2, 'sql/2_b.sql', 'down', 1)",
					"INSERT INTO "+name+" (id, kind, version_id, name) VALUES ('of:protected:1:', 'protected', 1, 'sql/1_a.sql')",
					"INSERT INTO "+name+" (id, kind, name) VALUES ('of:environment:test', 'environment', 'test')",
					"INSERT INTO "+name+" (id, kind) VALUES ('of:adopted:0:', 'adopted')",
					"INSERT INTO "+name+" (id, kind, holder, started_at, outcome, backend, start_set, planned) VALUES"+
						" ('run:old', 'run', 'h/1/old', '2020-01-01T00:00:00.000000Z', 'running', '7', '[1]', '[2]')") {
					_, err := p.db.Exec(s)
					must(t, err)
				}
				remembered := func(when string) {
					t.Helper()
					facts, err := p.table.Read(ctx, p.db)
					must(t, err)
					want := Facts{Dirty: []Step{{Mark: Mark{Namespace: "core", Version: 2, Source: "sql/2_b.sql"}, Run: "old", Down: true, Failed: true}},
						Protected: []Mark{{Version: 1, Source: "sql/1_a.sql"}}, Environments: []string{"test"}, Adopted: true, Running: []string{"old"}}
					if fmt.Sprint(facts) != fmt.Sprint(want) {
						t.Errorf("%s: %+v, want %+v", when, facts, want)
					}
					runs, err := p.table.Runs.List(ctx, p.db)
					must(t, err)
					if len(runs) != 1 || runs[0].ID != "old" || runs[0].Outcome != Running || !slices.Equal(runs[0].Start, []int64{1}) || !slices.Equal(runs[0].Planned, []int64{2}) {
						t.Errorf("%s: runs %+v", when, runs)
					}
				}
				upgraded := func(when string) {
					t.Helper()
					must(t, p.table.Ensure(ctx, p.db))
					remembered(when)
					connections, err := p.table.Connections.List(ctx, p.db)
					must(t, err)
					if want := (Connection{Run: "old", Name: "7", Holder: "h/1/old"}); len(connections) != 1 || connections[0] != want {
						t.Errorf("%s: connections %+v, want %+v", when, connections, want)
					}
					l, err := p.table.layout(ctx, p.db)
					must(t, err)
					if n := len(p.table.columns()); len(l.columns) != n || len(l.missing(p.table.table)) > 0 || l.partitioned {
						t.Errorf("%s: the table has %v", when, l)
					}
					if n := p.count(t, "kind NOT IN ('dirty', 'protected', 'environment', 'adopted', 'run', 'backend')"); n > 0 {
						t.Errorf("%s: %d rows of another kind", when, n)
					}
				}
				remembered("before")
				versions, err := NewVersions(p.table.dialect, "goose_db_version")
				must(t, err)
				create(t, versions, p.db)
				if look, err := versions.AppliedAndFlag(ctx, p.db, p.table, Question{Sums: true}, false); err != nil || !look.Flagged || !look.Ready || look.State {
					t.Errorf("a look before: %+v, %v", look, err)
				}
				if list, err := p.table.Versioned.List(ctx, p.db, ""); err != nil || len(list) > 0 {
					t.Errorf("applied versions before: %v, %v", list, err)
				}
				upgraded("after")

				// A replica of the version before adds what it misses, and uses it.
				for _, s := range []string{"ALTER TABLE " + name + " ADD COLUMN status INTEGER NOT NULL DEFAULT 0",
					"ALTER TABLE " + name + " ADD COLUMN name VARCHAR(255) NOT NULL DEFAULT ''",
					"INSERT INTO " + name + " (id, kind, name) VALUES ('of:environment:demo', 'environment', 'demo')"} {
					_, err := p.db.Exec(s)
					must(t, err)
				}
				must(t, p.table.Ensure(ctx, p.db))
				_, err = p.db.Exec("DELETE FROM " + name + " WHERE id = 'of:environment:demo'")
				must(t, err)
				upgraded("again")
				// Later rows are as they would be in a new table.
				must(t, p.table.Runs.Start(ctx, p.db, Run{ID: "new"}))
				if ours, err := p.table.Connections.Add(ctx, p.db, "new", "8"); !ours || err != nil {
					t.Errorf("Add = %t, %v", ours, err)
				}
				if ours, err := p.table.Runs.End(ctx, p.db, "new", 1, Migrated, "", time.Now(), "8"); !ours || err != nil {
					t.Errorf("End = %t, %v", ours, err)
				}

				exec(t, p.db, "ALTER TABLE "+name+" DROP COLUMN down_sql")
				if list, err := p.table.Versioned.List(ctx, p.db, ""); err == nil {
					t.Errorf("rows that can't be read count as none: %v", list)
				}
			})
		})
	}
}
