package cli

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

// hostile is what a tenant, a server or a file can be called: it would clear a terminal.
const hostile = "acme\x1b[2J\x07"

// TestNothingHostileOnATerminal prints texts that come from elsewhere in each place that shows some.
func TestNothingHostileOnATerminal(t *testing.T) {
	failed := &gooseplus.MigrationError{Tenant: hostile, Source: hostile, Version: 1, Direction: "up", Statement: "SELECT '" + hostile + "'\n" + hostile, Err: errors.New(hostile)}
	scope := gooseplus.Scope{Tenant: hostile, Namespace: hostile}
	step := gooseplus.Step{Version: 1, Source: hostile, Direction: "up"}
	for name, print := range map[string]func(*call){
		"a table":            func(c *call) { c.out.table([][]cell{cells(hostile), cells(hostile, "x")}) },
		"an error":           func(c *call) { c.out.fail(failed) },
		"an error, not back": func(c *call) { c.out.fail(&gooseplus.RollbackError{Tenant: hostile, Cause: failed, Err: failed}) },
		"the end of a tenant": func(c *call) {
			(&fleet{call: c, flags: new(tenantsFlags)}).tenantLine(gooseplus.RunFinished{Scope: scope, Applied: 1})
			(&fleet{call: c, flags: new(tenantsFlags)}).tenantLine(gooseplus.RunFinished{Scope: scope, Undone: 1})
			(&fleet{call: c, flags: new(tenantsFlags)}).tenantLine(gooseplus.RunFinished{Scope: scope, Err: failed})
		},
		"events": func(c *call) {
			c.activity.observe(c.ctx, gooseplus.LockWaiting{Holder: hostile, Since: time.Now()})
			c.activity.observe(c.ctx, gooseplus.MigrationStarted{Scope: scope, Step: step})
			c.activity.observe(c.ctx, gooseplus.MigrationFinished{Step: step})
			c.activity.observe(c.ctx, gooseplus.Warning{Scope: scope, Message: hostile})
			c.out.note("%s", c.activity.describe())
		},
	} {
		var printed strings.Builder
		cmd := &cobra.Command{Use: "gooseplus"}
		cmd.SetOut(&printed)
		cmd.SetErr(&printed)
		out := newPrinter(cmd, sharedFlags{})
		print(&call{cmd: cmd, out: out, activity: newActivity(out)})
		if text := printed.String(); strings.ContainsAny(text, "\x1b\x07") || !strings.Contains(text, `acme\x1b`) {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// TestNothingSecretIsPrinted: a program's own error can have a DSN in it, and a statement a password.
func TestNothingSecretIsPrinted(t *testing.T) {
	err := &gooseplus.MigrationError{
		Tenant: "postgres://app:S3cr@tPart@h/x", Version: 1, Direction: "up",
		Statement: "CREATE ROLE x\n  PASSWORD 'S3cr tPart'", Err: errors.New("dial postgres://app:S3cr@tPart@h/x"),
	}
	var printed strings.Builder
	cmd := &cobra.Command{Use: "gooseplus"}
	cmd.SetOut(&printed)
	cmd.SetErr(&printed)
	out := newPrinter(cmd, sharedFlags{})
	out.fail(err)
	out.document("up", map[string]any{}, err)
	text := printed.String()
	for _, piece := range []string{"S3cr", "tPart"} {
		if strings.Contains(text, piece) {
			t.Errorf("%s is in\n%s", piece, text)
		}
	}
	if strings.Count(text, "PASSWORD 'xxxxx'") != 2 {
		t.Errorf("the statement isn't shown:\n%s", text)
	}
}

// writer is of a type that can't be compared.
type writer func() error

func (w writer) Write(b []byte) (int, error) { return len(b), w() }

// TestUnwritten: a result that could not be written is an error, unless nobody wants to read it.
func TestUnwritten(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fails error
		lost  bool
	}{{nil, false}, {syscall.ENOSPC, true}, {syscall.EPIPE, false}, {io.ErrClosedPipe, false}} {
		p := &printer{out: writer(func() error { return tc.fails }), err: writer(func() error { return syscall.ENOSPC })}
		p.note("a note")
		p.line("a result")
		p.line("another one")
		if err := p.unwritten(); (err != nil) != tc.lost || tc.lost && !errors.Is(err, tc.fails) {
			t.Errorf("%v: %v", tc.fails, err)
		}
	}
}
