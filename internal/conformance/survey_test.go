package conformance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// asked says which of the tenants were asked by themselves, by the statements that a database is sent.
type asked struct {
	p     *fleetPlace
	names []string
	// A look takes what the source has yielded so far. So that this is never one tenant, all that look are kept busy, each with
	// a tenant that is not there, until the source has yielded all.
	busy, yielded chan struct{}
	mu            sync.Mutex
	set           map[string]bool
	keep          int // how many of the next statements wait for the source
}

// lookers is how many look at once, in TenantsStatus.
func lookers() int { return min(runtime.GOMAXPROCS(0), 4) }

// source yields the tenants behind those that keep busy.
func (a *asked) source(t *testing.T) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		defer close(a.yielded)
		for i := range lookers() {
			a.mu.Lock()
			a.keep++
			a.mu.Unlock()
			if !yield(gooseplus.Tenant{Schema: fmt.Sprintf("not_there_%d", i)}, nil) {
				return
			}
			select {
			case <-a.busy:
			case <-time.After(patience):
				t.Error("nobody looks")
				return
			}
		}
		for _, name := range a.names {
			if !yield(gooseplus.Tenant{Schema: name}, nil) {
				return
			}
		}
	}
}

func (a *asked) before(statement string) {
	var named []string
	for _, name := range a.names {
		if strings.Contains(statement, a.p.quote(name)) {
			named = append(named, name)
		}
	}
	a.mu.Lock()
	kept := a.keep > 0
	if kept {
		a.keep--
	}
	if len(named) == 1 {
		a.set[named[0]] = true
	}
	a.mu.Unlock()
	if kept {
		a.busy <- struct{}{}
		<-a.yielded
	}
}

// statuses ranges over TenantsStatus, and says which tenants were asked by themselves.
func (p *fleetPlace) statuses(t *testing.T, names []string, opts ...gooseplus.Option) (list []gooseplus.TenantStatus, alone map[string]bool) {
	t.Helper()
	db, f := p.flaky(t)
	a := &asked{p: p, names: names, set: make(map[string]bool), busy: make(chan struct{}, lookers()), yielded: make(chan struct{})}
	f.before = a.before
	for s, err := range p.over(db, opts...).TenantsStatus(context.Background(), a.source(t)) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	list = list[min(lookers(), len(list)):]
	if len(list) != len(names) {
		t.Fatalf("%d statuses of %d tenants", len(list), len(names))
	}
	return list, a.set
}

// TestSurvey asks of tenants of all kinds, many at once, what Plan and Status say of each.
func TestSurvey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(9)
		complete, behind, late, empty, half := names[0], names[1], names[2], names[3], names[4]
		seen, protected, running, missing := names[5], names[6], names[7], names[8]
		p.create(t, names[:8]...)
		set := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b"), "3_c.sql": table("c"),
			"test/4_d.sql": table("d"), "production/5_e.sql": table("e")}
		test := gooseplus.WithEnvironments("test")
		in := func(schema string, opts ...gooseplus.Option) *gooseplus.Migrator {
			return p.migrator(append(opts, gooseplus.WithSchema(schema))...)
		}
		for _, err := range []error{
			in(complete, from(files(set)), gooseplus.WithGlobalLock(true)).Migrate(ctx),
			in(behind, from(files(set))).MigrateTo(ctx, 1),
			in(late, from(files(set))).MigrateTo(ctx, 3),
			in(seen, from(files(set)), test).MigrateTo(ctx, 1),
			in(protected, from(files(set)), gooseplus.WithEnvironments("production")).MigrateTo(ctx, 1),
			in(running, from(files(set)), gooseplus.WithGlobalLock(true)).MigrateTo(ctx, 1),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		p.exec(t, "DELETE FROM "+p.quote(late)+".goose_db_version WHERE version_id = 2",
			"UPDATE "+p.quote(running)+".goose_db_version_lock SET outcome = 'running' WHERE kind = 'run'")
		stuck := map[string]*fstest.MapFile{"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE nowhere;")}
		wantIs(t, in(half, from(files(stuck))).Migrate(ctx), gooseplus.ErrDirty)

		broken := map[string]*fstest.MapFile{"1_a.sql": set["1_a.sql"], "2_b.sql": script("-- +goose StatementBegin\nSELECT 1;", "")}
		for _, c := range []struct {
			name     string
			settled  []string // by the survey
			refused  []string // by Plan
			settings []gooseplus.Option
		}{
			{"base", []string{complete, behind, late, seen, protected, running}, []string{half, missing}, []gooseplus.Option{from(files(set))}},
			{"with the lock", []string{complete, behind, late, seen, protected}, []string{half, missing},
				[]gooseplus.Option{from(files(set)), gooseplus.WithGlobalLock(true)}},
			{"strict order", []string{complete, behind, seen, protected, running}, []string{half, missing, late},
				[]gooseplus.Option{from(files(set)), gooseplus.WithStrictOrder(true)}},
			{"another environment", []string{complete, behind, late, seen, running}, []string{half, missing, protected}, []gooseplus.Option{from(files(set)), test}},
			{"the protected one", []string{complete, behind, late, seen, protected, running}, []string{half, missing},
				[]gooseplus.Option{from(files(set)), gooseplus.WithEnvironments("production")}},
			{"both", []string{complete, behind, late, seen, running}, []string{half, missing, protected},
				[]gooseplus.Option{from(files(set)), gooseplus.WithEnvironments("production", "test")}},
			{"a file that can't be parsed", []string{complete}, []string{behind, late, empty, half, seen, protected, running, missing},
				[]gooseplus.Option{from(files(broken))}},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := p.migrator(c.settings...)
				list, alone := p.statuses(t, names, c.settings...)
				for i, name := range names {
					tm, got := m.Tenant(gooseplus.Tenant{Schema: name}), list[i]
					steps, planErr := tm.Plan(ctx)
					if (planErr != nil) != slices.Contains(c.refused, name) {
						t.Errorf("%s: Plan = %v", name, planErr)
					}
					if settled := !alone[name]; settled != slices.Contains(c.settled, name) {
						t.Errorf("%s: settled %t", name, settled)
					}
					want := gooseplus.TenantStatus{Name: name, State: gooseplus.TenantUpToDate, Pending: len(steps)}
					if planErr == nil {
						s, err := tm.Status(ctx)
						if len(s.Migrations) == 0 { // an error with some is about files that nobody plans
							t.Fatal(err)
						}
						if want.Version = s.CurrentVersion; want.Pending > 0 {
							want.State = gooseplus.TenantPending
						}
						for _, one := range s.Migrations {
							if one.Unknown {
								want.Unknown++
							}
						}
					} else {
						want = gooseplus.TenantStatus{Name: name, State: gooseplus.TenantFailed, Version: -1, Pending: -1, Unknown: -1, Err: got.Err}
						switch {
						case errors.Is(planErr, gooseplus.ErrTenantMissing):
							want.State = gooseplus.TenantMissing
						case errors.Is(planErr, gooseplus.ErrDirty):
							want.State = gooseplus.TenantDirty
						}
						if got.Err == nil || got.Err.Error() != planErr.Error() {
							t.Errorf("%s: the error is %v, want %v", name, got.Err, planErr)
						}
					}
					if got != want {
						t.Errorf("%s: %+v, want %+v", name, got, want)
					}
				}
			})
		}
	})
}

