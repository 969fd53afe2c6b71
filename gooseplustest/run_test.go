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

func TestRunHasTheNextDatabaseMade(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	var last string
	code := inAdvance{testsFunc(func() int {
		oneTest(t, dsn, "TestFirst", files(fsys))
		for i := range 3 {
			spare := spareOf(t, dsn, fsys)
			if spare == nil || spare.err != nil {
				t.Fatalf("what was made is %+v", spare)
			}
			oid := texts(t, admin(t), `SELECT oid::text FROM pg_database WHERE datname = '`+spare.name+`'`)
			name, got := oneTest(t, dsn, fmt.Sprintf("TestNext%d", i), files(fsys))
			if name != spare.name || fmt.Sprint(oid) != "["+got+"]" {
				t.Errorf("test %d got %s with OID %s, want %s with %v", i, name, got, spare.name, oid)
			}
			last = name
		}
		for range 5 * usedBatch {
			oneTest(t, dsn, "TestMore", files(fsys))
		}
		if there := mine(t, kindClone); len(there) > 3*usedBatch+2 { // those that wait, those that are being dropped, and the last and the next one
			t.Errorf("%d databases: %v", len(there), there)
		}
		return 7
	})}.Run()
	if code != 7 {
		t.Errorf("exit code %d", code)
	}
	if left := mine(t, kindClone); len(left) > 0 || last == "" {
		t.Errorf("databases are left: %v", left)
	}
}

// Nobody would drop it.
func TestNothingIsMadeInAdvanceWithoutRun(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	inAdvance{testsFunc(func() int { return 0 })}.Run()
	oneTest(t, dsn, "TestAlone", files(fsys))
	if spare := spareOf(t, dsn, fsys); spare != nil {
		t.Errorf("there is %+v", spare)
	}
}

func TestRunWithADatabaseThatIsNotThereAnyMore(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	inAdvance{testsFunc(func() int {
		oneTest(t, dsn, "TestFirst", files(fsys))
		mustExec(t, admin(t), "DROP DATABASE "+spareOf(t, dsn, fsys).name+" WITH (FORCE)")
		oneTest(t, dsn, "TestSecond", files(fsys))
		spareOf(t, dsn, fsys).err = errors.New("the server had no room")
		oneTest(t, dsn, "TestThird", files(fsys))
		return 0
	})}.Run()
	// The one whose fault was invented.
	for _, name := range mine(t, kindClone) {
		mustExec(t, admin(t), "DROP DATABASE "+name+" WITH (FORCE)")
	}
}

// The connection that the test begins with is gone, as after a restart of the server.
func TestRunWithAConnectionThatIsCut(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	inAdvance{testsFunc(func() int {
		oneTest(t, dsn, "TestFirst", files(fsys))
		mustExec(t, admin(t), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+spareOf(t, dsn, fsys).name+`'`)
		oneTest(t, dsn, "TestSecond", files(fsys))
		spare := spareOf(t, dsn, fsys)
		_ = spare.conn.Close()
		spare.conn = nil // there was none to be had
		if name, _ := oneTest(t, dsn, "TestThird", files(fsys)); name != spare.name {
			t.Errorf("the database is %s, want %s", name, spare.name)
		}
		return 0
	})}.Run()
	if left := mine(t, kindClone); len(left) > 0 {
		t.Errorf("databases are left: %v", left)
	}
}

// The name of a database that is kept says whose it was.
func TestRunNamesWhatIsKept(t *testing.T) {
	dsn, fsys := Server(t), unique(folder("sql/base/1_ahead.sql"))
	inAdvance{testsFunc(func() int {
		oneTest(t, dsn, "TestFirst", files(fsys))
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
			private.Delete(dsn) // as if the server were to stay
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
		return 0
	})}.Run()
}

func TestRunSaysWhatItCouldNotDrop(t *testing.T) {
	made := make(chan struct{})
	close(made)
	gone := pgServerAt("postgres://u:secret@127.0.0.1:1/x?sslmode=disable")
	defer func() {
		gone.mu.Lock()
		defer gone.mu.Unlock()
		clear(gone.templates)
	}()
	for code, want := range map[int]int{0: 1, 2: 2} {
		gone.mu.Lock()
		gone.templates["x"] = &pgTemplate{spare: &pgSpare{pgCopy: pgCopy{name: "gpt_x"}, made: made}}
		gone.used = []string{"gpt_y"}
		gone.mu.Unlock()
		stderr := os.Stderr
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		os.Stderr = w
		got := inAdvance{testsFunc(func() int { return code })}.Run()
		os.Stderr = stderr
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if got != want || !strings.Contains(string(text), "gpt_x") || !strings.Contains(string(text), "gpt_y") || strings.Contains(string(text), "secret") {
			t.Errorf("exit code %d, want %d: %s", got, want, text)
		}
	}
}

// A test that takes what is being made waits for it.
func TestRunWithADatabaseThatIsBeingMade(t *testing.T) {
	spare := &pgSpare{made: make(chan struct{}), err: errors.New("not there yet")}
	adopted := make(chan bool)
	go func() { adopted <- pgServerAt(Server(t)).adopt(context.Background(), spare) }()
	spare.err = nil // a race, and false, for who doesn't wait
	close(spare.made)
	if !<-adopted {
		t.Error("it was not taken")
	}
}
