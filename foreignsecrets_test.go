package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gooseplus/gooseplus"
)

// errSecret is what a function of an application may say of its DSN.
var errSecret = errors.New("cannot parse postgres://u:S3cretPW@h/db and password=S3cretPW")

// lockedFS can't be opened, and says what it is.
type lockedFS struct{ fs.FS }

func (lockedFS) Open(string) (fs.File, error) { return nil, errSecret }

// TestSecretsOfFunctions: functions of the application, and what they return, give a password away. Nothing that the library
// returns, tells or logs has it. errors.Is finds the error all the same.
func TestSecretsOfFunctions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	fails := func(context.Context) error { return errSecret }
	panics := func(context.Context) error { panic(errSecret) }
	source := func(end func(context.Context) error) func(func(gooseplus.Tenant, error) bool) {
		return func(yield func(gooseplus.Tenant, error) bool) {
			here := gooseplus.Tenant{Name: "a", Open: func(context.Context) (*sql.DB, error) { return openSQLite(t), nil }}
			_ = yield(here, nil) && yield(gooseplus.Tenant{}, end(ctx))
		}
	}
	opens := func(f func(context.Context) error) func(func(gooseplus.Tenant, error) bool) {
		return tenantsOf(gooseplus.Tenant{Name: "a", Open: func(ctx context.Context) (*sql.DB, error) { return nil, f(ctx) }})
	}
	for how, f := range map[string]func(context.Context) error{"returned": fails, "panic": panics} {
		for where, run := range map[string]func(m *gooseplus.Migrator) error{
			"source of MigrateTenants": func(m *gooseplus.Migrator) error { _, err := m.MigrateTenants(ctx, source(f)); return err },
			"source of EachTenant": func(m *gooseplus.Migrator) error {
				_, err := m.EachTenant(ctx, source(f), func(context.Context, *gooseplus.Migrator) error { return nil })
				return err
			},
			"source of TenantsStatus": func(m *gooseplus.Migrator) (last error) {
				for _, err := range m.TenantsStatus(ctx, source(f)) {
					last = err
				}
				return last
			},
			"Open": func(m *gooseplus.Migrator) error { _, err := m.MigrateTenants(ctx, opens(f)); return err },
			"Open of one tenant": func(m *gooseplus.Migrator) (last error) {
				for tm := range m.Tenants(ctx, opens(f)) {
					last = tm.Migrate(ctx)
				}
				return last
			},
			"Open of TenantsStatus": func(m *gooseplus.Migrator) (last error) {
				for s := range m.TenantsStatus(ctx, opens(f)) {
					last = s.Err
				}
				return last
			},
			"function of EachTenant": func(m *gooseplus.Migrator) error {
				r, err := m.EachTenant(ctx, opens(f), func(ctx context.Context, _ *gooseplus.Migrator) error { return f(ctx) })
				return fmt.Errorf("%w %w", err, r.Tenants[0].Err)
			},
			"Go migration": func(m *gooseplus.Migrator) error {
				up := func(ctx context.Context, _ *sql.Tx) error { return f(ctx) }
				return m.With(gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: up}, nil))).Migrate(ctx)
			},
			"observer": func(m *gooseplus.Migrator) error {
				return m.With(gooseplus.WithObserver(func(context.Context, gooseplus.Event) { _ = panics(ctx) })).Migrate(ctx)
			},
			"context hook": func(m *gooseplus.Migrator) error {
				return m.With(gooseplus.WithContextHook(func(context.Context, gooseplus.Event) context.Context { panic(errSecret) })).Migrate(ctx)
			},
			"cause of the context": func(m *gooseplus.Migrator) error {
				ctx, cancel := context.WithCancelCause(ctx)
				cancel(errSecret)
				return m.Migrate(ctx)
			},
			"file system": func(m *gooseplus.Migrator) error {
				return m.With(gooseplus.WithFS(lockedFS{fstest.MapFS{}})).Migrate(ctx)
			},
		} {
			t.Run(where+" "+how, func(t *testing.T) {
				var told strings.Builder
				core, logs := observer.New(zap.DebugLevel)
				m := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), gooseplus.WithLogger(zap.New(core)),
					gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
						fmt.Fprintf(&told, "%T %+v\n", e, e)
						if e, ok := e.(gooseplus.TenantsFinished); ok {
							fmt.Fprintf(&told, "%+v\n", *e.Report)
						}
					}))
				err := run(m)
				if err != nil && !errors.Is(err, errSecret) {
					t.Errorf("%v", err)
				}
				fmt.Fprintf(&told, "%v\n", err)
				for _, entry := range logs.All() {
					fmt.Fprintln(&told, entry.Message, entry.ContextMap())
				}
				runs, _ := m.Runs(ctx)
				fmt.Fprintln(&told, runs)
				if text := told.String(); strings.Contains(text, "S3cret") {
					t.Errorf("the password is in\n%s", text)
				} else if !strings.Contains(text, "xxxxx") {
					t.Errorf("nothing is hidden in\n%s", text)
				}
			})
		}
	}
}
