package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

func TestStatusOfEnvironments(t *testing.T) {
	t.Parallel()
	folders := folder("sql/base/1_a.sql", "sql/test/2_b.sql")
	for _, s := range []struct {
		situation string
		fsys      fstest.MapFS
		opt       gooseplus.Option
		want      []string
		versions  []int64
	}{
		{"default", folders, gooseplus.WithEnvironments(), []string{"base"}, []int64{1}},
		{"added", folders, gooseplus.WithEnvironments("test", "demo"), []string{"base", "test", "demo"}, []int64{1, 2}},
		{"replaced", folders, gooseplus.SetEnvironments([]string{"test"}), []string{"test"}, []int64{2}},
		{"none", folder("sql/3_c.sql", "sql/test/2_b.sql"), gooseplus.SetEnvironments(nil), nil, []int64{3}},
	} {
		t.Run(s.situation, func(t *testing.T) {
			db := openSQLite(t)
			status, err := sqlite(db, s.fsys, s.opt).Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			var versions []int64
			for _, m := range status.Migrations {
				versions = append(versions, m.Version)
			}
			if !slices.Equal(status.Environments, s.want) || !slices.Equal(versions, s.versions) || status.PendingCount != len(versions) {
				t.Errorf("%+v", status)
			}
			untouched(t, db)
		})
	}
}

// TestStatusOfBrokenFiles: somebody in trouble still has to see what is applied.
func TestStatusOfBrokenFiles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
	m := sqlite(db, fsys)
	mustMigrate(t, m)
	fsys["sql/base/2_b.sql"] = &fstest.MapFile{Data: []byte("no annotation;\n")}
	fsys["sql/base/3_c.sql"] = &fstest.MapFile{Data: []byte("-- +goose Upp\n")}
	m = sqlite(db, fsys)
	status, err := m.Status(ctx)
	var broken *gooseplus.MigrationError
	if !errors.As(err, &broken) || broken.Version != 2 {
		t.Errorf("%v", err)
	}
	if status.CurrentVersion != 2 || status.PendingCount != 1 || len(status.Migrations) != 3 {
		t.Fatalf("%+v", status)
	}
	first, second := status.Migrations[0], status.Migrations[1]
	if first.AppliedAt == nil || first.Up != "CREATE TABLE a (id INTEGER);" || first.Down != "DROP TABLE a;" {
		t.Errorf("%+v", first)
	}
	if second.AppliedAt == nil || second.Up != "" || second.Source != "sql/base/2_b.sql" {
		t.Errorf("%+v", second)
	}
	// A plan reads what is pending only.
	_, err = m.Plan(ctx)
	if !errors.As(err, &broken) || broken.Version != 3 {
		t.Errorf("%v", err)
	}
}

func TestLookingAtAFault(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for situation, m := range map[string]*gooseplus.Migrator{
		"fault":       sqlite(openSQLite(t), folder("sql/base/1_a.sql", "sql/base/01_b.sql")),
		"no database": sqlite(nil, folder("sql/base/1_a.sql")),
	} {
		want := m.Migrate(ctx)
		_, statusErr := m.Status(ctx)
		_, planErr := m.Plan(ctx)
		if statusErr.Error() != want.Error() || planErr.Error() != want.Error() {
			t.Errorf("%s: Status says %v and Plan %v, Migrate says %v", situation, statusErr, planErr, want)
		}
	}
}

// TestLookingIsNoRun: observers hear of runs only.
func TestLookingIsNoRun(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var seen record
	m := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), gooseplus.WithObserver(seen.observe), gooseplus.WithEnvironments("nowhere"))
	if _, err := m.Plan(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Status(ctx); err != nil {
		t.Fatal(err)
	}
	if events := seen.take(); len(events) > 0 {
		t.Errorf("events %v", events)
	}
}

// TestPlanSaysWhatMigrateWould: the errors too.
func TestPlanSaysWhatMigrateWould(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/5_e.sql")))
	late := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/5_e.sql")
	strict := sqlite(db, late, gooseplus.WithStrictOrder(true))
	steps, err := strict.Plan(ctx)
	wantIs(t, err, gooseplus.ErrMergeMigrations)
	if want := strict.Migrate(ctx); err.Error() != want.Error() || steps != nil {
		t.Errorf("%v, %v; Migrate says %v", steps, err, want)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for name, call := range map[string]func() error{
		"Plan":   func() error { _, err := sqlite(db, late).Plan(ended); return err },
		"Status": func() error { _, err := sqlite(db, late).Status(ended); return err },
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			wantIs(t, err, gooseplus.ErrMigrationTable)
			wantIs(t, err, context.Canceled)
		})
	}
	applied(t, db, 1, 5)
}

func TestStatusOfOtherDialects(t *testing.T) {
	t.Parallel()
	// Turso is SQLite to goose, and one of the dialects whose version table goose alone reads.
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"), gooseplus.WithDialect("turso"), gooseplus.WithStoredDowns(true))
	before := time.Now().Add(-2 * time.Second)
	if err := m.MigrateTo(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	status, err := m.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if at := status.Migrations[0].AppliedAt; at == nil || at.Before(before) || status.Migrations[1].AppliedAt != nil {
		t.Errorf("%+v", status)
	}
}

// TestTenantsOfOtherDialects: migrations run together only where gooseplus reads SQL as the server does.
func TestTenantsOfOtherDialects(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tenant.db")
	tenant := gooseplus.Tenant{Name: "one", Open: func(context.Context) (*sql.DB, error) { return sql.Open("sqlite", path) }}
	for name, want := range map[string]int{"turso": 0, "sqlite3": 1} {
		batches := 0
		m := sqlite(openSQLite(t), folder("sql/base/1_a.sql", "sql/base/2_b.sql"), gooseplus.WithDialect(name), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if _, ok := e.(gooseplus.BatchStarted); ok {
				batches++
			}
		}))
		r, err := m.MigrateTenants(t.Context(), func(yield func(gooseplus.Tenant, error) bool) { yield(tenant, nil) })
		if err != nil || r.Migrated != 1 || len(r.Tenants[0].Applied) != 2 || batches != want {
			t.Errorf("%s: %+v, %v, %d batches", name, r, err, batches)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
