package drive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"

	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/sqltext"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// TestTake takes steps through goose on SQLite, and asserts what the result says and what the database has.
func TestTake(t *testing.T) {
	t.Parallel()
	whole := Section{GooseTransaction: true, InTransaction: true, Transactional: true}
	function := whole
	function.Function = true
	partial := errors.New("on purpose")
	for situation, tc := range map[string]struct {
		step    Step
		before  string // executed before the driver reads the version table
		after   string // executed after that
		want    Result // Err is compared by wantErr
		wantErr error
		wantSQL string // is in the text of the error
		applied []int64
		tables  string
	}{
		"up":                         {step: Step{Version: 1, Section: whole}, want: Result{Key: 2}, applied: []int64{1}, tables: "a"},
		"down":                       {step: Step{Version: 1, Section: whole, Down: true}, before: "CREATE TABLE a (id INT); INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, TRUE)"},
		"down, not recorded":         {step: Step{Version: 1, Section: whole, Down: true, Unrecorded: true}, before: "CREATE TABLE a (id INT)"},
		"recorded by another runner": {step: Step{Version: 1, Section: whole}, after: "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, TRUE)", wantErr: ErrOtherRunner, want: Result{LeftNothing: true}, applied: []int64{1}},
		"undone by another runner":   {step: Step{Version: 1, Section: whole, Down: true}, before: "CREATE TABLE a (id INT)", wantErr: ErrOtherRunner, want: Result{LeftNothing: true}, tables: "a"},
		"a statement fails":          {step: Step{Version: 2, Section: whole}, wantSQL: "nowhere", want: Result{Statement: "INSERT INTO nowhere VALUES (1);", Number: 2, LeftNothing: true}},
		"the first statement outside a transaction fails": {step: Step{Version: 4}, wantSQL: "syntax", want: Result{Statement: "CREAT TABLE d (id INT);", Number: 1, LeftNothing: true}},
		"a later one fails":                {step: Step{Version: 3}, wantSQL: "nowhere", want: Result{Statement: "INSERT INTO nowhere VALUES (1);", Number: 2}, tables: "c"},
		"a Go function fails":              {step: Step{Version: 5, Section: function}, wantErr: partial, want: Result{LeftNothing: true}},
		"a Go function panics":             {step: Step{Version: 6, Section: function}, wantErr: partial, want: Result{LeftNothing: true}},
		"a Go function ends its goroutine": {step: Step{Version: 7, Section: function}, wantErr: errGoexit, want: Result{LeftNothing: true}},
	} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			db, err := sql.Open("sqlite", t.TempDir()+"/x.db")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			d := newDriver(t, db, partial)
			if _, err := db.Exec(tc.before); err != nil {
				t.Fatal(err)
			}
			rows, err := d.cfg.Table.Owned(ctx, db, false)
			if err != nil {
				t.Fatal(err)
			}
			d.Found(rows)
			if _, err := db.Exec(tc.after); err != nil {
				t.Fatal(err)
			}
			got := d.Take(ctx, tc.step)
			err, got.Err = got.Err, nil
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if fails := tc.wantErr != nil || tc.wantSQL != ""; (err != nil) != fails || tc.wantErr != nil && !errors.Is(err, tc.wantErr) ||
				tc.wantSQL != "" && !strings.Contains(err.Error(), tc.wantSQL) {
				t.Errorf("error: %v", err)
			}
			if panicked := new(PanicError); strings.Contains(situation, "panics") && (!errors.As(err, &panicked) || len(panicked.Stack) == 0) {
				t.Errorf("error: %#v", err)
			}
			if rows, err = d.cfg.Table.Owned(ctx, db, false); err != nil || fmt.Sprint(rows.Applied) != fmt.Sprint(tc.applied) {
				t.Errorf("applied: %v, %v", rows.Applied, err)
			}
			var tables string
			if err := db.QueryRow("SELECT COALESCE(group_concat(name), '') FROM sqlite_master WHERE name IN ('a', 'b', 'c', 'd')").Scan(&tables); err != nil || tables != tc.tables {
				t.Errorf("tables: %q, %v", tables, err)
			}
		})
	}
}

// TestRecordOutsideTransaction: a step that was executed outside a transaction is recorded though its time is over, and
// is not pressed for time as long as it isn't: a server under load takes its time.
func TestRecordOutsideTransaction(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", t.TempDir()+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d := newDriver(t, db, nil)
	for situation, over := range map[string]bool{"in time": false, "its time is over": true} {
		ctx, cancel := context.WithCancel(context.Background())
		if over {
			cancel()
		}
		recorded := false
		err := d.recordStep(ctx, db, func(ctx context.Context, _ goosedb.DBTxConn) error {
			recorded = ctx.Err() == nil
			if deadline, limited := ctx.Deadline(); limited && !over {
				t.Errorf("%s: it has to be recorded by %v", situation, deadline)
			}
			return nil
		})
		if err != nil || !recorded {
			t.Errorf("%s: recorded: %t, %v", situation, recorded, err)
		}
		cancel()
	}
}

// newDriver makes a driver of seven migrations on an empty database.
func newDriver(t *testing.T, db *sql.DB, fault error) *Driver {
	t.Helper()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	known, table := versionTable(t, "sqlite")
	if err := table.Create(context.Background(), db); err != nil {
		t.Fatal(err)
	}
	function := func(version int64, fn func()) *goose.Migration {
		return goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "CREATE TABLE b (id INT)"); err != nil {
				return err
			}
			fn()
			return fault
		}}, nil)
	}
	r, err := NewReader(Source{
		Files: fstest.MapFS{
			"1_a.sql": file("-- +goose Up\nCREATE TABLE a (id INT);\n-- +goose Down\nDROP TABLE a;\n"),
			"2_b.sql": file("-- +goose Up\nCREATE TABLE b (id INT);\nINSERT INTO nowhere VALUES (1);\n"),
			"3_c.sql": file("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE c (id INT);\nINSERT INTO nowhere VALUES (1);\n"),
			"4_d.sql": file("-- +goose NO TRANSACTION\n-- +goose Up\nCREAT TABLE d (id INT);\n"),
		},
		Go: []*goose.Migration{
			function(5, func() {}), function(6, func() { panic(fault) }), function(7, runtime.Goexit),
		},
		Table: table,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	d := New(r, Config{DB: db, Dialect: known, Table: table, Patience: new(wait.Patience), Hooks: Hooks{
		Warn:    func(string) {},
		Restore: func(context.Context) (bool, error) { return false, nil },
		Fenced:  func() bool { return false },
	}})
	d.Connect(session.Open(db, session.Config{Kind: session.SQLite, Ends: sqltext.ControlsTransactions}), 0)
	t.Cleanup(func() {
		if err := d.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}
