package history

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/dialect"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type place struct {
	db    *sql.DB
	table *State
	name  string
	rows  bool // the database locks rows
}

func onEach(t *testing.T, versionTable string, test func(*testing.T, place)) {
	for _, x := range []struct {
		name, dialect string
		open          func(*testing.T) *sql.DB
	}{
		{"postgres over pq", "postgres", func(t *testing.T) *sql.DB { return dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres") }},
		{"postgres over pgx", "postgres", func(t *testing.T) *sql.DB { return dbtest.Postgres(t).NewDatabase(t).Open(t, "pgx") }},
		{"mariadb", "mysql", func(t *testing.T) *sql.DB { return dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql") }},
		{"sqlite", "sqlite", func(t *testing.T) *sql.DB {
			db, err := sql.Open("sqlite", "file:"+dbtest.SQLiteFile(t)+"?_pragma=busy_timeout(10000)&_txlock=immediate")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			d, err := dialect.Lookup(x.dialect)
			if err != nil {
				t.Fatal(err)
			}
			table, err := NewState(d, versionTable)
			if err != nil {
				t.Fatal(err)
			}
			test(t, place{x.open(t), table, x.dialect, x.dialect != "sqlite"})
		})
	}
}

func (p place) count(t *testing.T, where string) (n int) {
	t.Helper()
	if err := p.db.QueryRow("SELECT count(*) FROM " + p.table.Name() + " WHERE " + where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRuns(t *testing.T) {
	ctx := context.Background()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		must(t, p.table.Ensure(ctx, p.db))
		run := Run{ID: "a", Holder: "host/1/x", Started: at, From: 3, Start: []int64{1, 3}, Planned: []int64{4, 5}}
		must(t, p.table.Runs.Start(ctx, p.db, run))
		runs, err := p.table.Runs.List(ctx, p.db, Running)
		must(t, err)
		run.Outcome = Running
		if len(runs) != 1 || fmt.Sprint(runs[0]) != fmt.Sprint(run) {
			t.Errorf("runs %+v, want %+v", runs, run)
		}

		// The fence lets the run's transactions through, and keeps others from declaring it dead.
		tx, err := p.db.Begin()
		must(t, err)
		for range 2 {
			result, err := tx.Exec(p.table.Runs.Fence("a"))
			must(t, err)
			if n, _ := result.RowsAffected(); n != 1 {
				t.Errorf("the fence found %d rows", n)
			}
		}
		if p.rows {
			if dead, err := p.table.Runs.TryCutOff(ctx, p.db, "a", at); dead || err != nil {
				t.Errorf("TryCutOff beside an open transaction = %t, %v", dead, err)
			}
		}
		must(t, tx.Commit())
		if dead, err := p.table.Runs.TryCutOff(ctx, p.db, "a", at); !dead || err != nil {
			t.Errorf("TryCutOff = %t, %v", dead, err)
		}
		result, err := p.db.Exec(p.table.Runs.Fence("a"))
		must(t, err)
		if n, _ := result.RowsAffected(); n != 0 {
			t.Error("the fence lets a dead run through")
		}
		if own, err := p.table.Runs.End(ctx, p.db, "a", 5, Migrated, "", at); own || err != nil {
			t.Errorf("a dead run ended itself: %t, %v", own, err)
		}

		for i := range keptRuns + 20 {
			id := fmt.Sprintf("b%03d", i)
			must(t, p.table.Runs.Start(ctx, p.db, Run{ID: id, Started: at.Add(time.Duration(i+1) * time.Second)}))
			if own, err := p.table.Runs.End(ctx, p.db, id, 5, RolledBack, fmt.Sprint(make([]int, 3000)), at); !own || err != nil {
				t.Fatalf("EndRun = %t, %v", own, err)
			}
		}
		runs, err = p.table.Runs.List(ctx, p.db)
		must(t, err)
		// The one that was cut off, and that nobody has taken over from, is not forgotten.
		if len(runs) != keptRuns+1 || runs[keptRuns].ID != "a" || runs[0].ID != "b119" || len(runs[0].Error) > errorSize {
			t.Errorf("%d runs are kept, the newest is %s", len(runs), runs[0].ID)
		}
	})
}

func TestMarks(t *testing.T) {
	ctx := context.Background()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		read := func(want Facts) {
			t.Helper()
			facts, err := p.table.Read(ctx, p.db)
			must(t, err)
			if fmt.Sprint(facts) != fmt.Sprint(want) {
				t.Errorf("facts %+v, want %+v", facts, want)
			}
		}
		there := func(want int) {
			t.Helper()
			var n int
			must(t, p.db.QueryRow("SELECT count(*) FROM ("+p.table.server.there(p.table.name)+") AS x").Scan(&n))
			if n != want {
				t.Errorf("the query finds %d rows, want %d", n, want)
			}
		}
		read(Facts{}) // there is no table
		there(0)
		_, err := p.db.Exec("CREATE TABLE " + p.table.Name() + " (status INTEGER NOT NULL DEFAULT 0)")
		must(t, err)
		read(Facts{}) // the original's
		must(t, p.table.Ensure(ctx, p.db))
		there(1)

		second := Step{Mark: Mark{Version: 8, Source: "sql/base/8_y.sql"}, Run: "a", Down: true, Failed: true}
		must(t, p.table.Steps.Mark(ctx, p.db, Step{Mark: Mark{Version: 7, Source: "sql/base/7_x.sql"}, Run: "a"}))
		read(Facts{Dirty: []Step{{Mark: Mark{Version: 7, Source: "sql/base/7_x.sql"}, Run: "a"}}})
		must(t, p.table.Steps.Mark(ctx, p.db, second))
		for range 2 {
			must(t, p.table.Marks.Protect(ctx, p.db, Mark{Version: 3}))
			must(t, p.table.Marks.Announce(ctx, p.db, "test", "run"))
			must(t, p.table.Marks.Announce(ctx, p.db, "it's", "run"))
		}
		must(t, p.table.Runs.Start(ctx, p.db, Run{ID: "r", Started: time.Now()}))
		atStep := Step{Mark: Mark{Version: 9}, Run: "r"}
		fenced := func(s Step, want bool) {
			t.Helper()
			ours, err := p.table.Steps.MarkFenced(ctx, p.db, s)
			must(t, err)
			if ours != want {
				t.Errorf("%+v is marked: %t, want %t", s, ours, want)
			}
		}
		fenced(Step{Mark: Mark{Version: 9}, Run: "dead"}, false)
		fenced(atStep, true)
		fenced(atStep, true) // as it is already
		fence := func(end func(*sql.Tx) error) {
			t.Helper()
			tx, err := p.db.Begin()
			must(t, err)
			_, err = tx.Exec(p.table.Runs.Fence("r"))
			must(t, err)
			must(t, end(tx))
		}
		untouched := func(want bool) {
			t.Helper()
			facts, err := p.table.Read(ctx, p.db)
			must(t, err)
			if last := facts.Dirty[len(facts.Dirty)-1]; last.Run != "r" || last.Untouched != want {
				t.Errorf("%+v, want untouched %t", last, want)
			}
		}
		untouched(true)
		fence((*sql.Tx).Rollback)
		untouched(true)
		fence((*sql.Tx).Commit)
		untouched(false)
		fenced(atStep, true)
		untouched(true)
		must(t, p.table.Steps.Clear(ctx, p.db, atStep))
		want := Facts{Dirty: []Step{second}, Protected: []Mark{{Version: 3}}, Environments: []string{"it's", "test"}, Running: []string{"r"}}
		read(want)
		must(t, p.table.Steps.Clear(ctx, p.db, Step{Mark: Mark{Version: 7}, Run: "a"}))
		must(t, p.table.Steps.Clear(ctx, p.db, Step{Mark: Mark{Version: 8}, Run: "a"}))
		must(t, p.table.Steps.Clear(ctx, p.db, Step{Mark: Mark{Version: 8}, Run: "b", Down: true}))
		read(want) // those are other steps
		must(t, p.table.Steps.Clear(ctx, p.db, second))
		must(t, p.table.Marks.Unprotect(ctx, p.db, Mark{Version: 3}))
		must(t, p.table.Marks.Withdraw(ctx, p.db, "it's", "run"))
		read(Facts{Environments: []string{"test"}, Running: []string{"r"}})

		// As long as the name of a folder can be, and of others.
		must(t, p.table.Marks.Withdraw(ctx, p.db, "test", "run"))
		one, other := strings.Repeat("e", 254)+"1", strings.Repeat("e", 254)+"2"
		for range 2 {
			must(t, p.table.Marks.Announce(ctx, p.db, one, "run"))
			must(t, p.table.Marks.Protect(ctx, p.db, Mark{Version: 3, Namespace: other}))
		}
		must(t, p.table.Marks.Announce(ctx, p.db, other, "run"))
		must(t, p.table.Marks.Withdraw(ctx, p.db, one, "run"))
		read(Facts{Protected: []Mark{{Version: 3, Namespace: other}}, Environments: []string{other}, Running: []string{"r"}})

		// A run that has ended keeps what others have announced too, before or afterwards.
		must(t, p.table.Marks.Stamp(ctx, p.db, other))
		must(t, p.table.Marks.Announce(ctx, p.db, other, "run"))
		must(t, p.table.Marks.Withdraw(ctx, p.db, other, "run"))
		read(Facts{Protected: []Mark{{Version: 3, Namespace: other}}, Environments: []string{other}, Stamped: []string{other}, Running: []string{"r"}})
	})
}

func TestNames(t *testing.T) {
	d, err := dialect.Lookup("postgres")
	must(t, err)
	for _, s := range []struct{ version, want string }{
		{"goose_db_version", `"goose_db_version_lock"`},
		{`"Acme Corp"."what?"`, `"Acme Corp"."what?_lock"`},
	} {
		table, err := NewState(d, s.version)
		must(t, err)
		if table.Name() != s.want {
			t.Errorf("%s: %s, want %s", s.version, table.Name(), s.want)
		}
	}
	for _, digits := range []int{62, 58} { // with its suffix it is too long
		if _, err := NewState(d, fmt.Sprintf("t%0*d", digits, 0)); err == nil {
			t.Errorf("a name of %d bytes, which PostgreSQL would cut to that of another table, is accepted", digits+1)
		}
	}
	if _, err := NewState(d, fmt.Sprintf("t%057d", 0)); err != nil {
		t.Error(err)
	}
	table, err := NewState(d, `"{table} ?"`)
	must(t, err)
	if got, want := table.sql("SELECT ? FROM {table} WHERE ?", "{table} ?", 5), `SELECT '{table} ?' FROM "{table} ?_lock" WHERE 5`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
