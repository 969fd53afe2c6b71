package drive

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/history"
)

// lockTimeout is PostgreSQL's error, by its shape.
type lockTimeout struct{}

func (lockTimeout) Error() string    { return "canceling statement due to lock timeout" }
func (lockTimeout) SQLState() string { return "55P03" }

// TestAgain asserts when a step is tried again: each situation but the first has one reason against it.
func TestAgain(t *testing.T) {
	t.Parallel()
	partial := func(err error) error { return &goose.PartialError{Err: err} }
	for situation, s := range map[string]struct {
		change func(*Driver, *Step, *int)
		err    error
		want   bool
	}{
		"somebody was in the way":                 {func(*Driver, *Step, *int) {}, partial(lockTimeout{}), true},
		"the last attempt but one":                {func(d *Driver, _ *Step, n *int) { d.cfg.Retries, *n = 2, 2 }, partial(lockTimeout{}), true},
		"no attempt is left":                      {func(d *Driver, _ *Step, n *int) { d.cfg.Retries, *n = 2, 3 }, partial(lockTimeout{}), false},
		"no attempts":                             {func(d *Driver, _ *Step, _ *int) { d.cfg.Retries = 0 }, partial(lockTimeout{}), false},
		"another error":                           {func(*Driver, *Step, *int) {}, partial(errors.New("no such table")), false},
		"a panic":                                 {func(*Driver, *Step, *int) {}, partial(&PanicError{Value: lockTimeout{}}), false},
		"something is left":                       {func(d *Driver, s *Step, _ *int) { s.Transactional, d.trace.statements = false, 2 }, partial(lockTimeout{}), false},
		"the version is recorded":                 {func(d *Driver, _ *Step, _ *int) { record(t, d, true) }, partial(lockTimeout{}), false},
		"it may be recorded":                      {func(d *Driver, _ *Step, _ *int) { record(t, d, false) }, lockTimeout{}, false},
		"it is not recorded, and was rolled back": {func(d *Driver, _ *Step, _ *int) { record(t, d, false) }, partial(lockTimeout{}), true},
	} {
		t.Run(situation, func(t *testing.T) {
			known, table := versionTable(t, "postgres")
			r, err := NewReader(Source{Files: fstest.MapFS{"1_a.sql": {}}, Table: table})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			d := New(r, Config{Dialect: known, Table: table, Retries: -1})
			d.trace.statements = 1
			step, attempt := Step{Version: 1, Section: Section{Transactional: true, InTransaction: true}}, 1
			s.change(d, &step, &attempt)
			if got := d.again(context.Background(), step, attempt, s.err); got != s.want {
				t.Errorf("again = %t", got)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if d.again(ctx, step, attempt, s.err) {
				t.Error("it is tried again after the end of its context")
			}
		})
	}
}

func versionTable(t *testing.T, name string) (dialect.Dialect, *history.Versions) {
	t.Helper()
	known, err := dialect.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	table, err := history.NewVersions(known, "goose_db_version")
	if err != nil {
		t.Fatal(err)
	}
	return known, table
}

// record has the recorder meet a version table, or none.
func record(t *testing.T, d *Driver, there bool) {
	t.Helper()
	_, table := versionTable(t, "sqlite")
	db, err := sql.Open("sqlite", t.TempDir()+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if there {
		if err := table.Create(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
	d.recorder = table.Recorder()
	d.recorder.Step(false)
	if err := d.recorder.Insert(ctx, db, goosedb.InsertRequest{Version: 1}); (err == nil) != there {
		t.Fatal(err)
	}
}
