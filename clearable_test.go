package gooseplus

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus/internal/history"
)

// TestClearable: a step that was cut off is cleared away only if it can be known what it left.
func TestClearable(t *testing.T) {
	db, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{"ATTACH ':memory:' AS information_schema", "CREATE TABLE information_schema.tables (table_type, engine, table_schema)"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	fsys := fstest.MapFS{
		"sql/base/1_a.sql": file("-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n"),
		"sql/base/2_b.sql": file("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE b (id INTEGER);\n-- +goose Down\nDROP TABLE b;\n"),
		"sql/base/3_c.sql": file("-- +goose Up\nINSERT INTO c VALUES (1);\n-- +goose Down\nDELETE FROM c;\n"),
	}
	untouched := func(version int64, down bool) history.Step {
		return history.Step{Mark: history.Mark{Version: version}, Down: down, Untouched: true}
	}
	myISAM := func(*part) {
		if _, err := db.Exec("INSERT INTO information_schema.tables VALUES ('BASE TABLE', 'MyISAM', 'shop')"); err != nil {
			t.Fatal(err)
		}
	}
	at := func(version int64) history.Step {
		return history.Step{Mark: history.Mark{Version: version}, Run: "dead"}
	}
	for situation, s := range map[string]struct {
		step   history.Step
		change func(*part)
		want   bool
	}{
		"one DDL statement":           {at(1), nil, true},
		"of a run that hadn't looked": {history.Step{Mark: history.Mark{Version: 1}, Run: "other"}, nil, false},
		"it failed":                   {history.Step{Mark: history.Mark{Version: 1}, Failed: true}, nil, false},
		"without the lock":            {at(1), func(p *part) { p.run.holding = nil }, false},
		"DDL has transactions":        {at(1), func(p *part) { p.target.dialect.TransactionalDDL = true }, false},
		"nobody knows it":             {at(9), nil, false},
		"without a transaction":       {at(2), nil, false},
		"no DDL":                      {at(3), nil, false},
		"untouched":                   {untouched(3, false), nil, true},
		"untouched, outside":          {untouched(2, false), nil, false},
		"untouched, MyISAM":           {untouched(3, false), myISAM, false},
		"down":                        {history.Step{Mark: history.Mark{Version: 1}, Down: true}, nil, false},
		"down, untouched":             {untouched(1, true), nil, true},
		"down, MyISAM":                {untouched(1, true), myISAM, false},
		"down, no transaction":        {untouched(2, true), nil, false},
	} {
		o := defaultOptions()
		o.dialect, o.fsys = "mysql", fsys
		known, err := o.resolve()
		if err != nil {
			t.Fatal(err)
		}
		p := (&Migrator{options: o}).newRun(known, site{own: db, pool: db}, new(stream)).parts[0]
		p.run.holding, p.run.looking.others.runs = new(holding), []string{"dead"}
		if s.change != nil {
			s.change(p)
		}
		if got := p.admission.clearable(context.Background(), s.step); got != s.want {
			t.Errorf("%s: clearable = %t", situation, got)
		}
		p.run.disconnect(context.Background())
		if _, err := db.Exec("DELETE FROM information_schema.tables"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFinished: that its row is written, or gone, shows the end of a step, unless it is known to have failed: its Down may
// have failed after its row went.
func TestFinished(t *testing.T) {
	step := history.Step{Mark: history.Mark{Version: 2}}
	down, failed := step, step
	down.Down, failed.Failed = true, true
	for situation, s := range map[string]struct {
		step    history.Step
		applied []int64
		want    bool
	}{
		"up, recorded":     {step, []int64{1, 2}, true},
		"up, not recorded": {step, []int64{1}, false},
		"down, recorded":   {down, []int64{1, 2}, false},
		"down, gone":       {down, []int64{1}, true},
		"failed, recorded": {failed, []int64{1, 2}, false},
	} {
		if got := finished(s.step, s.applied); got != s.want {
			t.Errorf("%s: finished = %t", situation, got)
		}
	}
}
