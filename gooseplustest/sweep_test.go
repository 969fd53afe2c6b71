package gooseplustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
)

func TestAnErrorIsToldWithoutItsPassword(t *testing.T) {
	r := &recorder{TB: t, name: "TestFails"}
	r.do(func() { fail(r, errors.New("connect to postgres://u:tiger@h/d: no route")) })
	if text := r.text(); strings.Contains(text, "tiger") || !strings.Contains(text, "no route") {
		t.Errorf("it says %q", text)
	}
}

// Somebody is connected to what a dead process has left: to the database of a test, perhaps a living process that has lost its
// lock; to a half-made template, only what is left of the migrations.
func TestPostgresSweepsByForceOnlyWhatWasBeingMade(t *testing.T) {
	s, db := pgServerAt(Server(t)), admin(t)
	name := func(kind string) string {
		return strings.Replace(ownName(projectName(), kind), process, "deaddeaddead", 1)
	}
	clone, building := name(kindClone), name(kindBuilding)
	mustExec(t, db, "CREATE DATABASE "+clone, "CREATE DATABASE "+building)
	for _, database := range []string{clone, building} {
		user, err := s.open(database, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer user.Close()
		if err := user.Ping(); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep(t.Context(), projectName())
	if left := append(ours(t, kindClone), ours(t, kindBuilding)...); !slices.Contains(left, clone) || slices.Contains(left, building) {
		t.Errorf("left is %v: want %s, and not %s", left, clone, building)
	}
	mustExec(t, db, "DROP DATABASE "+clone+" WITH (FORCE)")
}

// One process sweeps at a time, and none drops a template that another one has begun to use since the look.
func TestPostgresSweepsBesideAnotherProcess(t *testing.T) {
	s, db := pgServerAt(Server(t)), admin(t)
	dead := strings.Replace(ownName(projectName(), kindClone), process, "deaddeaddead", 1)
	template := templateName(projectName(), "00000002", "1")
	mustExec(t, db, "CREATE DATABASE "+dead, "CREATE DATABASE "+template)
	other, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, statement := range []string{"SELECT pg_advisory_lock(%d)", "SELECT pg_advisory_lock_shared(%d)"} {
		key := lockKey("sweep", "")
		if strings.Contains(statement, "shared") {
			key = lockKey("template", template)
		}
		if _, err := other.ExecContext(t.Context(), fmt.Sprintf(statement, key)); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep(t.Context(), projectName())
	if !slices.Contains(ours(t, kindClone), dead) {
		t.Error("it swept while another process does")
	}
	err = s.admin(t.Context(), func(ctx context.Context, c *pgConn) error { return c.dropTemplate(ctx, template, nil) })
	if err != nil || !slices.Contains(ours(t, kindTemplate), template) {
		t.Errorf("the template is gone: %v", err)
	}
	mustExec(t, db, "DROP DATABASE "+dead, "DROP DATABASE "+template)
}

// Templates of the module that nobody has used for long go; one that is in use, or of another module, stays.
func TestPostgresSweepsTemplatesThatNobodyUses(t *testing.T) {
	s, db := pgServerAt(Server(t)), admin(t)
	project := projectName()
	long, lately := time.Now().Add(-forget-time.Hour), time.Now().Add(-forget+time.Hour)
	old, fresh, foreign, guarded := templateName(project, "00000001", "1"), templateName(project, "00000001", "2"),
		templateName("ffffffff", "00000001", "3"), templateName(project, "00000001", "4")
	for name, at := range map[string]time.Time{old: long, fresh: lately, foreign: long, guarded: long} {
		mustExec(t, db, "CREATE DATABASE "+name, "COMMENT ON DATABASE "+name+" IS "+pq.QuoteLiteral(noteOf(at, nil)),
			"ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("SELECT pg_advisory_lock_shared(%d)", lockKey("template", guarded))); err != nil {
		t.Fatal(err)
	}
	s.sweep(t.Context(), project)
	left := slices.DeleteFunc(ours(t, kindTemplate), func(name string) bool { return !strings.Contains(name, "_00000001_") })
	want := []string{fresh, foreign, guarded}
	slices.Sort(want)
	if slices.Sort(left); !slices.Equal(left, want) {
		t.Errorf("left is %v, want %v", left, want)
	}
	for _, name := range left {
		mustExec(t, db, "ALTER DATABASE "+name+" IS_TEMPLATE false", "DROP DATABASE "+name)
	}
}
