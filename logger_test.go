package gooseplus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

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

// TestSlog: a logger of log/slog gets the lines of a run as zap's does.
func TestSlog(t *testing.T) {
	t.Parallel()
	var buffer bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&buffer, &slog.HandlerOptions{Level: slog.LevelDebug}))
	zapped, logs := observedLogger()
	fsys := fstest.MapFS{"sql/base/1_a.sql": migrationFile("CREATE TABLE a (id INTEGER);", "DROP TABLE a;"), "sql/base/2_b.sql": migrationFile("SELECT * FROM nowhere;", "SELECT 1;")}
	m := sqlite(openSQLite(t), fsys, gooseplus.WithSlog(logger), gooseplus.WithSlog(nil), gooseplus.WithLogger(zapped))
	wantIs(t, m.Migrate(t.Context()), gooseplus.ErrRollForward)
	var got []map[string]any
	for decoder := json.NewDecoder(&buffer); decoder.More(); {
		var entry map[string]any
		if err := decoder.Decode(&entry); err != nil {
			t.Fatal(err)
		}
		got = append(got, entry)
	}
	want := logs.All()
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%d lines, zap has %d", len(got), len(want))
	}
	for i, entry := range want {
		if got[i]["msg"] != entry.Message || !strings.EqualFold(fmt.Sprint(got[i]["level"]), entry.Level.String()) {
			t.Errorf("line %d is %v, zap's %s %s", i, got[i], entry.Level, entry.Message)
		}
		for key := range entry.ContextMap() {
			if _, ok := got[i][key]; !ok {
				t.Errorf("line %d, %s: no %s", i, entry.Message, key)
			}
		}
	}
}

// TestLogLines: each event that has a line says what matters of it, at its level; the others have none.
func TestLogLines(t *testing.T) {
	t.Parallel()
	scope := gooseplus.Scope{Tenant: "acme", Namespace: "billing"}
	failed := errors.New("no such table")
	steps := []gooseplus.Step{{Version: 1, Source: "1_a.sql"}, {Version: 2, Source: "2_b.sql"}}
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		event gooseplus.Event
		want  string // "" for no line
	}{
		{gooseplus.RunFinished{From: -1, To: -1, Duration: time.Second, Err: errors.New("no connection")}, "WARN database not migrated duration=1s error=no connection"}, // without a version
		{gooseplus.LockWaiting{Scope: scope, Holder: "web-1", Since: since}, "INFO waiting for the lock tenant=acme namespace=billing holder=web-1 since=2026-01-02 03:04:05 +0000 UTC"},
		{gooseplus.RunStarted{Scope: scope, From: 3, Steps: steps}, "INFO migrating the database tenant=acme namespace=billing version=3 steps=2"},
		{gooseplus.BatchFinished{Steps: steps, Duration: time.Second}, "INFO migrations applied in one transaction migrations=2 first=1 last=2 duration=1s"},
		{gooseplus.BatchFinished{Steps: steps, Duration: time.Second, Err: failed}, "WARN migrations failed in one transaction migrations=2 first=1 last=2 duration=1s error=no such table"},
		{gooseplus.WayBackStarted{Cause: failed}, "WARN run failed, returning to the starting point error=no such table"},
		{gooseplus.VersionForced{Version: 4, Added: []int64{3, 4}, Removed: []int64{5}}, "WARN version forced version=4 added=[3 4] removed=[5]"},
		{gooseplus.TenantsWayBackStarted{Tenants: 7}, "WARN too many tenants failed, undoing the tenants that had succeeded tenants=7"},
		{gooseplus.Warning{Message: "look here"}, "WARN look here"},
		{gooseplus.LockWaitFinished{}, ""},
		{gooseplus.TenantsStarted{}, ""},
		{gooseplus.TenantsProgress{}, ""},
		{gooseplus.TenantsFinished{}, ""},
	} {
		logger, logs := observedLogger()
		gooseplus.LogObserver(logger)(context.Background(), tc.event)
		line := ""
		for _, entry := range logs.All() {
			line += entry.Level.CapitalString() + " " + entry.Message
			for _, f := range entry.Context {
				line += fmt.Sprintf(" %s=%v", f.Key, entry.ContextMap()[f.Key])
			}
		}
		if line != tc.want {
			t.Errorf("%T: %q, want %q", tc.event, line, tc.want)
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
