package gooseplustest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// testsFunc is what TestMain gets.
type testsFunc func() int

func (f testsFunc) Run() int { return f() }

// spareOf is what has been made for the next test with these files, once it is there.
func spareOf(t *testing.T, dsn string, fsys fstest.MapFS) *pgSpare {
	t.Helper()
	set, err := newSet("postgres", []gooseplus.Option{files(fsys)})
	if err != nil {
		t.Fatal(err)
	}
	template, err := pgServerAt(dsn).template(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	template.mu.Lock()
	spare := template.spare
	template.mu.Unlock()
	if spare != nil {
		<-spare.made
	}
	return spare
}

// oneTest is a test that begins and ends within another one, and what its database is.
func oneTest(t *testing.T, dsn, name string, opts ...gooseplus.Option) (database, oid string) {
	t.Helper()
	r := &recorder{TB: t, name: name}
	defer func() {
		if r.end(); r.failed {
			t.Error(r.text())
		}
	}()
	r.do(func() {
		row := strings.Fields(texts(t, Postgres(r, dsn, opts...), `SELECT datname || ' ' || oid || ' ' || to_regclass('public.ahead') FROM pg_database WHERE datname = current_database()`)[0])
		if row[2] != "ahead" {
			r.Errorf("the migrations are not in it: %v", row)
		}
		database, oid = row[0], row[1]
	})
	return database, oid
}

func mine(t *testing.T, kind string) []string {
	t.Helper()
	return slices.DeleteFunc(ours(t, kind), func(name string) bool { return owner(name) != process })
}

// twoTests are what it takes until a copy is made in advance.
func twoTests(t *testing.T, dsn string, fsys fstest.MapFS) {
	t.Helper()
	oneTest(t, dsn, "TestFirst", files(fsys))
	if spare := spareOf(t, dsn, fsys); spare != nil {
		t.Errorf("after one test there is %+v", spare)
	}
	oneTest(t, dsn, "TestSecond", files(fsys))
	if spare := spareOf(t, dsn, fsys); spare == nil || spare.err != nil {
		t.Fatalf("what was made is %+v", spare)
	}
}

// runs calls what within Run, and looks whether anything is left behind.
func runs(t *testing.T, what func()) (stderr string, code int) {
	t.Helper()
	before := os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = w
	func() {
		defer func() { os.Stderr = before }()
		code = inAdvance{testsFunc(func() int { what(); return 0 })}.Run()
	}()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if left := mine(t, kindClone); len(left) > 0 {
		t.Errorf("databases are left: %v", left)
	}
	return string(text), code
}

func TestRunHasTheNextDatabaseMade(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	stderr, code := runs(t, func() {
		twoTests(t, dsn, fsys)
		for i := range 3 {
			spare := spareOf(t, dsn, fsys)
			oid := texts(t, admin(t), `SELECT oid::text FROM pg_database WHERE datname = '`+spare.name+`'`)
			name, got := oneTest(t, dsn, fmt.Sprintf("TestNext%d", i), files(fsys))
			if name != spare.name || fmt.Sprint(oid) != "["+got+"]" {
				t.Errorf("test %d got %s with OID %s, want %s with %v", i, name, got, spare.name, oid)
			}
		}
		for range 5 * usedBatch {
			oneTest(t, dsn, "TestMore", files(fsys))
		}
		// Those that wait, those that are being dropped, and the last and the next one.
		if there := mine(t, kindClone); len(there) > 3*usedBatch+2 {
			t.Errorf("%d databases: %v", len(there), there)
		}
	})
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code := (inAdvance{testsFunc(func() int { return 7 })}).Run(); code != 7 {
		t.Errorf("exit code %d, want that of the tests", code)
	}
}

// Nobody would drop it.
func TestNothingIsMadeInAdvanceWithoutRun(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	runs(t, func() {})
	for range 3 {
		oneTest(t, dsn, "TestAlone", files(fsys))
		if left := mine(t, kindClone); len(left) > 0 || spareOf(t, dsn, fsys) != nil {
			t.Errorf("databases %v", left)
		}
	}
}

func TestRunWithADatabaseThatIsNotThereAnyMore(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	runs(t, func() {
		twoTests(t, dsn, fsys)
		mustExec(t, admin(t), "DROP DATABASE "+spareOf(t, dsn, fsys).name+" WITH (FORCE)")
		oneTest(t, dsn, "TestThird", files(fsys))
		spareOf(t, dsn, fsys).err = errors.New("nobody knows whether it is there")
		oneTest(t, dsn, "TestFourth", files(fsys))
	})
}

// The connection that the test begins with is gone, as after a restart of the server.
func TestRunWithAConnectionThatIsCut(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	runs(t, func() {
		twoTests(t, dsn, fsys)
		mustExec(t, admin(t), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+spareOf(t, dsn, fsys).name+`'`)
		oneTest(t, dsn, "TestThird", files(fsys))
		spare := spareOf(t, dsn, fsys)
		spare.disconnect() // as if there had been none to be had
		if name, _ := oneTest(t, dsn, "TestFourth", files(fsys)); name != spare.name {
			t.Errorf("the database is %s, want %s", name, spare.name)
		}
	})
}

// Drivers read variables of the environment when they connect.
func TestRunConnectsInTheEnvironmentOfTheTest(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	runs(t, func() {
		twoTests(t, dsn, fsys)
		spare := spareOf(t, dsn, fsys)
		t.Setenv("PGAPPNAME", "of the test")
		r := &recorder{TB: t, name: "TestThird"}
		db := Postgres(r, dsn, files(fsys))
		if got := texts(t, db, `SELECT current_setting('application_name')`); fmt.Sprint(got) != "[of the test]" || databaseOf(t, db) != spare.name {
			t.Errorf("application_name %v in %s, want that of the test in %s", got, databaseOf(t, db), spare.name)
		}
		r.end()
	})
}

func TestRunForManySets(t *testing.T) {
	dsn := Server(t)
	runs(t, func() {
		for range spareLimit + 2 {
			twoTests(t, dsn, unique(folder("sql/base/1_ahead.sql")))
			spares.making.Wait()
		}
		s, n := pgServerAt(dsn), 0
		for _, template := range s.templates {
			if template.spare != nil {
				n++
			}
		}
		if n != spareLimit {
			t.Errorf("%d databases are made in advance, want %d", n, spareLimit)
		}
	})
}

// The name of a database that is kept says whose it was.
func TestRunNamesWhatIsKept(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	runs(t, func() {
		twoTests(t, dsn, fsys)
		for _, leaky := range []bool{false, true} {
			r := &recorder{TB: t, name: "TestKept"}
			spare := spareOf(t, dsn, fsys)
			db := Postgres(r, dsn, files(fsys))
			if leaky {
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
			}
			r.failed = true
			private.Delete(address(dsn)) // as if the server were to stay
			r.end()
			want := spare.name + "_testkept"
			if leaky { // nobody can rename it
				want = spare.name
			}
			if text := r.text(); !slices.Contains(ours(t, kindClone), want) || !strings.Contains(text, want+"?") {
				t.Errorf("leaky %t: want %s: %s", leaky, want, text)
			}
			mustExec(t, admin(t), "DROP DATABASE "+want+" WITH (FORCE)")
		}
	})
}

// A test may undo, in a Cleanup of its own, what it did for the whole server: nothing of its database is in the way then.
func TestRunDropsAtOnceWhatIsTiedToTheServer(t *testing.T) {
	dsn, db := Server(t), admin(t)
	const all, one = "gooseplustest_of_all", "gooseplustest_of_one"
	mustExec(t, db, "DROP ROLE IF EXISTS "+all+", "+one, "CREATE ROLE "+all, "CREATE ROLE "+one)
	fsys := unique(folder("sql/base/1_ahead.sql"))
	fsys["sql/base/2_grant.sql"] = migration("GRANT SELECT ON ahead TO "+all+";", "REVOKE SELECT ON ahead FROM "+all+";")
	runs(t, func() {
		for grant, waits := range map[string]bool{
			"SELECT 1":                              true,
			"GRANT UPDATE ON ahead TO " + all:       true,
			"GRANT SELECT ON ahead TO " + one:       false,
			"ALTER TABLE ahead OWNER TO " + one:     false,
			"GRANT CREATE ON DATABASE %s TO " + one: false,
		} {
			r := &recorder{TB: t, name: "TestGrant"}
			db := Postgres(r, dsn, files(fsys))
			name := databaseOf(t, db)
			mustExec(t, db, strings.ReplaceAll(grant, "%s", name))
			r.end()
			if got := slices.Contains(mine(t, kindClone), name); got != waits || r.failed {
				t.Errorf("after %s the database is there: %t, want %t", grant, got, waits)
			}
		}
	})
	for _, name := range ours(t, kindTemplate) {
		tied := `SELECT count(*)::text FROM pg_shdepend WHERE refobjid = '` + all + `'::regrole AND dbid = (SELECT oid FROM pg_database WHERE datname = '` + name + `')`
		if texts(t, db, tied)[0] != "0" {
			mustExec(t, db, "ALTER DATABASE "+name+" IS_TEMPLATE false", "DROP DATABASE "+name)
		}
	}
	mustExec(t, db, "DROP ROLE "+all+", "+one)
}

func TestRunSaysWhatItCouldNotDrop(t *testing.T) {
	s := pgServerAt(Server(t))
	var own string
	err := s.admin(t.Context(), func(_ context.Context, c *pgConn) error {
		rows, err := c.query(t.Context(), `SELECT current_database()::text`)
		own = rows[0][0]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	stderr, code := runs(t, func() { s.used = []pgUsed{{own, "TestStuck"}} }) // nobody can drop what he is connected to
	if code != 1 || !strings.Contains(stderr, "TestStuck: drop database "+own) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// A test that starts a server stops it again, and with it everything that is there.
func TestRunWithAServerThatIsGone(t *testing.T) {
	gone := pgServerAt("postgres://u:secret@127.0.0.1:1/x?sslmode=disable")
	made := make(chan struct{})
	close(made)
	stderr, code := runs(t, func() {
		gone.templates["x"] = &pgTemplate{spare: &pgSpare{pgCopy: pgCopy{name: "gpt_x"}, made: made}}
		gone.used = []pgUsed{{"gpt_y", "TestAway"}, {"gpt_z", "TestAway"}}
	})
	clear(gone.templates)
	if code != 0 || !strings.Contains(stderr, "TestAway: drop database gpt_y") || strings.Contains(stderr, "gpt_z") || strings.Contains(stderr, "secret") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// A test that takes what is being made waits for it.
func TestRunWithADatabaseThatIsBeingMade(t *testing.T) {
	spare := &pgSpare{made: make(chan struct{})}
	adopted := make(chan bool, 1)
	go func() { adopted <- new(pgServer).adopt(context.Background(), spare) }()
	select {
	case <-adopted:
		t.Error("it was taken before it was there")
	case <-time.After(50 * time.Millisecond): // for who doesn't wait
	}
	close(spare.made)
	if !<-adopted {
		t.Error("it was not taken")
	}
}
