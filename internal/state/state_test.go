package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	table *Table
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
			table, err := New(d, versionTable)
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

func TestEnsure(t *testing.T) {
	ctx := context.Background()

	t.Run("from nothing, by many at once", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					err := p.table.Ensure(ctx, p.db)
					for errors.Is(err, ErrBusy) {
						err = p.table.Ensure(ctx, p.db)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := p.count(t, "id = 'mutex'"); n != 1 {
				t.Errorf("%d mutex rows", n)
			}
		})
	})

	t.Run("over the original's table, by many at once", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			for _, s := range []string{
				"CREATE TABLE " + p.table.Name() + " (status INTEGER NOT NULL DEFAULT 0)",
				"INSERT INTO " + p.table.Name() + " (status) VALUES (0)",
				"INSERT INTO " + p.table.Name() + " (status) VALUES (0)",
			} {
				_, err := p.db.Exec(s)
				must(t, err)
			}
			var wg sync.WaitGroup
			for range 40 {
				wg.Go(func() {
					for {
						err := p.table.Ensure(ctx, p.db)
						if errors.Is(err, ErrBusy) {
							continue // another of them is at it
						}
						if err != nil {
							t.Error(err)
						}
						return
					}
				})
			}
			wg.Wait()
			if n := p.count(t, "1 = 1"); n != 1 {
				t.Errorf("%d rows, want the mutex alone", n)
			}
		})
	})

	t.Run("the original holds its lock", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			if !p.rows {
				return // the original's lock does nothing on SQLite
			}
			for _, s := range []string{
				"CREATE TABLE " + p.table.Name() + " (status INTEGER NOT NULL DEFAULT 0)",
				"INSERT INTO " + p.table.Name() + " (status) VALUES (0)",
			} {
				_, err := p.db.Exec(s)
				must(t, err)
			}
			tx, err := p.db.Begin()
			must(t, err)
			_, err = tx.Exec("SELECT status FROM " + p.table.Name() + " FOR UPDATE")
			must(t, err)
			if err := p.table.Ensure(ctx, p.db); !errors.Is(err, ErrBusy) {
				t.Errorf("Ensure = %v, want ErrBusy", err)
			}
			must(t, tx.Rollback())
			must(t, p.table.Ensure(ctx, p.db))
		})
	})

	t.Run("after the original has deleted the rows", func(t *testing.T) {
		onEach(t, "goose_db_version", func(t *testing.T, p place) {
			must(t, p.table.Ensure(ctx, p.db))
			_, err := p.db.Exec("DELETE FROM " + p.table.Name())
			must(t, err)
			must(t, p.table.Ensure(ctx, p.db))
			_, err = p.db.Exec("DELETE FROM " + p.table.Name())
			must(t, err)
			_, err = p.db.Exec("INSERT INTO " + p.table.Name() + "(status) VALUES(0)") // as it does
			must(t, err)
			must(t, p.table.Ensure(ctx, p.db))
			if n := p.count(t, "id = 'mutex'"); n != 1 {
				t.Errorf("%d mutex rows", n)
			}
		})
	})
}

func TestMutex(t *testing.T) {
	ctx := context.Background()
	onEach(t, "Odd", func(t *testing.T, p place) {
		if !p.rows {
			return
		}
		must(t, p.table.Ensure(ctx, p.db))
		first, err := p.db.Begin()
		must(t, err)
		if held, err := p.table.TryLock(ctx, first); !held || err != nil {
			t.Fatalf("TryLock = %t, %v", held, err)
		}
		second, err := p.db.Begin()
		must(t, err)
		if held, err := p.table.TryLock(ctx, second); held || err != nil {
			t.Fatalf("TryLock of another = %t, %v", held, err)
		}
		must(t, first.Commit())
		must(t, second.Rollback())
		second, err = p.db.Begin()
		must(t, err)
		if held, err := p.table.TryLock(ctx, second); !held || err != nil {
			t.Fatalf("TryLock after release = %t, %v", held, err)
		}
		must(t, second.Rollback())
		_, err = p.db.Exec("DELETE FROM " + p.table.Name())
		must(t, err)
		third, err := p.db.Begin()
		must(t, err)
		if _, err := p.table.TryLock(ctx, third); err != ErrNoMutex {
			t.Errorf("TryLock without a row = %v", err)
		}
		must(t, third.Rollback())
	})
}