// TestSurveyNamespaces: several namespaces are planned together, so that only a tenant that is up to date in all of them
// isn't asked by itself.
func TestSurveyNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.create(t, names...)
		options := []gooseplus.Option{from(bounded(nil)), inContexts}
		m := p.migrator(options...)
		if _, err := m.MigrateTenants(ctx, gooseplus.Schemas(names[:2]...)); err != nil {
			t.Fatal(err)
		}
		last := m.Namespaces()[1]
		if err := m.Tenant(gooseplus.Tenant{Schema: names[1]}).Namespace(last).Rollback(ctx, 1); err != nil {
			t.Fatal(err)
		}
		steps, err := m.Tenant(gooseplus.Tenant{Schema: names[2]}).Plan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list, alone := p.statuses(t, names, options...)
		for i, pending := range []int{0, 1, len(steps)} {
			if s := list[i]; s.Pending != pending || s.Unknown != 0 || (s.Version == 0) != (i == 2) || alone[names[i]] != (i > 0) {
				t.Errorf("%+v, want %d pending; asked alone %t", s, pending, alone[names[i]])
			}
		}
	})
}

// TestTenantsStatusIsLeft: leaving the loop ends the work, and an error of the source comes last.
func TestTenantsStatusIsLeft(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.create(t, names...)
		m := p.migrator(from(chain(1)))
		hang, ended := make(chan struct{}), make(chan struct{})
		hangs := func(yield func(gooseplus.Tenant, error) bool) {
			defer close(ended)
			if yield(gooseplus.Tenant{Schema: names[0]}, nil) && yield(gooseplus.Tenant{Schema: names[1]}, nil) {
				<-hang
				yield(gooseplus.Tenant{Schema: names[2]}, nil)
			}
		}
		n := 0
		for s, err := range m.TenantsStatus(ctx, hangs) {
			if err != nil || s.State != gooseplus.TenantPending {
				t.Fatal(s, err)
			}
			if n++; n == 2 {
				break
			}
		}
		close(hang)
		<-ended
		torn := func(yield func(gooseplus.Tenant, error) bool) {
			_ = yield(gooseplus.Tenant{Schema: names[1]}, nil) && yield(gooseplus.Tenant{}, errInjected)
		}
		var seen []string
		for s, err := range m.TenantsStatus(ctx, torn) {
			seen = append(seen, fmt.Sprintf("%s %s %t", s.Name, s.State, errors.Is(err, errInjected)))
		}
		if want := []string{names[1] + " pending false", "  true"}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
		over, cancel := context.WithCancel(ctx)
		cancel()
		seen = nil
		for s, err := range m.TenantsStatus(over, gooseplus.Schemas(names...)) {
			seen = append(seen, fmt.Sprintf("%s %t", s.State, errors.Is(err, context.Canceled)))
		}
		if len(seen) == 0 || seen[len(seen)-1] != " true" || slices.Contains(seen, "pending false") {
			t.Errorf("after the end of the context: %q", seen)
		}
		for s, err := range p.migrator(from(chain(1)), gooseplus.WithTimeout(-1)).TenantsStatus(ctx, torn) {
			wantText(t, err, "WithTimeout")
			if s != (gooseplus.TenantStatus{}) {
				t.Errorf("%+v", s)
			}
		}
	})
}
