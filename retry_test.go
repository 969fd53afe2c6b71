package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite"
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
		change func(*run, *plannedStep, *int)
		err    error
		want   bool
	}{
		"somebody was in the way":                 {func(*run, *plannedStep, *int) {}, partial(lockTimeout{}), true},
		"the last attempt but one":                {func(r *run, _ *plannedStep, n *int) { r.options.statementTimeouts.Retries, *n = 2, 2 }, partial(lockTimeout{}), true},
		"no attempt is left":                      {func(r *run, _ *plannedStep, n *int) { r.options.statementTimeouts.Retries, *n = 2, 3 }, partial(lockTimeout{}), false},
		"no attempts":                             {func(r *run, _ *plannedStep, _ *int) { r.options.statementTimeouts.Retries = -1 }, partial(lockTimeout{}), false},
		"no timeouts":                             {func(r *run, _ *plannedStep, _ *int) { r.options.statementTimeouts = nil }, partial(lockTimeout{}), false},
		"one transaction":                         {func(r *run, _ *plannedStep, _ *int) { r.options.rollback = RollbackTransaction }, partial(lockTimeout{}), false},
		"another error":                           {func(*run, *plannedStep, *int) {}, partial(errors.New("no such table")), false},
		"a panic":                                 {func(*run, *plannedStep, *int) {}, partial(&panicError{value: lockTimeout{}}), false},
		"something is left":                       {func(r *run, s *plannedStep, _ *int) { s.Transactional, r.trace.statements = false, 2 }, partial(lockTimeout{}), false},
		"the version is recorded":                 {func(r *run, _ *plannedStep, _ *int) { record(t, r, true) }, partial(lockTimeout{}), false},
		"it may be recorded":                      {func(r *run, _ *plannedStep, _ *int) { record(t, r, false) }, lockTimeout{}, false},
		"it is not recorded, and was rolled back": {func(r *run, _ *plannedStep, _ *int) { record(t, r, false) }, partial(lockTimeout{}), true},
	} {
		t.Run(situation, func(t *testing.T) {
			o := defaultOptions()
			o.fsys, o.statementTimeouts = fstest.MapFS{"sql/base/1_a.sql": {}}, new(StatementTimeouts)
			known, err := o.resolve()
			if err != nil {
				t.Fatal(err)
			}
			r := (&Migrator{options: o}).newRun(known.whole, site{}, new(stream))
			if err := r.newProvider(); err != nil {
				t.Fatal(err)
			}
			defer r.provider.Close()
			r.trace.statements = 1
			step, attempt := plannedStep{Step: Step{Version: 1, Direction: directionUp, Transactional: true}, inTransaction: true}, 1
			s.change(r, &step, &attempt)
			if got := r.again(context.Background(), step, attempt, s.err); got != s.want {
				t.Errorf("again = %t", got)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if r.again(ctx, step, attempt, s.err) {
				t.Error("it is tried again after the end of its context")
			}
		})
	}
}

// record has the recorder meet a version table, or none.
func record(t *testing.T, r *run, there bool) {
	t.Helper()
	o := defaultOptions()
	o.dialect, o.fsys = "sqlite", fstest.MapFS{"sql/base/1_a.sql": {}}
	known, err := o.resolve()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", t.TempDir()+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if there {
		if err := known.whole.table.Create(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
	r.recorder = known.whole.table.Recorder()
	r.recorder.Step(false)
	if err := r.recorder.Insert(ctx, db, goosedb.InsertRequest{Version: 1}); (err == nil) != there {
		t.Fatal(err)
	}
}