func TestRuns(t *testing.T) {
	ctx := context.Background()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		must(t, p.table.Ensure(ctx, p.db))
		run := Run{ID: "a", Holder: "host/1/x", Started: at, From: 3, Start: []int64{1, 3}, Planned: []int64{4, 5}}
		must(t, p.table.StartRun(ctx, p.db, run))
		runs, err := p.table.Runs(ctx, p.db, Running)
		must(t, err)
		run.Outcome = Running
		if len(runs) != 1 || fmt.Sprint(runs[0]) != fmt.Sprint(run) {
			t.Errorf("runs %+v, want %+v", runs, run)
		}

		// The fence lets the run's transactions through, and keeps others from declaring it dead.
		tx, err := p.db.Begin()
		must(t, err)
		for range 2 {
			result, err := tx.Exec(p.table.Fence("a"))
			must(t, err)
			if n, _ := result.RowsAffected(); n != 1 {
				t.Errorf("the fence found %d rows", n)
			}
		}
		if p.rows {
			if dead, err := p.table.TryCutOff(ctx, p.db, "a", at); dead || err != nil {
				t.Errorf("TryCutOff beside an open transaction = %t, %v", dead, err)
			}
		}
		must(t, tx.Commit())
		if dead, err := p.table.TryCutOff(ctx, p.db, "a", at); !dead || err != nil {
			t.Errorf("TryCutOff = %t, %v", dead, err)
		}
		result, err := p.db.Exec(p.table.Fence("a"))
		must(t, err)
		if n, _ := result.RowsAffected(); n != 0 {
			t.Error("the fence lets a dead run through")
		}
		if own, err := p.table.EndRun(ctx, p.db, "a", 5, Migrated, "", at); own || err != nil {
			t.Errorf("a dead run ended itself: %t, %v", own, err)
		}

		for i := range keptRuns + 20 {
			id := fmt.Sprintf("b%03d", i)
			must(t, p.table.StartRun(ctx, p.db, Run{ID: id, Started: at.Add(time.Duration(i+1) * time.Second)}))
			if own, err := p.table.EndRun(ctx, p.db, id, 5, RolledBack, fmt.Sprint(make([]int, 3000)), at); !own || err != nil {
				t.Fatalf("EndRun = %t, %v", own, err)
			}
		}
		runs, err = p.table.Runs(ctx, p.db)
		must(t, err)
		if len(runs) != keptRuns || runs[0].ID != "b119" || len(runs[0].Error) > errorSize {
			t.Errorf("%d runs are kept, the newest is %s", len(runs), runs[0].ID)
		}
	})
}

// TestBesideTheMutex: nothing that the holder of the mutex does on other connections waits for it.
func TestBesideTheMutex(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		if !p.rows {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		must(t, p.table.Ensure(ctx, p.db))
		must(t, p.table.StartRun(ctx, p.db, Run{ID: "dead", Started: at}))
		holder, err := p.db.Begin()
		must(t, err)
		defer func() { must(t, holder.Rollback()) }()
		if held, err := p.table.TryLock(ctx, holder); !held || err != nil {
			t.Fatalf("TryLock = %t, %v", held, err)
		}
		if dead, err := p.table.TryCutOff(ctx, p.db, "dead", at); !dead || err != nil {
			t.Fatalf("TryCutOff = %t, %v", dead, err)
		}
		must(t, p.table.Inherit(ctx, p.db, Run{ID: "heir", Started: at}))
		if n := p.count(t, "outcome = 'crashed'"); n != 1 {
			t.Errorf("%d crashed runs", n)
		}
		dirty := Step{Mark: Mark{Version: 7, Source: "sql/base/7_x.sql"}, Run: "heir"}
		must(t, p.table.MarkDirty(ctx, p.db, dirty))
		must(t, p.table.MarkDirty(ctx, p.db, Step{Run: "other"}))
		must(t, p.table.ClearDirty(ctx, p.db, dirty))
		if n := p.count(t, "kind = 'dirty'"); n != 1 {
			t.Errorf("%d dirty marks, want that of the other run", n)
		}
		if _, err := p.table.EndRun(ctx, p.db, "heir", 1, Migrated, "", at); err != nil {
			t.Error(err)
		}
	})
}

