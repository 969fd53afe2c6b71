package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

const (
	victimEnv = "GOOSEPLUS_KILL_VICTIM" // driver, dialect and DSN of the process that gets killed
	killSteps = 20
)

// killFiles is a chain of migrations that each take several statements: a whole one leaves two
// tables and a row in each.
func killFiles() fstest.MapFS {
	named := make(map[string]*fstest.MapFile)
	for i := 1; i <= killSteps; i++ {
		named[fmt.Sprintf("%03d_k.sql", i)] = script(
			fmt.Sprintf("CREATE TABLE a%03[1]d (id INTEGER);\nINSERT INTO a%03[1]d VALUES (1);\n"+
				"CREATE TABLE b%03[1]d (id INTEGER);\nINSERT INTO b%03[1]d VALUES (1);", i),
			fmt.Sprintf("DROP TABLE b%03[1]d;\nDROP TABLE a%03[1]d;", i))
	}
	return files(named)
}

// TestKilled kills a process with SIGKILL at random moments of a run: every migration must be whole
// or absent, and the next run must complete. Databases where DDL commits by itself can't promise
// that, and don't take part.
func TestKilled(t *testing.T) {
	if victim := os.Getenv(victimEnv); victim != "" {
		beVictim(t, victim)
		return
	}
	t.Parallel()
	having(transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		took := map[string]time.Duration{} // from what the process says to its end
		for _, since := range []string{"begin", "started"} {
			p.reset(t)
			took[since] = victims{p}.undisturbed(t, since)
		}
		t.Logf("runs that nobody kills take %v", took)
		cut, rounds := 0, chaosRounds(8, 50)
		for i := range rounds {
			p.reset(t)
			since := "started"
			if i%3 == 0 { // before the first migration, too
				since = "begin"
			}
			victims{p}.kill9(t, since, time.Duration(random.Int64N(int64(took[since]))))
			n := victims{p}.wholeOrAbsent(t)
			switch n { // the machine may be faster or slower than it was
			case 0:
				took[since] += took[since] / 10
			case killSteps:
				took[since] -= took[since] / 10
			default:
				cut++
			}
			if err := p.migrator(from(killFiles())).Migrate(context.Background()); err != nil {
				t.Fatalf("the next run: %v", err)
			}
			if n := (victims{p}).wholeOrAbsent(t); n != killSteps {
				t.Fatalf("%d of %d migrations after the next run", n, killSteps)
			}
		}
		t.Logf("%d of %d runs were killed between their first and their last migration", cut, rounds)
		if cut == 0 {
			t.Error("no run was killed in its middle: the test shows nothing")
		}
	})
}

// beVictim is the child process. It says when it begins, and when its run has started.
func beVictim(t *testing.T, victim string) {
	part := strings.SplitN(victim, " ", 3)
	db, err := sql.Open(part[0], part[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("begin")
	started := gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if _, is := e.(gooseplus.RunStarted); is {
			fmt.Println("started")
		}
	})
	if err := gooseplus.New(db, gooseplus.WithDialect(part[1]), from(killFiles()), started).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("end")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// reset empties the database.
func (p *place) reset(t *testing.T) {
	t.Helper()
	for _, table := range column[string](t, p.db, p.target.tables) {
		p.exec(t, "DROP TABLE "+table)
	}
	p.exec(t, "DROP TABLE IF EXISTS goose_db_version")
}
