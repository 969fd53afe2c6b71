package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestTenantsOnlyWarn: tenants with nothing pending, of which a run would only warn, get the warning without a run.
func TestTenantsOnlyWarn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(4)
		p.create(t, names...)
		behind := names[3]
		call := func(n int, edit bool, policy gooseplus.Policy, schemas ...string) (r *gooseplus.TenantsReport, warnings, runs []string) {
			fsys := chain(n)
			if edit {
				f := fsys["sql/base/002_t.sql"]
				f.Data = []byte(strings.Replace(string(f.Data), "id INTEGER", "id INTEGER, late INTEGER", 1))
			}
			r, _ = p.migrator(from(fsys), gooseplus.WithGlobalLock(true), gooseplus.WithChecksums(policy), gooseplus.WithUnknownVersions(policy),
				gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					switch e := e.(type) {
					case gooseplus.Warning:
						warnings = append(warnings, e.Tenant+": "+e.Message)
					case gooseplus.RunFinished:
						runs = append(runs, e.Tenant)
					}
				})).MigrateTenants(ctx, gooseplus.Schemas(schemas...))
			slices.Sort(warnings)
			return r, warnings, runs
		}
		want := func(what string, got, want []string) {
			t.Helper()
			if !slices.EqualFunc(got, want, strings.HasPrefix) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		call(2, false, gooseplus.Warn, behind)
		call(3, false, gooseplus.Warn, names[:3]...)
		edited := func(name string) string {
			return fmt.Sprintf("%s: %s: 2 (sql/base/002_t.sql)", name, gooseplus.ErrEdited)
		}
		r, warnings, runs := call(3, true, gooseplus.Warn, names...)
		wantReport(t, r, 4, 1, 3, 0, 0)
		want("runs", runs, []string{behind})
		want("warnings", warnings, []string{edited(names[0]), edited(names[1]), edited(names[2]), edited(behind)})

		r, warnings, runs = call(2, false, gooseplus.Warn, names...)
		wantReport(t, r, 4, 0, 4, 0, 0)
		want("runs", runs, nil)
		unknown := fmt.Sprintf(": %s: [3]", gooseplus.ErrUnknownVersion)
		want("warnings", warnings, []string{names[0] + unknown, names[1] + unknown, names[2] + unknown, behind + unknown})

		r, warnings, _ = call(3, true, gooseplus.Ignore, names...)
		wantReport(t, r, 4, 0, 4, 0, 0)
		want("warnings", warnings, nil)
		r, _, _ = call(3, true, gooseplus.Refuse, names...)
		wantReport(t, r, 4, 0, 0, 4, 0)
	})
}