// TestBesideTheOriginal: a replica of the original deletes all rows and waits for the mutex; its holder
// must not wait for what that replica has met on its way there.
func TestBesideTheOriginal(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		if !p.rows {
			return // the original's lock does nothing on SQLite
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		must(t, p.table.Ensure(ctx, p.db))
		// What comes next finds room before the mutex.
		must(t, p.table.StartRun(ctx, p.db, Run{ID: "old", Started: at}))
		must(t, p.table.MarkDirty(ctx, p.db, Step{Run: "old"}))
		statements := []string{"DELETE FROM " + p.table.Name(), "INSERT INTO " + p.table.Name() + " (status) VALUES (0)"}
		if p.name == "postgres" {
			statements = append(statements, "VACUUM "+p.table.Name())
		}
		for _, s := range statements {
			_, err := p.db.Exec(s)
			must(t, err)
		}
		dirty := Step{Mark: Mark{Version: 7}, Run: "dead"}
		must(t, p.table.StartRun(ctx, p.db, Run{ID: "dead", Started: at}))
		must(t, p.table.MarkDirty(ctx, p.db, dirty))

		holder, err := p.db.Begin()
		must(t, err)
		if held, err := p.table.TryLock(ctx, holder); !held || err != nil {
			t.Fatalf("TryLock = %t, %v", held, err)
		}
		original := make(chan error, 1)
		go func() {
			_, err := p.db.Exec("DELETE FROM " + p.table.Name())
			original <- err
		}()
		p.awaitBlocked(t, original)

		if dead, err := p.table.TryCutOff(ctx, p.db, "dead", at); !dead || err != nil {
			t.Errorf("TryCutOff = %t, %v", dead, err)
		}
		must(t, p.table.Inherit(ctx, p.db, Run{ID: "heir", Started: at}))
		must(t, inTransaction(ctx, p.db, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, p.table.Fence("heir"))
			return err
		}))
		must(t, p.table.ClearDirty(ctx, p.db, dirty))
		must(t, p.table.MarkDirty(ctx, p.db, Step{Run: "heir"}))
		must(t, p.table.Stamp(ctx, p.db, "test"))
		if own, err := p.table.EndRun(ctx, p.db, "heir", 1, Migrated, "", at); !own || err != nil {
			t.Errorf("EndRun = %t, %v", own, err)
		}
		must(t, holder.Commit())
		must(t, <-original)
	})
}

