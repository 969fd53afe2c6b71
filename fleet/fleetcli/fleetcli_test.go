package fleetcli_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/fleet/fleetcli"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const plan = `{"name": "one", "waves": [{"canaries": ["a"]}, {"share": 1, "soak": "10ms", "approve": true}], "budget": {"failures": 5}}`

// TestCommands plays a rollout by commands alone.
func TestCommands(t *testing.T) {
	t.Parallel()
	control, server := dbtest.Postgres(t).NewDatabase(t), dbtest.Postgres(t).NewDatabase(t)
	if _, err := server.Open(t, "pgx").Exec(`CREATE SCHEMA a; CREATE SCHEMA b; CREATE SCHEMA c`); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"sql/1_t.sql": {Data: []byte("-- +goose Up\nCREATE TABLE t ();\n-- +goose Down\nDROP TABLE t;\n")}}
	config := fleetcli.Config{Open: func(context.Context) (*fleet.Fleet, func(), error) {
		db, err := sql.Open("pgx", control.DSN)
		if err != nil {
			return nil, nil, err
		}
		f, err := fleet.New(db, gooseplus.New(nil, gooseplus.WithFS(files), gooseplus.SetEnvironments(nil)),
			[]fleet.Server{{Name: "s", Lanes: 2, Open: func(context.Context, string) (*sql.DB, error) { return sql.Open("pgx", server.DSN) }}})
		return f, func() { db.Close() }, err
	}}
	run := func(stdin string, args ...string) (string, error) {
		cmd := fleetcli.Command(config)
		var out bytes.Buffer
		cmd.SetArgs(args)
		cmd.SetIn(strings.NewReader(stdin))
		cmd.SetOut(&out)
		cmd.SetErr(&bytes.Buffer{})
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	want := func(stdin, text string, args ...string) {
		t.Helper()
		if out, err := run(stdin, args...); err != nil || !strings.Contains(out, text) {
			t.Fatalf("%v: %v\n%s\nwant %q", args, err, out, text)
		}
	}
	refused := func(text string, args ...string) {
		t.Helper()
		if out, err := run("", args...); err == nil || !strings.Contains(err.Error(), text) {
			t.Fatalf("%v: %v\n%s\nwant %q", args, err, out, text)
		}
	}
	want("", "", "migrate-control")
	refused("no rollout yet", "status")
	want("a,s,a,\nb,s,b,\nc,s,c,\n", "3 tenants: 3 added", "sync", "--file", "-")
	want("", "", "pin", "c", "--reason", "audit")
	want(plan, "no worker with these migrations", "start", "--plan", "-")
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	go func() {
		cmd := fleetcli.Command(config)
		cmd.SetArgs([]string{"work"})
		worked <- cmd.ExecuteContext(ctx)
	}()
	want("", "rollout one: paused (wave 2 of 2 waits for approval)", "status", "--follow")
	want("", "rollout one: running", "resume")
	want("", "2 done, 1 held", "status", "--follow")
	want("", `"done": 2`, "status", "one", "--json")
	html, err := run("", "status", "one", "--html")
	rows := regexp.MustCompile(`<tr><th scope="row">(\w)</th><td class="(\w+)">(\w+)</td><td class="number version">\w+</td><td class="server">s</td></tr>`)
	if got := fmt.Sprint(rows.FindAllStringSubmatch(html, -1)); err != nil || strings.Count(got, "good done") != 2 || strings.Count(got, "c warn held") != 1 ||
		!strings.Contains(html, "<h1>Rollout one: done") {
		t.Errorf("%v: %s\n%s", err, got, html)
	}
	want("", "0 tenants are tried again", "reset", "one")
	want("", "", "failed", "--json")
	want("", "", "unpin", "c")
	refused("add --yes", "undo")
	want("", "rollout one: undone", "undo", "--yes", "--follow")
	want("", "", "freeze", "s", "--reason", "maintenance")
	want("", "3 held", "start", "two")
	want("", "rollout two: paused", "pause")
	want("", "rollout two: cancelled", "cancel")
	want("", "", "thaw", "s")
	refused("can't become paused", "pause", "two")
	stop()
	select {
	case err := <-worked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the worker did not end")
	}
}
