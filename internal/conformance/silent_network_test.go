package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// networkCalls is every method of a Migrator that takes a context, except Statements, which needs no database, with something to do for it: versions 1 and 2 of 3 are applied, and 1 is
// protected.
var networkCalls = map[string]func(context.Context, *gooseplus.Migrator) error{
	"Migrate":          func(ctx context.Context, m *gooseplus.Migrator) error { return m.Migrate(ctx) },
	"MigrateTo":        func(ctx context.Context, m *gooseplus.Migrator) error { return m.MigrateTo(ctx, 3) },
	"MigrateNamespace": func(ctx context.Context, m *gooseplus.Migrator) error { return m.MigrateNamespace(ctx, "core") },
	"Rollback":         func(ctx context.Context, m *gooseplus.Migrator) error { return m.Rollback(ctx, 1) },
	"RollbackTo":       func(ctx context.Context, m *gooseplus.Migrator) error { return m.RollbackTo(ctx, 1) },
	"RollbackToLocked": func(ctx context.Context, m *gooseplus.Migrator) error { return m.RollbackToLocked(ctx) },
	"Goto":             func(ctx context.Context, m *gooseplus.Migrator) error { return m.Goto(ctx, 3) },
	"Force":            func(ctx context.Context, m *gooseplus.Migrator) error { return m.Force(ctx, 3) },
	"LockVersion":      func(ctx context.Context, m *gooseplus.Migrator) error { return m.LockVersion(ctx, 2) },
	"UnlockVersion":    func(ctx context.Context, m *gooseplus.Migrator) error { return m.UnlockVersion(ctx, 1) },
	"Version":          func(ctx context.Context, m *gooseplus.Migrator) error { return second(m.Version(ctx)) },
	"Status":           func(ctx context.Context, m *gooseplus.Migrator) error { return second(m.Status(ctx)) },
	"NamespaceStatus":  func(ctx context.Context, m *gooseplus.Migrator) error { return second(m.NamespaceStatus(ctx)) },
	"Plan":             func(ctx context.Context, m *gooseplus.Migrator) error { return second(m.Plan(ctx)) },
	"PlanTo":           func(ctx context.Context, m *gooseplus.Migrator) error { return second(m.PlanTo(ctx, 3)) },
	"Provision": func(ctx context.Context, m *gooseplus.Migrator) error {
		return m.Provision(ctx, gooseplus.Tenant{Schema: ctx.Value(schemaKey{}).(string)})
	},
	"Wait": func(ctx context.Context, m *gooseplus.Migrator) error {
		return m.With(gooseplus.WithFS(fstest.MapFS{"sql": {Mode: fs.ModeDir}}), gooseplus.SetEnvironments(nil), gooseplus.WithUnknownVersions(gooseplus.Ignore)).Wait(ctx) // for nothing
	},
	"Drift": func(ctx context.Context, m *gooseplus.Migrator) error {
		if _, err := m.Drift(ctx, ctx.Value(shadowKey{}).(*sql.DB)); err == nil || !strings.Contains(err.Error(), "nothing was touched") {
			return errors.Join(errors.New("want another error"), err)
		}
		return nil
	},
	"Trace": func(ctx context.Context, m *gooseplus.Migrator) error {
		if _, err := m.Trace(ctx, ctx.Value(shadowKey{}).(*sql.DB)); err == nil || !strings.Contains(err.Error(), "nothing was touched") {
			return errors.Join(errors.New("want another error"), err)
		}
		return nil
	},
	"Accept": func(ctx context.Context, m *gooseplus.Migrator) error { return m.Accept(ctx, 2) },
	"Runs":   func(ctx context.Context, m *gooseplus.Migrator) error { return second(m.Runs(ctx)) },
	"TenantsStatus": func(ctx context.Context, m *gooseplus.Migrator) (failed error) {
		for status, err := range m.TenantsStatus(ctx, here(ctx, m)) {
			failed = errors.Join(failed, status.Err, err)
		}
		return failed
	},
	"MigrateTenants": func(ctx context.Context, m *gooseplus.Migrator) error {
		return second(m.MigrateTenants(ctx, here(ctx, m)))
	},
	"EachTenant": func(ctx context.Context, m *gooseplus.Migrator) error {
		return second(m.EachTenant(ctx, here(ctx, m), func(ctx context.Context, m *gooseplus.Migrator) error { return m.Migrate(ctx) }))
	},
	"Tenants": func(ctx context.Context, m *gooseplus.Migrator) (failed error) {
		for tenant, err := range m.Tenants(ctx, here(ctx, m)) {
			if failed = err; err == nil {
				failed = second(tenant.Status(ctx))
			}
		}
		return failed
	},
}

// here is one tenant, the schema that the Migrator's connections are in.
func here(ctx context.Context, m *gooseplus.Migrator) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		yield(gooseplus.Tenant{Schema: ctx.Value(schemaKey{}).(string)}, nil)
	}
}

type schemaKey struct{}

// returnLimit is how long a method goes on after the end of its context, as the package documentation says.
const returnLimit = 5 * time.Second

// silentSteps is how many moments of a method are tried at the same time.
const silentSteps = 5

