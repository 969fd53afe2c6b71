package gooseplus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"database/sql"

	"github.com/gooseplus/gooseplus"
)

func versionsOf(versions ...int64) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, v := range versions {
		fsys[fmt.Sprintf("sql/base/%d_x.sql", v)] = migrationFile(fmt.Sprintf("CREATE TABLE t%d (id INTEGER);", i), fmt.Sprintf("DROP TABLE t%d;", i))
	}
	return fsys
}

// TestMistypedVersions: a version that can't be meant is refused in every direction, before anything is touched.
func TestMistypedVersions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	stamps := versionsOf(20230101120000, 20230201120000, 20240101120000)
	for situation, s := range map[string]struct {
		fsys    fstest.MapFS
		version int64
		want    string // "" if it is accepted
	}{
		"a date among time stamps": {stamps, 20230102, "version 20230102 doesn't exist (did you mean 20230102000000, the date 2023-01-02?): " +
			"the nearest are 20230101120000 and 20230201120000. Nothing was touched"},
		"between two":   {stamps, 20230115000000, ""},
		"nothing there": {fstest.MapFS{"sql/base/.gitkeep": {}}, 3, "version 3 doesn't exist: there are no migrations. Nothing was touched"},
	} {
		t.Run(situation, func(t *testing.T) {
			for name, call := range map[string]func(*gooseplus.Migrator) error{
				"MigrateTo":  func(m *gooseplus.Migrator) error { return m.MigrateTo(ctx, s.version) },
				"Goto":       func(m *gooseplus.Migrator) error { return m.Goto(ctx, s.version) },
				"RollbackTo": func(m *gooseplus.Migrator) error { return m.RollbackTo(ctx, s.version) },
			} {
				db := openSQLite(t)
				err := call(sqlite(db, s.fsys))
				if s.want == "" && err != nil || s.want != "" && (err == nil || !strings.Contains(err.Error(), s.want)) {
					t.Errorf("%s: %v, want %q", name, err, s.want)
				}
				if s.want != "" {
					untouched(t, db)
				}
			}
		})
	}
}

// TestMistypedUndoesNothing: with everything applied, a version too low would undo all of it.
func TestMistypedUndoesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	m := sqlite(db, versionsOf(20230101120000, 20240101120000))
	mustMigrate(t, m)
	for _, err := range []error{m.Goto(ctx, 20230101), m.RollbackTo(ctx, 20230101), m.Goto(ctx, 20220101000000), m.Force(ctx, 20230101), m.Force(ctx, 20230601000000)} {
		if err == nil || !strings.Contains(err.Error(), "doesn't exist") {
			t.Errorf("%v", err)
		}
	}
	applied(t, db, 20230101120000, 20240101120000)

	// A version that is applied and not known any more can be gone to.
	older := sqlite(db, versionsOf(20230101120000))
	for _, err := range []error{older.MigrateTo(ctx, 20240101120000), older.RollbackTo(ctx, 20240101120000), older.Goto(ctx, 20230601000000)} {
		if err != nil && !strings.Contains(err.Error(), "have no migration in this configuration") {
			t.Error(err)
		}
	}
	if err := older.Force(ctx, 20240101120000); err != nil {
		t.Error(err)
	}
	if err := m.Goto(ctx, 0); err != nil {
		t.Fatal(err)
	}
	applied(t, db)
}

// TestDeadlines: a timeout that was set counts beside the caller's deadline, the default gives way to it.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	for situation, s := range map[string]struct {
		opts []gooseplus.Option
		want func(got, caller time.Time) bool
	}{
		"the default":        {nil, func(got, caller time.Time) bool { return got.Equal(caller) }},
		"set, earlier":       {[]gooseplus.Option{gooseplus.WithTimeout(time.Minute)}, func(got, caller time.Time) bool { return got.Before(caller) }},
		"set, later":         {[]gooseplus.Option{gooseplus.WithTimeout(5 * time.Hour)}, func(got, caller time.Time) bool { return got.Equal(caller) }},
		"set to none":        {[]gooseplus.Option{gooseplus.WithTimeout(0)}, func(got, caller time.Time) bool { return got.Equal(caller) }},
		"set to the default": {[]gooseplus.Option{gooseplus.WithTimeout(5 * time.Minute)}, func(got, caller time.Time) bool { return got.Before(caller) }},
	} {
		t.Run(situation, func(t *testing.T) {
			caller := time.Now().Add(time.Hour)
			ctx, cancel := context.WithDeadline(context.Background(), caller)
			defer cancel()
			var got time.Time
			m := goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error {
				got, _ = ctx.Deadline()
				return nil
			}}, nil)
			opts := append(s.opts, gooseplus.WithGoMigrations(m), gooseplus.WithMigrationTimeout(0))
			if err := sqlite(openSQLite(t), folder("sql/base/2_a.sql"), opts...).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			if !s.want(got, caller) {
				t.Errorf("the migration ran with the deadline %v, the caller's is %v", got, caller)
			}
		})
	}
}

// TestNoTenantAtAll: a pattern that matches nothing is told of.
func TestNoTenantAtAll(t *testing.T) {
	t.Parallel()
	var warnings []string
	m := gooseplus.New(openSQLite(t), gooseplus.WithFS(folder("sql/base/1_a.sql")), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if w, ok := e.(gooseplus.Warning); ok {
			warnings = append(warnings, w.Message)
		}
	}))
	report, err := m.MigrateTenants(context.Background(), gooseplus.Schemas())
	if err != nil || report.Total != 0 || len(warnings) != 1 || warnings[0] != "the source gave no tenant: nothing was done" {
		t.Errorf("%+v, %v, warnings %q", report, err, warnings)
	}
}