// awaitBlocked waits until the server says that a DELETE waits for a lock.
func (p place) awaitBlocked(t *testing.T, ended <-chan error) {
	t.Helper()
	blocked := `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'DELETE%'`
	if p.name == "mysql" {
		blocked = `SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE 'DELETE%'`
	}
	for n := 0; n == 0; {
		select {
		case err := <-ended:
			t.Fatalf("the DELETE did not wait: %v", err)
		case <-time.After(150 * time.Millisecond): // InnoDB shows the same again to who asks more often
		}
		must(t, p.db.QueryRow(blocked).Scan(&n))
	}
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
			must(t, p.db.QueryRow("SELECT count(*) FROM ("+p.table.There()+") AS x").Scan(&n))
			if n != want {
				t.Errorf("There finds %d rows, want %d", n, want)
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
		must(t, p.table.MarkDirty(ctx, p.db, Step{Mark: Mark{Version: 7, Source: "sql/base/7_x.sql"}, Run: "a"}))
		read(Facts{Dirty: []Step{{Mark: Mark{Version: 7, Source: "sql/base/7_x.sql"}, Run: "a"}}})
		must(t, p.table.MarkDirty(ctx, p.db, second))
		for range 2 {
			must(t, p.table.Protect(ctx, p.db, Mark{Version: 3}))
			must(t, p.table.Stamp(ctx, p.db, "test"))
			must(t, p.table.Stamp(ctx, p.db, "it's"))
		}
		must(t, p.table.StartRun(ctx, p.db, Run{ID: "r", Started: time.Now()}))
		atStep := Step{Mark: Mark{Version: 9}, Run: "r"}
		must(t, p.table.MarkDirty(ctx, p.db, atStep))
		fence := func(end func(*sql.Tx) error) {
			t.Helper()
			tx, err := p.db.Begin()
			must(t, err)
			_, err = tx.Exec(p.table.Fence("r"))
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
		must(t, p.table.MarkDirty(ctx, p.db, atStep))
		untouched(true)
		must(t, p.table.ClearDirty(ctx, p.db, atStep))
		want := Facts{Dirty: []Step{second}, Protected: []Mark{{Version: 3}}, Environments: []string{"it's", "test"}, Running: []string{"r"}}
		read(want)
		must(t, p.table.ClearDirty(ctx, p.db, Step{Mark: Mark{Version: 7}, Run: "a"}))
		must(t, p.table.ClearDirty(ctx, p.db, Step{Mark: Mark{Version: 8}, Run: "a"}))
		must(t, p.table.ClearDirty(ctx, p.db, Step{Mark: Mark{Version: 8}, Run: "b", Down: true}))
		read(want) // those are other steps
		must(t, p.table.ClearDirty(ctx, p.db, second))
		must(t, p.table.Unprotect(ctx, p.db, Mark{Version: 3}))
		must(t, p.table.Unstamp(ctx, p.db, "it's"))
		read(Facts{Environments: []string{"test"}, Running: []string{"r"}})

		// As long as the name of a folder can be, and of others.
		must(t, p.table.Unstamp(ctx, p.db, "test"))
		one, other := strings.Repeat("e", 254)+"1", strings.Repeat("e", 254)+"2"
		for range 2 {
			must(t, p.table.Stamp(ctx, p.db, one))
			must(t, p.table.Protect(ctx, p.db, Mark{Version: 3, Namespace: other}))
		}
		must(t, p.table.Stamp(ctx, p.db, other))
		must(t, p.table.Unstamp(ctx, p.db, one))
		read(Facts{Protected: []Mark{{Version: 3, Namespace: other}}, Environments: []string{other}, Running: []string{"r"}})
	})
}

func TestNames(t *testing.T) {
	d, err := dialect.Lookup("postgres")
	must(t, err)
	for _, s := range []struct{ version, want string }{
		{"goose_db_version", `"goose_db_version_lock"`},
		{`"Acme Corp"."what?"`, `"Acme Corp"."what?_lock"`},
	} {
		table, err := New(d, s.version)
		must(t, err)
		if table.Name() != s.want {
			t.Errorf("%s: %s, want %s", s.version, table.Name(), s.want)
		}
	}
	for _, digits := range []int{62, 57, 52} { // with its suffix, or with a partition's, it is too long
		if _, err := New(d, fmt.Sprintf("t%0*d", digits, 0)); err == nil {
			t.Errorf("a name of %d bytes, which PostgreSQL would cut to that of another table, is accepted", digits+1)
		}
	}
	if _, err := New(d, fmt.Sprintf("t%051d", 0)); err != nil {
		t.Error(err)
	}
	table, err := New(d, `"{table} ?"`)
	must(t, err)
	if got, want := table.rebind("SELECT ? FROM {table} WHERE ?"), `SELECT $1 FROM "{table} ?_lock_rows" WHERE $2`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
