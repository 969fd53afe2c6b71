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
