package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

func TestArgumentsOfNavigation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql"))
	for name, err := range map[string]error{
		"0 steps":                m.Rollback(ctx, 0),
		"-3 steps":               m.Rollback(ctx, -3),
		"version -1: the lowest": m.RollbackTo(ctx, -1),
		"version -2: the lowest": m.Goto(ctx, -2),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	untouched(t, db)
}

// TestNavigationOfAFault: every method returns what Err returns.
func TestNavigationOfAFault(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for situation, m := range map[string]*gooseplus.Migrator{
		"fault":       sqlite(openSQLite(t), folder("sql/base/1_a.sql", "sql/base/01_b.sql")),
		"no database": sqlite(nil, folder("sql/base/1_a.sql")),
	} {
		want := m.Migrate(ctx)
		for i, err := range []error{m.Rollback(ctx, 1), m.RollbackTo(ctx, 0), m.Goto(ctx, 1)} {
			if err == nil || err.Error() != want.Error() {
				t.Errorf("%s: method %d says %v, Migrate says %v", situation, i, err, want)
			}
		}
	}
}

func TestEventsOfNavigation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	var seen record
	logger, logs := observedLogger()
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql")
	m := sqlite(db, fsys, gooseplus.WithObserver(seen.observe), gooseplus.WithLogger(logger))
	mustMigrate(t, m)
	want := func(events ...string) {
		t.Helper()
		if got := seen.take(); !slices.Equal(got, events) {
			t.Errorf("events\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(events, "\n  "))
		}
	}
	seen.take()
	logs.TakeAll()

	if err := m.Rollback(ctx, 2); err != nil {
		t.Fatal(err)
	}
	want("run from 3, 2 steps", "down 3", "down 3 done, failed false", "down 2", "down 2 done, failed false",
		"end at 1 from 3, applied 0, undone 2, failed false")
	if n := logs.FilterMessage("migration undone").Len(); n != 2 {
		t.Errorf("%d migrations are logged as undone: %s", n, logText(logs.All()))
	}
	if end := logs.FilterMessage("database migrated").All(); len(end) != 1 || end[0].ContextMap()["undone"] != int64(2) {
		t.Errorf("logs: %s", logText(logs.All()))
	}

	mustMigrate(t, m)
	seen.take()
	fsys["sql/base/2_b.sql"] = migrationFile("CREATE TABLE b (id INTEGER);", "DROP TABLE never;")
	wantIs(t, m.RollbackTo(ctx, 0), gooseplus.ErrRollForward)
	want("run from 3, 3 steps", "down 3", "down 3 done, failed false", "down 2", "down 2 done, failed true",
		"way back", "up 3", "up 3 done, failed false", "end at 3 from 3, applied 0, failed true")
	applied(t, db, 1, 2, 3)
}

func TestRollbackOfAnotherEnvironment(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	fsys := folder("sql/base/1_a.sql", "sql/test/2_b.sql", "sql/base/3_c.sql")
	whole := sqlite(db, fsys, gooseplus.WithEnvironments("test"))
	mustMigrate(t, whole)
	m := sqlite(db, fsys)
	err := m.RollbackTo(ctx, 0)
	wantIs(t, err, gooseplus.ErrIrreversible)
	if !strings.Contains(err.Error(), "versions [2]") {
		t.Errorf("%v", err)
	}
	applied(t, db, 1, 2, 3)
	if err := m.RollbackTo(ctx, 2); err != nil {
		t.Fatal(err)
	}
	applied(t, db, 1, 2)
	// Excluded versions are not known either.
	wantIs(t, sqlite(db, fsys, gooseplus.WithEnvironments("test"),
		gooseplus.WithGooseOptions(goose.WithExcludeVersions([]int64{2}))).Rollback(ctx, 1), gooseplus.ErrIrreversible)
	if err := whole.RollbackTo(ctx, 0); err != nil {
		t.Fatal(err)
	}
	applied(t, db)
}

func TestRollbackOnOneConnection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	nothing := func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }
	withGo := gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunDB: nothing}, &goose.GoFunc{RunDB: nothing}))
	m := sqlite(db, folder("sql/base/1_a.sql", "sql/base/3_c.sql"), withGo)
	mustMigrate(t, m)
	db.SetMaxOpenConns(1)
	if err := m.Goto(ctx, 2); err != nil {
		t.Fatal(err)
	}
	applied(t, db, 1, 2)
	if err := m.Goto(ctx, 0); err != nil {
		t.Errorf("a Go migration without a transaction: %v", err)
	}
	applied(t, db)
}

// TestAnotherRunnerWhileUndoing: what another process did meanwhile stays, and is reported.
func TestAnotherRunnerWhileUndoing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	other := folder("sql/base/1_a.sql", "sql/base/9_z.sql")
	meddle := goose.NewGoMigration(2, nil, &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
		return gooseUp(ctx, db, other)
	}})
	fsys := folder("sql/base/1_a.sql", "sql/base/3_c.sql")
	m := sqlite(db, fsys, gooseplus.WithGoMigrations(meddle))
	mustMigrate(t, m)
	// It doesn't disturb a run that succeeds.
	if err := m.Rollback(ctx, 2); err != nil {
		t.Fatal(err)
	}
	applied(t, db, 1, 9)

	if err := sqlite(db, other).Rollback(ctx, 1); err != nil {
		t.Fatal(err)
	}
	mustMigrate(t, m)
	fsys["sql/base/1_a.sql"] = migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE never;")
	err := m.RollbackTo(ctx, 0)
	var stuck *gooseplus.RollbackError
	if !errors.As(err, &stuck) || !strings.Contains(stuck.Err.Error(), "another process") || !strings.Contains(stuck.Err.Error(), "[9]") {
		t.Errorf("%v", err)
	}
	applied(t, db, 1, 9)
}
