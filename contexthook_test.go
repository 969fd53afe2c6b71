package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

type hookKey struct{}

// hook is a context hook that puts the path of what has begun into the context.
func hook(ctx context.Context, event gooseplus.Event) context.Context {
	path, _ := ctx.Value(hookKey{}).(string)
	switch e := event.(type) {
	case gooseplus.TenantsStarted:
		path += "/tenants"
	case gooseplus.RunRequested:
		path += "/run" + e.Tenant
	case gooseplus.MigrationStarted:
		path += fmt.Sprintf("/%s%d", e.Step.Direction, e.Step.Version)
	case gooseplus.WayBackStarted:
		path += "/back"
	default:
		path += "/ignored"
	}
	return context.WithValue(ctx, hookKey{}, path)
}

func TestContextHook(t *testing.T) {
	t.Parallel()
	var seen []string
	see := func(ctx context.Context, what string) {
		seen = append(seen, fmt.Sprint(ctx.Value(hookKey{}), " ", what))
	}
	observe := gooseplus.WithObserver(func(ctx context.Context, e gooseplus.Event) {
		see(ctx, strings.TrimPrefix(fmt.Sprintf("%T", e), "gooseplus."))
	})
	function := func(fault error) func(context.Context, *sql.Tx) error {
		return func(ctx context.Context, _ *sql.Tx) error { see(ctx, "function"); return fault }
	}
	migrations := gooseplus.WithGoMigrations(
		goose.NewGoMigration(1, &goose.GoFunc{RunTx: function(nil)}, &goose.GoFunc{RunTx: function(nil)}),
		goose.NewGoMigration(2, &goose.GoFunc{RunTx: function(errors.New("on purpose"))}, nil),
	)
	want := []string{
		"c/run RunRequested", "c/run RunStarted", "c/run Warning",
		"c/run/up1 MigrationStarted", "c/run/up1 function", "c/run/up1 MigrationFinished",
		"c/run/up2 MigrationStarted", "c/run/up2 function", "c/run/up2 MigrationFinished",
		"c/run/back WayBackStarted", "c/run/back/down1 MigrationStarted", "c/run/back/down1 function", "c/run/back/down1 MigrationFinished",
		"c/run/back WayBackFinished", "c/run RunFinished",
	}
	ctx := context.WithValue(context.Background(), hookKey{}, "c")
	run := func(hooks ...gooseplus.Option) (context.Context, error) {
		seen = nil
		var of context.Context
		last := gooseplus.WithObserver(func(ctx context.Context, _ gooseplus.Event) { of = ctx })
		err := sqlite(openSQLite(t), folder(), append(hooks, observe, last, migrations)...).Migrate(ctx)
		return of, err
	}
	// The second hook's panic, and its nil, leave what the first one returned.
	panics := gooseplus.WithContextHook(func(_ context.Context, e gooseplus.Event) context.Context {
		if _, ok := e.(gooseplus.RunRequested); ok {
			panic("no geese here")
		}
		return nil
	})
	_, err := run(gooseplus.WithContextHook(nil), gooseplus.WithContextHook(hook), panics)
	wantIs(t, err, gooseplus.ErrRollForward)
	if !slices.Equal(seen, want) {
		t.Errorf("seen\n  %s\nwant\n  %s", strings.Join(seen, "\n  "), strings.Join(want, "\n  "))
	}

	// A context that has ended, or that isn't made of the one given, ends nothing and hides nothing.
	foreign := gooseplus.WithContextHook(func(context.Context, gooseplus.Event) context.Context {
		ended, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New("the hook's"))
		return ended
	})
	of, err := run(foreign)
	wantIs(t, err, gooseplus.ErrRollForward)
	wantText(t, err, "on purpose")
	if n := len(seen); n != len(want) || of.Err() != nil {
		t.Errorf("%d events and functions, want %d; the observers' context: %v", n, len(want), of.Err())
	}
	if seen[3] != "<nil> MigrationStarted" || seen[4] != "c function" {
		t.Errorf("seen\n  %s", strings.Join(seen, "\n  "))
	}
}

// TestContextHookKeepsLimits: the timeout of a migration holds below a context of a hook, with its name as the cause.
func TestContextHookKeepsLimits(t *testing.T) {
	t.Parallel()
	m := sqlite(openSQLite(t), folder(), gooseplus.WithContextHook(hook), gooseplus.WithMigrationTimeout(time.Millisecond),
		gooseplus.WithGoMigrations(goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}}, nil)))
	wantText(t, m.Migrate(context.Background()), "migration timeout of 1ms is over")
}

// TestContextHookOfTenants: each tenant's run has a context of its own, below the one of the call.
func TestContextHookOfTenants(t *testing.T) {
	t.Parallel()
	var seen []string
	m := sqlite(nil, folder("sql/base/1_a.sql"), gooseplus.WithContextHook(hook), gooseplus.WithObserver(func(ctx context.Context, e gooseplus.Event) {
		switch e.(type) {
		case gooseplus.TenantsStarted, gooseplus.TenantsFinished, gooseplus.MigrationStarted:
			seen = append(seen, fmt.Sprintf("%v %T", ctx.Value(hookKey{}), e))
		}
	}))
	tenants := func(yield func(gooseplus.Tenant, error) bool) {
		for _, name := range []string{"a", "b"} {
			open := func(context.Context) (*sql.DB, error) { return sql.Open("sqlite", t.TempDir()+"/"+name+".db") }
			if !yield(gooseplus.Tenant{Name: name, Open: open}, nil) {
				return
			}
		}
	}
	ctx := context.WithValue(context.Background(), hookKey{}, "c")
	if _, err := m.MigrateTenants(ctx, tenants, gooseplus.WithConcurrency(2)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(seen)
	want := []string{"c/tenants gooseplus.TenantsFinished", "c/tenants gooseplus.TenantsStarted",
		"c/tenants/runa/up1 gooseplus.MigrationStarted", "c/tenants/runb/up1 gooseplus.MigrationStarted"}
	if !slices.Equal(seen, want) {
		t.Errorf("seen\n  %s\nwant\n  %s", strings.Join(seen, "\n  "), strings.Join(want, "\n  "))
	}
}

func wantText(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error: %v, want one with %q", err, text)
	}
}
