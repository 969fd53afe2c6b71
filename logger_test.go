package gooseplus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestLogHasNoPassword: an error that comes from elsewhere, such as a tenant's Open, reaches the log without its password.
func TestLogHasNoPassword(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("open: %w", errors.New("dial postgres://app:S3cr@tPart@h/x"))
	for _, event := range []gooseplus.Event{
		gooseplus.RunFinished{Err: err}, gooseplus.WayBackStarted{Cause: err}, gooseplus.MigrationFinished{Err: err},
	} {
		logger, logs := observedLogger()
		gooseplus.LogObserver(logger)(context.Background(), event)
		entries := logs.All()
		if len(entries) != 1 {
			t.Fatalf("%T: %d entries", event, len(entries))
		}
		if text := fmt.Sprint(entries[0].ContextMap()); !strings.Contains(text, "open: dial postgres://app:xxxxx@h/x") || strings.Contains(text, "tPart") {
			t.Errorf("%T: %s", event, text)
		}
	}
}

// TestTenantNameIsNoDSN: where the query for the tenants gives the DSN first, the name of a tenant is one.
func TestTenantNameIsNoDSN(t *testing.T) {
	t.Parallel()
	m := gooseplus.New(nil, gooseplus.WithDialect("postgres"))
	for name, want := range map[string]string{
		"postgres://app:S3cr@tPart@h/x": "postgres://app:xxxxx@h/x", "host=h password=S3cr tPart": "host=h password=xxxxx",
		"app:S3cr@tPart@tcp(h)/x": "app:xxxxx@tcp(h)/x", "acme": "acme", "a=b:c@d": "a=b:c@d",
	} {
		for _, tenant := range []gooseplus.Tenant{{Name: name, Schema: "x"}, {Schema: name}} {
			if got := m.Tenant(tenant).TenantName(); got != want {
				t.Errorf("%+v is called %s, want %s", tenant, got, want)
			}
		}
	}
}
