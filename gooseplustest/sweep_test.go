package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
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

// Somebody without the lock, such as a process whose session the server has ended, has made the template meanwhile: it is as good.
func TestPostgresTemplateThatAnotherProcessMadeMeanwhile(t *testing.T) {
	dsn, name := Server(t), ""
	faster := goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
		mustExec(t, admin(t), "CREATE DATABASE "+name, "ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
		return nil
	}}, nil)
	opts := []gooseplus.Option{files(unique(folder("sql/base/1_slower.sql"))), gooseplus.WithGoMigrations(faster)}
	set, err := newSet("postgres", opts)
	if err != nil {
		t.Fatal(err)
	}
	s := pgServerAt(dsn)
	err = s.admin(t.Context(), func(ctx context.Context, c *pgConn) error {
		i, err := s.identity(ctx, c)
		name = i.template(set)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := tables(t, Postgres(t, dsn, opts...)); len(got) > 0 {
		t.Errorf("tables %v, want those of the other process's template, which has none", got)
	}
	if left := slices.DeleteFunc(ours(t, kindBuilding), func(name string) bool { return owner(name) != process }); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
	mustExec(t, admin(t), "ALTER DATABASE "+name+" IS_TEMPLATE false", "DROP DATABASE "+name)
}

// A living process that has lost its lock may be connected to its database: the sweep neither ends that connection nor waits for it.
func TestPostgresSweepDoesNotWaitForAUser(t *testing.T) {
	s, db := pgServerAt(Server(t)), admin(t)
	clone := strings.Replace(ownName(projectName(), kindClone), process, "deaddeaddead", 1)
	mustExec(t, db, "CREATE DATABASE "+clone)
	user, err := s.open(clone, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if err := user.Ping(); err != nil {
		t.Fatal(err)
	}
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		s.sweep(context.Background(), projectName())
	}()
	for waiting := true; waiting; {
		select {
		case <-swept:
			waiting = false
		default: // DROP DATABASE looks for users of the database for five seconds
			if n := texts(t, db, "SELECT query FROM pg_stat_activity WHERE state = 'active' AND query ILIKE '%DROP DATABASE%' || $1 || '%' AND pid <> pg_backend_pid()", clone); len(n) > 0 {
				t.Fatalf("the sweep executes %q", n)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	mustExec(t, db, "DROP DATABASE "+clone+" WITH (FORCE)")
}
