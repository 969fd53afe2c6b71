package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/fleet"
)

// writeTenants writes where each tenant of a rollout is, however many there are.
func writeTenants(ctx context.Context, w io.Writer, f *fleet.Fleet, rollout string) error {
	for tenant, err := range f.Tenants(ctx, rollout) {
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s on %s: %s, at %d %s\n", tenant.Tenant, tenant.Server, tenant.State, tenant.Version, tenant.Error)
	}
	return nil
}

// The tenants of a rollout, for a page or a report.
func ExampleFleet_Tenants() {
	var f *fleet.Fleet // from New
	if err := writeTenants(context.Background(), os.Stdout, f, "2026-12-orders"); err != nil {
		fmt.Println(err)
	}
}

// TestExampleTenants has the example's function run beside a worker, and for a rollout that isn't there.
func TestExampleTenants(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, 2, first)
	s.start(fleet.Plan{Name: "orders"})
	var before, after bytes.Buffer
	if err := writeTenants(t.Context(), &before, s.Fleet, "orders"); err != nil {
		t.Fatal(err)
	}
	if want := "a_0 on a: pending, at -1 \na_1 on a: pending, at -1 \nb_0 on b: pending, at -1 \nb_1 on b: pending, at -1 \n"; before.String() != want {
		t.Errorf("before:\n%swant\n%s", &before, want)
	}
	s.workers(1, 2)
	s.wait("orders", 2*time.Minute, fleet.Done)
	if err := writeTenants(t.Context(), &after, s.Fleet, "orders"); err != nil {
		t.Fatal(err)
	}
	if want := "a_0 on a: done, at 2 \na_1 on a: done, at 2 \nb_0 on b: done, at 2 \nb_1 on b: done, at 2 \n"; after.String() != want {
		t.Errorf("after:\n%swant\n%s", &after, want)
	}
	if err := writeTenants(t.Context(), io.Discard, s.Fleet, "nothing"); !errors.Is(err, fleet.ErrNoRollout) {
		t.Errorf("a rollout that isn't there: %v", err)
	}
}
