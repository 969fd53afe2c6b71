package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/history"
)

// ofARun are the errors that tell what became of a run, and those by which a run finds it out.
var ofARun = []error{
	gooseplus.ErrMigrationTable, gooseplus.ErrMergeMigrations, gooseplus.ErrLocked, gooseplus.ErrLockLost, gooseplus.ErrRollForward,
	gooseplus.ErrRollBack, gooseplus.ErrUnknownVersion, gooseplus.ErrEdited, gooseplus.ErrTooOld, gooseplus.ErrDirty,
	gooseplus.ErrVersionLocked, gooseplus.ErrProtectedEnvironment, gooseplus.ErrTenantMissing, gooseplus.ErrIrreversible,
	gooseplus.ErrForeignHistory, drive.ErrOtherRunner, history.ErrRecorded, history.ErrNotRecorded,
}

func wantOnly(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, e := range ofARun {
		if got := errors.Is(err, e); got != slices.Contains(want, e) {
			t.Errorf("errors.Is(%q) is %v: %v", e, got, err)
		}
	}
}

// TestErrorsOfAnotherMigrator: a Go migration uses another Migrator and returns its error. The outcome of that inner run is not
// reported as the outcome of the outer one.
func TestErrorsOfAnotherMigrator(t *testing.T) {
	ctx := context.Background()
	fails := func(err error) gooseplus.Option {
		return gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return err }}, nil))
	}
	for _, e := range ofARun {
		for how, returned := range map[string]error{"returned": e, "wrapped": fmt.Errorf("%w: %w", fs.ErrPermission, e), "joined": errors.Join(e, fs.ErrPermission)} {
			db := openSQLite(t)
			err := sqlite(db, folder("sql/base/1_a.sql"), fails(returned)).Migrate(ctx)
			wantText(t, err, e.Error())
			wantOnly(t, err, gooseplus.ErrRollForward)
			if how != "returned" {
				wantIs(t, err, fs.ErrPermission)
			}
			panics := gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { panic(returned) }}, nil))
			wantOnly(t, sqlite(db, folder("sql/base/1_a.sql"), panics).Migrate(ctx), gooseplus.ErrRollForward)
		}
		report, _ := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), fails(e)).MigrateTenants(ctx, tenantsOf(gooseplus.Tenant{
			Name: "a", Open: func(context.Context) (*sql.DB, error) { return openSQLite(t), nil },
		}))
		if len(report.Tenants) != 1 || report.Tenants[0].State != gooseplus.TenantFailedAndUndone {
			t.Errorf("%v: %+v", e, report)
		}
	}

	// Real ones: the other run is dirty, and this one is not; the other one is back at its starting point, and this one is not.
	other := sqlite(openSQLite(t), fstest.MapFS{"sql/base/1_a.sql": {Data: []byte(
		"-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE a (id INTEGER);\nSELECT nothing;\n-- +goose Down\nDROP TABLE a;\nSELECT nothing;\n")}})
	run := func(context.Context, *sql.Tx) error { return other.Migrate(ctx) }
	undone := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: run}, nil)))
	err := undone.Migrate(ctx)
	wantText(t, err, gooseplus.ErrDirty.Error())
	wantOnly(t, err, gooseplus.ErrRollForward)
	var inner *gooseplus.RollbackError
	if errors.As(err, &inner) {
		t.Errorf("a run that is undone has the other one's %v", inner)
	}
	other = sqlite(openSQLite(t), fstest.MapFS{"sql/base/1_a.sql": {Data: []byte("-- +goose Up\nSELECT nothing;\n-- +goose Down\n")}})
	stuck := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), gooseplus.WithGoMigrations(
		goose.NewGoMigration(2, &goose.GoFunc{RunTx: create(2)}, &goose.GoFunc{RunTx: run}),
		goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return errors.New("no") }}, nil)))
	wantOnly(t, stuck.Migrate(ctx), gooseplus.ErrRollBack)
}
