package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestPulse: a long migration shows that it is alive, on a terminal at its foot and elsewhere every half minute.
func TestPulse(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal bool
		quiet    bool
		want     []string
		unwanted string
	}{
		{"elsewhere", false, false, []string{"still running: applying 2 (b.sql), for 30.9s\n", "still running: applying 2 (b.sql), for 1m1s\n"}, "for 31s"},
		{"on a terminal", true, false, []string{"applying 2 (b.sql), for 2s\r\x1b[K", "applying 2 (b.sql), for 1m3s\r\x1b[K"}, "still"},
		{"--quiet", false, true, nil, "applying"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Setenv("TERM", "xterm")
				var written strings.Builder
				out := &printer{err: &written, out: &written, errTerminal: tc.terminal, quiet: tc.quiet}
				a := newActivity(out)
				stop := a.watch()
				time.Sleep(100 * time.Millisecond) // after the beats
				a.observe(context.Background(), gooseplus.MigrationStarted{Step: gooseplus.Step{Version: 2, Source: "b.sql", Direction: "up"}})
				time.Sleep(65 * time.Second)
				out.mu.Lock()
				text := written.String()
				out.mu.Unlock()
				for _, want := range tc.want {
					if !strings.Contains(text, want) {
						t.Errorf("%q isn't in %q", want, text)
					}
				}
				if strings.Contains(text, tc.unwanted) {
					t.Errorf("%q is in %q", tc.unwanted, text)
				}
				out.line("the result")
				stop()
				if text := written.String(); !strings.HasSuffix(text, "the result\n") {
					t.Errorf("the line isn't taken away: %q", text)
				}
			})
		})
	}
}

// TestInterruptedTenants: tenants that had not begun are skipped, whatever the report says.
func TestInterruptedTenants(t *testing.T) {
	a := newActivity(&printer{err: new(strings.Builder), out: new(strings.Builder)})
	in := func(name string) gooseplus.Scope { return gooseplus.Scope{Tenant: name} }
	for _, e := range []gooseplus.Event{
		gooseplus.RunStarted{Scope: in("begun")}, gooseplus.RunFinished{Scope: in("begun"), Err: errInterrupted},
		gooseplus.RunFinished{Scope: in("not begun"), Err: errInterrupted},
		gooseplus.RunFinished{Scope: in("idle")},
		gooseplus.RunStarted{Scope: in("undone")}, gooseplus.RunFinished{Scope: in("undone"), Undone: 1},
	} {
		a.observe(context.Background(), e)
	}
	r := &gooseplus.TenantsReport{Total: 5, Migrated: 2, Failed: 3, Tenants: []gooseplus.TenantResult{
		{Name: "begun", State: gooseplus.TenantFailed, Err: errInterrupted},
		{Name: "not begun", State: gooseplus.TenantFailed, Err: errInterrupted},
		{Name: "idle", State: gooseplus.TenantMigrated},
		{Name: "undone", State: gooseplus.TenantMigrated},
		{Name: "broken", State: gooseplus.TenantFailed, Err: errors.New("broken")},
	}}
	a.correct(r)
	var states []string
	for _, t := range r.Tenants {
		states = append(states, t.Name+" "+string(t.State))
	}
	if got := strings.Join(states, ", "); got != "begun failed, not begun skipped, idle up to date, undone migrated, broken failed" ||
		r.Migrated != 1 || r.UpToDate != 1 || r.Failed != 2 || r.Skipped != 1 {
		t.Errorf("%s; %+v", got, r)
	}
}