// TestSilentNetwork: the network goes silent at every moment (in the short form: half of the first ones) of every method that takes a context. It returns soon after
// its context's end; only a run that has begun may go on, with its way back.
func TestSilentNetwork(t *testing.T) {
	t.Parallel()
	var methods []string
	for m := range reflect.TypeFor[*gooseplus.Migrator]().Methods() {
		if m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]() && m.Name != "Statements" {
			methods = append(methods, m.Name)
		}
	}
	if listed := slices.Sorted(maps.Keys(networkCalls)); !slices.Equal(listed, methods) {
		t.Fatalf("the methods that take a context are\n%v, and this test calls\n%v", methods, listed)
	}
	everyMoment := os.Getenv("GOOSEPLUS_CHAOS") != ""
	having(server).onEach(t, func(t *testing.T, p *place) {
		p.db.SetMaxIdleConns(12)
		p.exec(t, "CREATE TABLE nothing (id INTEGER)")
		schema := column[string](t, p.db, map[string]string{"postgres": "SELECT current_schema()", "mysql": "SELECT DATABASE()"}[p.dialect])[0]
		atOnce, late := make(chan struct{}, 12), newLag(t, p)
		var all sync.WaitGroup
		for i, method := range methods {
			for _, lock := range []bool{false, true} {
				var last atomic.Int64 // moment that is worth a try
				last.Store(int64(chaosRounds(5, 1000)))
				if !lock { // the first ones with the lock are the same
					last.Store(int64(chaosRounds(0, 1000)))
				}
				for first := range silentSteps { // several moments at a time
					all.Go(func() {
						for n := first; int64(n) <= last.Load() && !t.Failed(); n += silentSteps {
							if !p.hasTurn(i+n) || !everyMoment && (i+n)%4 > 1 {
								continue
							}
							atOnce <- struct{}{}
							if more := silentAfter(t, p, late, schema, method, lock, n); !more {
								last.Store(min(last.Load(), int64(n)))
							}
							<-atOnce
						}
					})
				}
			}
		}
		all.Wait()
	})
}

// overdue is closed when a method should have returned within the limit, on a machine that is late.
func overdue(t *testing.T, limit time.Duration, late *lag) <-chan struct{} {
	over, cancelled := make(chan struct{}), time.Now()
	go func() {
		defer close(over)
		for {
			left := limit + late.since(cancelled) - time.Since(cancelled)
			if left <= 0 || t.Context().Err() != nil {
				return
			}
			time.Sleep(min(left, 200*time.Millisecond))
		}
	}()
	return over
}

// shadowKey is the key of a database that isn't empty.
type shadowKey struct{}

// silent calls a method on a network that goes silent after the client has sent something n times. It says whether more
// is worth a try: the network went silent, and no run had begun.
func silentAfter(t *testing.T, p *place, late *lag, schema, method string, lock bool, n int) (more bool) {
	situation := fmt.Sprintf("%s, lock %v, after %d", method, lock, n)
	versionTable := strings.ToLower(fmt.Sprintf("v_%s_%v_%d", method, lock, n%silentSteps))
	var begun atomic.Bool
	opts := []gooseplus.Option{
		gooseplus.WithVersionTable(versionTable), gooseplus.WithGlobalLock(lock),
		gooseplus.WithForeignHistory(gooseplus.Ignore), gooseplus.WithRollbackTimeout(time.Second),
		gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if _, ok := e.(gooseplus.RunStarted); ok {
				begun.Store(true)
			}
		}),
	}
	named := map[string]*fstest.MapFile{}
	folder := "base/"
	inNamespaces := method == "MigrateNamespace" || method == "NamespaceStatus"
	if inNamespaces {
		folder = "core/"
		opts = append(opts, gooseplus.WithNamespaces("core"))
	}
	for v := range 3 {
		named[fmt.Sprintf("%s%d_v.sql", folder, v+1)] = script("UPDATE nothing SET id = 1;", "UPDATE nothing SET id = 2;")
	}
	opts = append(opts, from(namespaced(named)))
	ready := p.over(p.db, opts...)
	if inNamespaces {
		ready = ready.Namespace("core")
	}
	if err := errors.Join(ready.MigrateTo(context.Background(), 2), ready.LockVersion(context.Background(), 1)); err != nil {
		t.Errorf("%s: %v", situation, err)
		return false
	}
	begun.Store(false)
	way, dsn := dbtest.Through(t, p.dsn)
	defer way.End()
	db, err := sql.Open(p.driver, dsn)
	if err != nil {
		t.Error(err)
		return false
	}
	defer db.Close()
	if err := db.Ping(); err != nil {
		t.Error(err)
		return false
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.WithValue(context.Background(), schemaKey{}, schema), shadowKey{}, p.db))
	defer cancel()
	returned := make(chan error, 1)
	way.SilenceAfter(n)
	go func() { returned <- networkCalls[method](ctx, p.over(db, opts...)) }()
	select {
	case err := <-returned:
		if err != nil {
			t.Errorf("%s, and so with a network: %v", situation, err)
		}
		return false
	case <-way.Silenced():
	}
	time.Sleep(50 * time.Millisecond) // the call should be waiting for an answer, but need not
	cancel()
	select {
	case err := <-returned:
		if err == nil {
			t.Errorf("%s: no error", situation)
		}
	case <-overdue(t, returnLimit, late):
		// A run that is recorded is about to take its first step.
		if len(column[string](t, p.db, "SELECT id FROM "+versionTable+"_lock WHERE outcome = 'running'")) > 0 {
			begun.Store(true)
		}
		way.End()
		if err := <-returned; !begun.Load() {
			t.Errorf("%s: not returned %v after its context's end: %v", situation, returnLimit, err)
		}
	}
	return !begun.Load()
}
